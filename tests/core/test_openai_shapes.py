"""OpenAI's shapes: bodies that become questions, and answers that become completions, chunks and subtitles."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from relay.errors import Invalid, UpstreamFailed
from relay.http.openai import transcripts
from relay.http.openai.chat_body import ChatBody, chat_request
from relay.http.openai.completions import ChunkFrames, completion_head
from relay.http.openai.transcripts import TranscriptionBody
from relay.ports.inference import ChatRequest, Delta
from relay.services.requests import from_fields
from relay.services.tasks import Reading

HELLO = [{"role": "user", "content": "hello"}]
META = {"request_id": "req_abc", "job_id": "j", "model": "gemma", "backend": "spark"}
CREDITS = {"charged": 1, "total": 9}
RESULT = {"text": "hi", "data": None, "usage": {"input_tokens": 3, "output_tokens": 5}}


def asked(**fields: Any) -> ChatRequest:
    return chat_request(msgspec.convert({"messages": HELLO} | fields, ChatBody))


def refused(**fields: Any) -> str:
    with pytest.raises(Invalid) as refusal:
        asked(**fields)
    path: str = refusal.value.details["path"]
    return path


def test_a_plain_question_is_passed_on_as_it_is() -> None:
    assert asked(model="gemma") == ChatRequest(HELLO, model="gemma")


def test_default_means_any_model() -> None:
    assert asked(model="default").model is None
    assert asked().model is None


def test_limits_and_options_reach_the_backend_and_the_rest_does_not() -> None:
    tools = [{"type": "function", "function": {"name": "now", "parameters": {}}}]
    request = asked(
        max_tokens=7,
        temperature=0.5,
        top_p=0.9,
        stop=["a", "b"],
        seed=1,
        tools=tools,
        tool_choice="auto",
        parallel_tool_calls=False,
        presence_penalty=0,
        user="somebody",
        store=True,
        n=1,
        logprobs=False,
        stream=True,
    )
    assert (request.max_output_tokens, request.temperature, request.stream) == (7, 0.5, True)
    assert request.options == {
        "top_p": 0.9,
        "stop": ["a", "b"],
        "seed": 1,
        "tools": tools,
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "presence_penalty": 0,
    }


def test_the_newer_name_of_the_token_limit_wins() -> None:
    assert asked(max_tokens=7, max_completion_tokens=9).max_output_tokens == 9


def test_a_json_schema_becomes_the_schema_of_the_answer() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}}
    request = asked(response_format=wanted)
    assert (request.schema, request.options) == (schema, {})


def test_a_wish_for_any_json_is_passed_on_and_text_is_nothing_special() -> None:
    assert asked(response_format={"type": "json_object"}).options == {"response_format": {"type": "json_object"}}
    assert asked(response_format={"type": "text"}) == asked()


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"n": 2}, "n"),
        ({"n": 0}, "n"),
        ({"functions": []}, "functions"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 3}}}}, "schema"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
        ({"messages": [*HELLO, {"content": "x"}]}, "messages.1.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages.0.content"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_place(fields: dict[str, Any], path: str) -> None:
    assert refused(**fields) == path


def test_a_conversation_with_tools_and_parts_is_a_conversation() -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What time is it?"}]},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "now"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "noon"},
    ]
    assert asked(messages=messages).messages == messages


def completion(**result: Any) -> Any:
    head = completion_head(RESULT | result, META, 1700000000)
    return json.loads(head + json.dumps(CREDITS).encode() + b"}}")


def test_an_answer_is_a_chat_completion_with_the_relays_own_words_beside() -> None:
    assert completion() == {
        "id": "chatcmpl-abc",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "gemma",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
        "relay": {"meta": META, "credits": CREDITS},
    }


def test_a_cut_answer_and_one_with_tools_say_so() -> None:
    assert completion(truncated=True)["choices"][0]["finish_reason"] == "length"
    calls = [{"id": "c", "type": "function", "function": {"name": "now", "arguments": "{}"}}]
    choice = completion(text="", tool_calls=calls)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {"role": "assistant", "content": None, "refusal": None, "tool_calls": calls}


def chunks(*deltas: Delta, with_usage: bool = False) -> list[Any]:
    """What a client reads of a stream that ends well."""
    frames, reading = ChunkFrames("req_abc", "default", 17, with_usage=with_usage), Reading("spark")
    sent = b""
    for delta in deltas:
        reading.add(delta)
        sent += frames.delta(delta)
    sent += frames.done(reading.result(ChatRequest(HELLO)), reading, META, CREDITS)
    events = sent.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


def test_a_stream_is_chunks_with_one_finish() -> None:
    found = chunks(Delta("he"), Delta("y", finish="length", model="gemma", input_tokens=1, output_tokens=2))
    assert [chunk["choices"][0]["delta"] for chunk in found] == [
        {"role": "assistant", "content": "he"},
        {"content": "y"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in found] == [None, None, "length"]
    assert [chunk["model"] for chunk in found] == ["default", "gemma", "gemma"]
    assert {(chunk["id"], chunk["object"], chunk["created"]) for chunk in found} == {
        ("chatcmpl-abc", "chat.completion.chunk", 17)
    }
    assert found[-1]["relay"] == {"meta": META, "credits": CREDITS}
    assert not any("usage" in chunk for chunk in found)


def test_the_usage_comes_last_when_it_is_wanted() -> None:
    *first, last = chunks(Delta("hi", finish="stop", input_tokens=1, output_tokens=2), with_usage=True)
    assert [chunk["usage"] for chunk in first] == [None] * len(first)
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert last["relay"] == {"meta": META, "credits": CREDITS}
    assert not any("relay" in chunk for chunk in first)


def test_calls_of_tools_are_streamed_as_they_came() -> None:
    pieces = [
        {"index": 0, "id": "c", "type": "function", "function": {"name": "now", "arguments": ""}},
        {"index": 0, "function": {"arguments": "{}"}},
    ]
    found = chunks(*(Delta(tool_calls=[piece]) for piece in pieces), Delta(finish="stop"))
    assert [chunk["choices"][0]["delta"].get("tool_calls") for chunk in found] == [[pieces[0]], [pieces[1]], None]
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_stream_that_fails_sends_the_one_error_object() -> None:
    frames = ChunkFrames("req_abc", "default", 17, with_usage=True)
    name, data, *rest = frames.failed(UpstreamFailed("it broke"), "req_abc", 1).decode().split("\n")
    assert (name, rest) == ("event: error", ["", ""])
    error = json.loads(data.removeprefix("data: "))["error"]
    assert (error["code"], error["charged"]) == ("upstream_failed", 1)


WORDS = [{"word": "We", "start": 0.0, "end": 0.4}, {"word": "met.", "start": 0.5, "end": 1.25}]
TRANSCRIPT: dict[str, Any] = {
    "text": "We met. <b> & --> you",
    "language": "en",
    "duration": 3661.2,
    "segments": [
        {"id": 0, "start": 0.0, "end": 1.25, "text": " We met.", "words": WORDS, "speaker": "S1"},
        {"id": 1, "start": 59.9996, "end": 3661.001, "text": "<b> &\n\n--> you"},
    ],
}


def written(result: dict[str, Any] = TRANSCRIPT, **fields: str) -> tuple[str, str]:
    """The body as it leaves, and its content type."""
    body = from_fields(fields, TranscriptionBody)
    transcripts.check(body)
    tail = transcripts.tail(body)
    end = b"" if tail is None else json.dumps(CREDITS).encode() + tail
    return (transcripts.head(body, result, META) + end).decode(), transcripts.content_type(body)


def test_json_is_the_text_and_what_it_took() -> None:
    text, kind = written(response_format="json")
    assert kind == "application/json"
    assert json.loads(text) == {
        "text": TRANSCRIPT["text"],
        "usage": {"type": "duration", "seconds": 3662},
        "relay": {"meta": META, "credits": CREDITS},
    }
    assert written() == (text, kind)


def test_text_is_nothing_but_the_text() -> None:
    assert written(response_format="text") == ("We met. <b> & --> you\n", "text/plain; charset=utf-8")


def test_srt_has_numbered_cues_on_one_line_each() -> None:
    assert written(response_format="srt")[0] == (
        "1\n00:00:00,000 --> 00:00:01,250\nWe met.\n\n2\n00:01:00,000 --> 01:01:01,001\n<b> & -> you\n\n"
    )


def test_vtt_writes_its_own_signs_as_text() -> None:
    text, kind = written(response_format="vtt")
    first, second = "00:00:00.000 --> 00:00:01.250\nWe met.", "00:01:00.000 --> 01:01:01.001\n&lt;b&gt; &amp; -&gt; you"
    assert text == f"WEBVTT\n\n{first}\n\n{second}\n\n"
    assert kind == "text/vtt"


def test_a_transcript_without_segments_is_one_cue() -> None:
    whole = {"text": "Hi.", "language": None, "duration": 2.0, "segments": []}
    assert written(whole, response_format="srt")[0] == "1\n00:00:00,000 --> 00:00:02,000\nHi.\n\n"


def test_verbose_json_has_segments_and_on_request_words() -> None:
    plain = json.loads(written(response_format="verbose_json")[0])
    assert (plain["task"], plain["language"], plain["duration"]) == ("transcribe", "english", 3661.2)
    assert [segment["text"] for segment in plain["segments"]] == [" We met.", "<b> &\n\n--> you"]
    assert plain["segments"][0]["speaker"] == "S1"
    assert {"seek", "tokens", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob"} <= plain["segments"][
        1
    ].keys()
    assert "words" not in plain
    words = json.loads(written(response_format="verbose_json", **{"timestamp_granularities[]": "word"})[0])
    assert (words["words"], "segments" in words) == (WORDS, False)
    both = json.loads(written(response_format="verbose_json", **{"timestamp_granularities[]": "word,segment"})[0])
    assert {"words", "segments"} <= both.keys()


def test_diarized_json_says_who_speaks() -> None:
    body = json.loads(written(response_format="diarized_json")[0])
    assert [(s["id"], s["speaker"], s["type"]) for s in body["segments"]] == [
        ("seg_0", "S1", "transcript.text.segment"),
        ("seg_1", "unknown", "transcript.text.segment"),
    ]
    assert (body["task"], body["relay"]["credits"]) == ("transcribe", CREDITS)


def events(**fields: str) -> list[Any]:
    text, kind = written(stream="true", **fields)
    assert kind == "text/event-stream"
    *found, done, end = text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in found]


def test_a_streamed_transcript_adds_up_to_its_text() -> None:
    whole = {"text": "We met. You left.", "language": "en", "duration": 2.0, "segments": []}
    whole["segments"] = [{"id": 0, "start": 0, "end": 1, "text": "We met."}]
    whole["segments"].append({"id": 1, "start": 1, "end": 2, "text": "You left."})
    text, _ = written(whole, stream="true")
    *deltas, done = [json.loads(event.removeprefix("data: ")) for event in text.split("\n\n")[:-2]]
    assert [delta["delta"] for delta in deltas] == ["We met.", " You left."]
    assert (done["type"], done["text"], done["relay"]["credits"]) == ("transcript.text.done", whole["text"], CREDITS)


def test_a_text_that_is_not_its_segments_is_streamed_whole() -> None:
    deltas = [event["delta"] for event in events()[:-1]]
    assert deltas == [TRANSCRIPT["text"]]


def test_speakers_are_streamed_as_segments() -> None:
    assert [event["type"] for event in events(response_format="diarized_json")] == [
        "transcript.text.segment",
        "transcript.text.segment",
        "transcript.text.done",
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": "xml"},
        {"stream": "true", "response_format": "srt"},
        {"timestamp_granularities[]": "word"},
        {"response_format": "verbose_json", "timestamp_granularities[]": "letter"},
        {"stream": "perhaps"},
    ],
)
def test_fields_that_do_not_go_together_are_refused(fields: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        written(**fields)
