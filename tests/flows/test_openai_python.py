"""The unmodified `openai` client for Python against a relay."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from relay.errors import Unavailable, UpstreamFailed
from relay.ports.inference import CallContext, ChatRequest, Delta, Segment, TranscribeRequest, Transcript, Word
from tests.flows.live import WAV, FakeBackend, Live, running

HELLO: Any = [{"role": "user", "content": "hello"}]
WEATHER: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
CALL = [
    {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city"'}},
    {"index": 0, "function": {"arguments": ':"Ghent"}'}},
]
SPEECH = (
    Segment(0.0, 1.0, "We met.", (Word("We", 0.0, 0.4), Word("met.", 0.5, 1.0)), "S1"),
    Segment(1.0, 2.0, "You left.", (Word("You", 1.0, 1.4), Word("left.", 1.5, 2.0)), "S2"),
)


class Talker(FakeBackend):
    """Calls a tool when it may, and tells two speakers apart."""

    speech = SPEECH

    def transcribe(self, request: TranscribeRequest, ctx: CallContext) -> Transcript:
        self._work(ctx, request)
        return Transcript("We met. You left.", "en", 2.0, self.speech, "ears")

    def chat(self, request: ChatRequest, ctx: CallContext) -> Iterator[Delta]:
        if "tools" not in request.options:
            yield from super().chat(request, ctx)
            return
        self._work(ctx, request)
        for piece in CALL:
            yield Delta(tool_calls=[piece])
        yield Delta(finish="tool_calls", model="mind", input_tokens=3, output_tokens=5)


@pytest.fixture
def backend() -> FakeBackend:
    return Talker(models=("gemma", "org/tiny"))


@pytest.fixture
def live(tmp_path: Path, backend: FakeBackend) -> Iterator[Live]:
    with running(tmp_path, [backend], plugins="[plugins.api_key]\n") as relay:
        yield relay


def client_of(live: Live, key: str = "sk-unused", install: str = "inst-1", **more: Any) -> OpenAI:
    headers = {"X-Recap-Install-Id": install} if install else {}
    more = {"max_retries": 0, "timeout": 30.0} | more
    return OpenAI(base_url=f"http://127.0.0.1:{live.port}/relay/v1", api_key=key, default_headers=headers, **more)


@pytest.fixture
def client(live: Live) -> Iterator[OpenAI]:
    with client_of(live) as client:
        yield client


def test_it_lists_every_model_and_finds_one(client: OpenAI) -> None:
    models = client.models.list().data
    assert [(model.id, model.owned_by, model.object) for model in models] == [
        ("default", "relay", "model"),
        ("gemma", "fake", "model"),
        ("org/tiny", "fake", "model"),
    ]
    assert client.models.retrieve("org/tiny").id == "org/tiny"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-0")


def test_a_chat_is_answered_for_one_credit(client: OpenAI, live: Live) -> None:
    answer = client.chat.completions.create(model="gemma", messages=HELLO, max_tokens=5, user="u-1")
    assert answer.choices[0].message.content == "the answer of fake"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 5, 8)
    assert answer.model == "fake-mind"
    relay = answer.model_extra["relay"]
    assert (relay["meta"]["backend"], relay["credits"]["charged"], relay["credits"]["total"]) == ("fake", 1, 9)
    assert live.credits()["total"] == 9
    live.assert_balanced()


def test_a_caller_key_is_an_api_key(live: Live) -> None:
    made = live.call("POST", "/relay/keys", headers={"X-Recap-Install-Id": "inst-1"}, json={"label": "notebook"})
    with client_of(live, made.json["key"], install="") as client:
        client.chat.completions.create(model="default", messages=HELLO)
    assert live.credits()["total"] == 9
    with client_of(live, "rk_never-made") as stranger, pytest.raises(openai.AuthenticationError) as refusal:
        stranger.chat.completions.create(model="default", messages=HELLO)
    assert refusal.value.code == "bad_key"


def test_a_stream_comes_in_pieces_and_ends_with_usage_and_credits(
    client: OpenAI, live: Live, backend: FakeBackend
) -> None:
    backend.pieces = ["Hello", ", ", "you"]
    stream = client.chat.completions.create(
        model="gemma", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello, you"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
    assert (last.choices, last.usage.total_tokens) == ([], 8)
    assert last.model_extra["relay"]["credits"]["charged"] == 1
    live.assert_balanced()


def test_a_stream_without_usage_has_a_choice_in_every_chunk(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="gemma", messages=HELLO, stream=True))
    assert all(len(chunk.choices) == 1 for chunk in chunks)
    assert chunks[-1].model_extra["relay"]["meta"]["backend"] == "fake"


def test_tools_are_passed_through(client: OpenAI, backend: FakeBackend) -> None:
    answer = client.chat.completions.create(
        model="gemma", messages=HELLO, tools=[WEATHER], tool_choice="auto", parallel_tool_calls=False
    )
    assert backend.asked[-1].options == {"tools": [WEATHER], "tool_choice": "auto", "parallel_tool_calls": False}
    choice = answer.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    (call,) = choice.message.tool_calls
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "weather", '{"city":"Ghent"}')
    follow_up = [
        *HELLO,
        choice.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "rain"},
    ]
    client.chat.completions.create(model="gemma", messages=follow_up)
    assert backend.asked[-1].messages[1]["tool_calls"][0]["id"] == "call_1"


def test_tools_are_streamed(client: OpenAI) -> None:
    with client.chat.completions.stream(model="gemma", messages=HELLO, tools=[WEATHER]) as stream:
        (call,) = stream.get_final_completion().choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("weather", '{"city":"Ghent"}')


class Recap(BaseModel):
    title: str
    points: list[str]


def test_an_answer_is_parsed_into_a_typed_object(client: OpenAI, backend: FakeBackend) -> None:
    backend.text = '{"title": "Standup", "points": ["ship"]}'
    answer = client.chat.completions.parse(model="gemma", messages=HELLO, response_format=Recap)
    assert answer.choices[0].message.parsed == Recap(title="Standup", points=["ship"])
    assert backend.asked[-1].schema["required"] == ["title", "points"]
    backend.text = '{"title": 3}'
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.parse(model="gemma", messages=HELLO, response_format=Recap)


def transcribe(client: OpenAI, **more: Any) -> Any:
    more = {"model": "whisper-1"} | more
    return client.audio.transcriptions.create(file=("a.wav", WAV), **more)


def test_a_recording_is_transcribed_as_json(client: OpenAI, live: Live, backend: FakeBackend) -> None:
    answer = transcribe(client, language="en", prompt="names: Anna", temperature=0)
    assert answer.text == "We met. You left."
    assert (answer.usage.type, answer.usage.seconds) == ("duration", 2)
    assert answer.model_extra["relay"]["credits"]["total"] == 9
    asked = backend.asked[-1]
    assert (asked.language, asked.prompt, asked.model) == ("en", "names: Anna", None)
    live.assert_balanced()


def test_a_recording_is_transcribed_as_text_and_subtitles(client: OpenAI) -> None:
    assert transcribe(client, response_format="text") == "We met. You left.\n"
    srt = transcribe(client, response_format="srt")
    assert srt.startswith("1\n00:00:00,000 --> 00:00:01,000\nWe met.\n\n2\n")
    vtt = transcribe(client, response_format="vtt")
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nWe met.\n\n")


def test_a_verbose_transcript_has_segments_and_words(client: OpenAI) -> None:
    answer = transcribe(client, response_format="verbose_json", timestamp_granularities=["word", "segment"])
    assert (answer.language, answer.duration) == ("english", 2.0)
    assert [(segment.start, segment.text) for segment in answer.segments] == [(0.0, "We met."), (1.0, "You left.")]
    assert [word.word for word in answer.words] == ["We", "met.", "You", "left."]


def test_a_diarized_transcript_says_who_speaks(client: OpenAI, live: Live, backend: FakeBackend) -> None:
    answer = transcribe(client, model="gpt-4o-transcribe-diarize", response_format="diarized_json")
    assert [(segment.speaker, segment.text) for segment in answer.segments] == [("S1", "We met."), ("S2", "You left.")]
    backend.speech = (Segment(0.0, 2.0, "We met. You left."),)
    with pytest.raises(openai.InternalServerError) as refusal:
        transcribe(client, response_format="diarized_json")
    assert refusal.value.code == "no_backend"
    assert live.credits()["total"] == 9
    live.assert_balanced()


def test_a_transcript_is_streamed(client: OpenAI) -> None:
    *deltas, done = list(transcribe(client, stream=True))
    assert [delta.delta for delta in deltas] == ["We met.", " You left."]
    assert (done.type, done.text) == ("transcript.text.done", "We met. You left.")
    assert done.model_extra["relay"]["credits"]["charged"] == 1


def test_a_model_nobody_has_is_not_found(client: OpenAI, live: Live) -> None:
    for act in (
        lambda: client.chat.completions.create(model="gpt-0", messages=HELLO),
        lambda: transcribe(client, model="gpt-0"),
    ):
        with pytest.raises(openai.NotFoundError) as refusal:
            act()
        assert refusal.value.code == "not_found"
    assert live.credits()["total"] == 10


def test_a_name_of_openais_is_a_model_where_a_backend_has_it(tmp_path: Path) -> None:
    backend = Talker(models=("whisper-1", "other"))
    with running(tmp_path, [backend]) as live, client_of(live) as client:
        transcribe(client, model="whisper-1")
        transcribe(client, model="gpt-4o-transcribe")
        assert [request.model for request in backend.asked] == ["whisper-1", None]


def test_a_caller_without_credentials_is_told_so(live: Live) -> None:
    with client_of(live, install="") as stranger:
        for act in (
            stranger.models.list,
            lambda: stranger.chat.completions.create(model="gemma", messages=HELLO),
            lambda: transcribe(stranger),
        ):
            with pytest.raises(openai.AuthenticationError) as refusal:
                act()
            assert refusal.value.code == "unauthenticated"


def test_without_credit_the_error_says_where_to_buy(tmp_path: Path, backend: FakeBackend) -> None:
    with running(tmp_path, [backend], settings="[tiers.core]\nlifetime_credits = 0\n") as live:
        with client_of(live, max_retries=2) as client, pytest.raises(openai.APIStatusError) as refusal:
            client.chat.completions.create(model="gemma", messages=HELLO)
        error = refusal.value
        assert (error.status_code, error.code, error.type) == (402, "insufficient_credits", "payment_required")
        assert error.body["details"]["checkout_path"] == "/relay/credits/checkout"
        assert backend.calls == 0


def test_a_caller_who_is_too_fast_is_slowed_down(tmp_path: Path, backend: FakeBackend) -> None:
    with running(tmp_path, [backend], limits="[limits]\nrequests_per_minute = 1\n") as live:
        with client_of(live) as client:
            client.models.list()
            with pytest.raises(openai.RateLimitError) as refusal:
                client.chat.completions.create(model="gemma", messages=HELLO)
        assert refusal.value.code == "rate_limited"
        assert int(refusal.value.response.headers["retry-after"]) >= 1


def test_what_cannot_be_done_is_refused_with_its_place(client: OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as refusal:
        client.chat.completions.create(model="gemma", messages=HELLO, n=2)
    assert (refusal.value.code, refusal.value.body["details"]["path"]) == ("invalid", "n")
    with pytest.raises(openai.UnprocessableEntityError):
        client.audio.transcriptions.create(file=("a.wav", WAV), model="whisper-1", response_format="xml")  # type: ignore[call-overload]


def test_a_failed_backend_is_asked_again_by_the_client_and_charged_once(live: Live, backend: FakeBackend) -> None:
    backend.fail = Unavailable("the box is off")
    with client_of(live, max_retries=1) as client, pytest.raises(openai.InternalServerError) as refusal:
        client.chat.completions.create(model="gemma", messages=HELLO)
    assert (refusal.value.status_code, refusal.value.code) == (503, "upstream_unavailable")
    assert refusal.value.body["charged"] == 0
    assert live.credits()["total"] == 10
    live.assert_balanced()


def test_a_stream_that_breaks_raises_and_stays_charged(client: OpenAI, live: Live, backend: FakeBackend) -> None:
    backend.pieces = ["Hel", UpstreamFailed("it broke")]
    got: list[str | None] = []
    stream = client.chat.completions.create(model="gemma", messages=HELLO, stream=True)
    with pytest.raises(openai.APIError) as failure:
        got.extend(chunk.choices[0].delta.content for chunk in stream)
    assert (got, failure.value.code, failure.value.body["charged"]) == (["Hel"], "upstream_failed", 1)
    assert live.credits()["total"] == 9


def test_a_retry_after_a_timeout_gets_the_answer_of_the_first_call(live: Live, backend: FakeBackend) -> None:
    """The client gives up waiting, asks again under the same key, and is charged for one answer."""
    backend.gate = threading.Event()
    release = threading.Timer(1.0, backend.gate.set)
    with client_of(live, max_retries=20, timeout=0.5) as client:
        release.start()
        answer = client.chat.completions.create(
            model="gemma", messages=HELLO, extra_headers={"Idempotency-Key": "first-try"}
        )
    release.join()
    assert answer.choices[0].message.content == "the answer of fake"
    assert (backend.calls, live.credits()["total"]) == (1, 9)
    live.assert_balanced()


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_key_gets_the_same_answer_again(client: OpenAI, live: Live, backend: FakeBackend, stream) -> None:
    def ask() -> Any:
        answer: Any = client.chat.completions.create(
            model="gemma", messages=HELLO, stream=stream, extra_headers={"Idempotency-Key": "one"}
        )
        return [chunk.model_dump() for chunk in answer] if stream else answer.model_dump()

    assert ask() == ask()
    assert (backend.calls, live.credits()["total"]) == (1, 9)


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("json", "application/json"),
        ("text", "text/plain; charset=utf-8"),
        ("srt", "text/plain; charset=utf-8"),
        ("vtt", "text/vtt"),
        ("verbose_json", "application/json"),
    ],
)
def test_a_transcript_is_replayed_in_its_format(client: OpenAI, backend: FakeBackend, form: Any, kind: str) -> None:
    raw = client.audio.transcriptions.with_raw_response
    asking: Any = {"model": "whisper-1", "response_format": form, "extra_headers": {"Idempotency-Key": "one"}}
    replies = [raw.create(file=("a.wav", WAV), **asking) for _ in range(2)]
    assert [reply.headers["content-type"] for reply in replies] == [kind, kind]
    assert replies[0].content == replies[1].content
    assert replies[1].headers["idempotent-replayed"] == "true"
    assert backend.calls == 1


def test_the_field_backend_asks_one_backend(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="default", messages=HELLO, extra_body={"backend": "fake"})
    assert answer.model_extra["relay"]["meta"]["backend"] == "fake"
    for act in (client.chat.completions.create, lambda **more: transcribe(client, extra_body=more["extra_body"])):
        with pytest.raises(openai.NotFoundError):
            act(model="default", messages=HELLO, extra_body={"backend": "nobody"})


def test_a_page_in_a_browser_may_send_the_headers_of_the_client(client: OpenAI, live: Live) -> None:
    asking = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    reply = live.call("OPTIONS", "/relay/v1/chat/completions", headers=asking)
    allowed = set(reply.headers["access-control-allow-headers"].lower().split(", "))
    simple = {"accept", "user-agent"}
    assert {name.lower() for name in client.default_headers} - simple <= allowed


def test_calls_of_one_job_cost_one_credit(live: Live) -> None:
    with client_of(live).with_options(default_headers={"X-Recap-Job-Id": "monday"}) as client:
        text = transcribe(client).text
        client.chat.completions.create(model="gemma", messages=[{"role": "user", "content": text}])
    assert live.credits()["total"] == 9
    live.assert_balanced()
