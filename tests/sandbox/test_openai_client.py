"""The real `openai` client against the OpenAI-shaped server: a second opinion on every shape."""

from __future__ import annotations

import jsonschema
import openai
import pytest

from tests.sandbox.conftest import tone

QUESTION = [{"role": "user", "content": "When do they meet?"}]
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "points": {"type": "array", "items": {"type": "integer"}}},
    "required": ["title", "points"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}]


@pytest.fixture
def api(box):
    with openai.OpenAI(base_url=f"{box.url}/openai/v1", api_key="the-key", max_retries=0, timeout=20) as api:
        yield api


def ask(api: openai.OpenAI, **more):
    return api.chat.completions.create(model="sandbox-chat", messages=QUESTION, **more)


def test_it_chats(api, box):
    answer = ask(api)
    assert answer.choices[0].message.content == "The sandbox read: When do they meet?"
    assert answer.usage.total_tokens > 0
    assert box.requests("openai")[0].json["messages"] == QUESTION


def test_it_streams(api, box):
    chunks = list(ask(api, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "The sandbox read: When do they meet?"
    assert chunks[-1].usage.total_tokens > 0
    assert box.requests.wait(lambda record: record.ended is not None).billed


def test_it_lists_models(api):
    assert [model.id for model in api.models.list()] == ["sandbox-chat"]


def test_an_answer_fits_the_schema_unless_told_otherwise(api, box):
    import json

    text = ask(api, response_format=FORMAT).choices[0].message.content
    jsonschema.validate(json.loads(text), SCHEMA)
    box.faults.add("openai", "wrong_schema")
    text = ask(api, response_format=FORMAT).choices[0].message.content
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(text), SCHEMA)


def test_a_tool_is_called_once(api):
    import json

    answer = ask(api, tools=TOOLS).choices[0]
    (call,) = answer.message.tool_calls
    assert (answer.finish_reason, call.function.name) == ("tool_calls", "look_up")
    jsonschema.validate(json.loads(call.function.arguments), SCHEMA)
    result = [*QUESTION, answer.message, {"role": "tool", "tool_call_id": call.id, "content": "on Friday"}]
    after = api.chat.completions.create(model="sandbox-chat", messages=result, tools=TOOLS)
    assert after.choices[0].message.content == "The sandbox read: on Friday"


def test_a_tool_call_is_streamed(api):
    chunks = list(ask(api, tools=TOOLS, stream=True))
    (call,) = [part for chunk in chunks for part in chunk.choices[0].delta.tool_calls or ()]
    assert call.function.name == "look_up"
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_no_tool_is_called_when_none_is_wanted(api):
    assert ask(api, tools=TOOLS, tool_choice="none").choices[0].message.tool_calls is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, openai.AuthenticationError), (429, openai.RateLimitError), (503, openai.InternalServerError)],
)
def test_errors_are_the_errors_of_the_client(api, box, status, kind):
    box.faults.add("openai", "status", status=status, message="not today")
    with pytest.raises(kind, match="not today"):
        ask(api)


def test_a_wrong_key_is_refused(api, box):
    box["openai"].configure({"token": "another"})
    with pytest.raises(openai.AuthenticationError):
        ask(api)
    box["openai"].configure({"token": "the-key"})
    assert ask(api).choices


def test_the_client_tries_again_when_told_when(box):
    box.faults.add("openai", "retry_after", times=2, seconds=0)
    with openai.OpenAI(base_url=f"{box.url}/openai/v1", api_key="k", max_retries=2, timeout=20) as api:
        assert ask(api).choices
    assert box.requests.counts()["openai"]["chat"] == {"calls": 3, "billed": 1}


def test_an_error_in_the_stream_is_raised(api, box):
    box.faults.add("openai", "error_in_stream", message="fell over in the middle")
    with pytest.raises(openai.APIError, match="fell over in the middle"):
        list(ask(api, stream=True))


def test_a_cut_stream_is_a_connection_error(api, box):
    box.faults.add("openai", "cut", chunks=2)
    with pytest.raises(openai.APIConnectionError):
        list(ask(api, stream=True))


class TestTranscriptions:
    @pytest.fixture
    def transcribe(self, api, box):
        box["openai"].configure({"transcript": "hi there"})
        return lambda **more: api.audio.transcriptions.create(model="m", file=("a.wav", tone(1.2)), **more)

    def test_json(self, transcribe):
        answer = transcribe()
        assert (answer.text, answer.usage.seconds) == ("hi there", 2)

    def test_verbose_json_with_words(self, transcribe):
        answer = transcribe(response_format="verbose_json", timestamp_granularities=["word", "segment"])
        assert answer.duration == pytest.approx(1.2)
        assert [word.word for word in answer.words] == ["hi", "there"]
        assert answer.segments[0].text == "hi there"
        assert transcribe(response_format="verbose_json").words is None

    def test_text_and_subtitles(self, transcribe):
        assert transcribe(response_format="text").strip() == "hi there"
        assert transcribe(response_format="srt").startswith("1\n00:00:00,000 --> 00:00:01,080\nhi there")
        assert transcribe(response_format="vtt").startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.080\nhi there")

    def test_diarized_json(self, transcribe):
        answer = transcribe(response_format="diarized_json")
        assert [(segment.speaker, segment.text) for segment in answer.segments] == [("A", "hi there")]

    def test_a_stream(self, transcribe):
        events = list(transcribe(stream=True))
        assert [event.type for event in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
        assert events[-1].text == "".join(event.delta for event in events[:-1]) == "hi there"

    def test_a_stream_of_vllm(self, box, client):
        box["openai"].configure({"transcript": "hi there", "transcript_shape": "vllm"})
        data = client.upload("/openai/v1/audio/transcriptions", tone(1), stream="true").data
        assert data.count(b'"transcription.chunk"') == 3
        assert data.endswith(b"data: [DONE]\n\n")

    def test_an_unknown_format_is_refused(self, client):
        reply = client.upload("/openai/v1/audio/transcriptions", tone(1), response_format="poem")
        assert reply.status == 400
