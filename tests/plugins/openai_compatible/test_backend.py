"""The backend against the sandbox's server: chat, streams, models, transcripts."""

import json
import threading
import time

import pytest
from structlog.testing import capture_logs

from relay.errors import (
    BlockedByUpstream,
    Invalid,
    NoSuchModel,
    NotAccepted,
    OutcomeUnknown,
    Unavailable,
    UpstreamFailed,
)
from relay.ports.inference import Audio, CallContext, ChatRequest, TranscribeRequest
from relay.testing.inference import InferenceConformance
from tests.flows.live import eventually
from tests.loopback import Server, json_reply, reply
from tests.speech import counted, hear

from .conftest import QUESTION

SAID = "The sandbox read: hello there"
SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


class TestConformance(InferenceConformance):
    @pytest.fixture
    def backend(self, backend):
        return backend

    @pytest.fixture
    def recording(self, tmp_path):
        return counted(tmp_path / "recording", 3)


def test_a_chat_without_a_stream_is_one_piece(box, ask):
    (delta,) = ask(max_output_tokens=50, options={"top_p": 0.5})
    assert (delta.text, delta.finish, delta.model) == (SAID, "stop", "sandbox-chat")
    assert delta.input_tokens > 0
    assert delta.output_tokens > 0
    (sent,) = box.requests("openai", "chat")
    assert sent.json == {"model": "sandbox-chat", "messages": list(QUESTION), "max_tokens": 50, "top_p": 0.5}
    assert "stream" not in sent.json


def test_a_streamed_chat_comes_in_pieces_with_the_usage_at_its_end(box, ask):
    deltas = ask(stream=True)
    assert "".join(delta.text for delta in deltas) == SAID
    assert len(deltas) > 3
    assert [delta.finish for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
    last = deltas[-1]
    assert (last.text, last.finish, last.model) == ("", "stop", "sandbox-chat")
    assert last.input_tokens > 0
    assert last.output_tokens > 0


def test_streams_leave_their_connection_for_the_next_call(backend_for, ctx):
    event = b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event)
    stream = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + body
    with Server(lambda request: type(reply())(stream)) as server:
        backend = backend_for(server.url, model="m")
        for _ in range(3):
            assert len(list(backend.chat(ChatRequest(QUESTION, stream=True), ctx))) == 2
        assert server.connections == 1


def test_a_server_that_does_not_stream_is_understood(backend_for, ctx):
    answer = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}
    with Server(lambda request: json_reply(answer)) as server:
        backend = backend_for(server.url, model="m")
        assert [delta.text for delta in backend.chat(ChatRequest(QUESTION, stream=True), ctx)] == ["hi"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_schema_is_asked_for_and_answered(ask, stream):
    text = "".join(delta.text for delta in ask(schema=SCHEMA, stream=stream))
    assert json.loads(text).keys() == {"title"}


@pytest.mark.parametrize("stream", [False, True])
def test_calls_of_tools_come_through(ask, stream):
    deltas = ask(options={"tools": [TOOL]}, stream=stream)
    (call,) = [call for delta in deltas for call in delta.tool_calls]
    assert (call["index"], call["function"]["name"]) == (0, "look")
    assert deltas[-1].finish == "tool_calls"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "options", "error"),
    [
        ("status", {"status": 500}, UpstreamFailed),
        ("status", {"status": 402}, Unavailable),
        ("status", {"status": 401}, Unavailable),
        ("html", {}, UpstreamFailed),
        ("garbage", {}, UpstreamFailed),
        ("empty", {}, UpstreamFailed),
        ("context_length", {}, NotAccepted),
        ("content_filter", {}, BlockedByUpstream),
        ("refuse", {}, OutcomeUnknown),
        ("cut", {"chunks": 0}, OutcomeUnknown),
        ("cut", {"chunks": 2}, OutcomeUnknown),
        ("cut", {"chunks": 2, "reset": True}, OutcomeUnknown),
    ],
)
def test_each_fault_has_its_error_streamed_or_not(box, ask, fault, options, error, stream):
    box.faults.add("openai", fault, route="chat", **options)
    with pytest.raises(error) as failure:
        ask(stream=stream)
    assert type(failure.value) is error
    assert "sandbox" not in failure.value.message


@pytest.mark.parametrize(
    ("fault", "options", "error"),
    [
        ("error_in_stream", {"chunks": 0}, UpstreamFailed),
        ("error_in_stream", {"chunks": 3}, UpstreamFailed),
        ("malformed_sse", {"chunks": 3}, OutcomeUnknown),
        ("no_choices", {}, UpstreamFailed),
    ],
)
def test_each_fault_of_a_stream_has_its_error(box, ask, fault, options, error):
    box.faults.add("openai", fault, route="chat", **options)
    with pytest.raises(error) as failure:
        ask(stream=True)
    assert type(failure.value) is error


def test_what_came_before_a_failure_has_been_given(box, backend, ctx):
    box.faults.add("openai", "cut", route="chat", chunks=3)
    deltas = backend.chat(ChatRequest(QUESTION, stream=True), ctx)
    assert next(deltas).text == "The"
    with pytest.raises(OutcomeUnknown):
        list(deltas)


def test_a_busy_server_is_asked_again_for_a_stream_too(box, ask):
    box.faults.add("openai", "retry_after", route="chat", times=2, seconds=0)
    assert "".join(delta.text for delta in ask(stream=True)) == SAID
    assert len(box.requests("openai", "chat")) == 3


@pytest.mark.parametrize("chunks", [0, 3])
def test_a_cancel_ends_a_stream_and_the_server_is_told(box, backend, ctx, chunks):
    box.faults.add("openai", "hang", route="chat", chunks=chunks)

    def cancel_when_it_hangs():
        box.requests.wait(lambda record: record.route == "chat")
        threading.Timer(0.2, ctx.cancel).start()

    threading.Thread(target=cancel_when_it_hangs).start()
    with pytest.raises(Unavailable, match="cancelled"):
        list(backend.chat(ChatRequest(QUESTION, stream=True), ctx))
    box.requests.wait(lambda record: record.route == "chat" and record.hung_up)


def test_closing_a_stream_early_tells_the_server(box, backend, ctx):
    box["openai"].configure({"piece_seconds": 0.3, "answer": "word " * 200})
    deltas = backend.chat(ChatRequest(QUESTION, stream=True), ctx)
    next(deltas)
    deltas.close()
    box.requests.wait(lambda record: record.route == "chat" and record.hung_up)


def test_the_key_and_more_headers_are_sent_and_stay_out_of_the_log(box, backend_for, ctx):
    def echo(request):
        return reply(500, " ".join(request.headers[name] for name in ("x-team", "authorization")).encode())

    with Server(echo) as server:
        backend = backend_for(server.url, model="m", api_key="sesame-key", headers={"X-Team": "swordfish"})
        with capture_logs() as logs, pytest.raises(UpstreamFailed):
            list(backend.chat(ChatRequest(QUESTION), ctx))
        sent = server.requests[0].headers
    assert (sent["authorization"], sent["x-team"]) == ("Bearer sesame-key", "swordfish")
    assert "***" in str(logs)
    assert "sesame-key" not in str(logs)
    assert "swordfish" not in str(logs)


def test_models_are_listed_at_the_first_call_and_by_health(box, backend, backend_for, ask):
    ask()
    ask()
    assert backend.models("analyze") == ("sandbox-chat",)
    assert len(box.requests("openai", "models")) == 1
    other = backend_for(f"{box.url}/openai")
    assert other.health().ok
    assert (other.models("analyze"), other.models("transcribe")) == (("sandbox-chat",), ())


def test_only_models_on_offer_may_be_asked_for(box, backend_for, ctx):
    box["openai"].configure({"models": ["a", "b", "c"]})
    backend = backend_for(f"{box.url}/openai", model="b", models=["c"])
    assert backend.models("analyze") == ("b", "c")
    for asked, used in ((None, "b"), ("c", "c")):
        (delta,) = backend.chat(ChatRequest(QUESTION, model=asked), ctx)
        assert delta.model == used
    with pytest.raises(NoSuchModel, match="'a'"):
        backend.chat(ChatRequest(QUESTION, model="a"), ctx)


def test_models_are_listed_beside_the_first_look_at_them(backend):
    eventually(lambda: backend.models("analyze") == ("sandbox-chat",))


@pytest.mark.parametrize("asked", ["nobody", None])
def test_what_a_caller_asks_for_does_not_make_the_list_of_models_doubtful(box, backend, ask, asked):
    ask()
    if asked is None:
        box.faults.add("openai", "context_length", route="chat", times=1)
    with pytest.raises((NoSuchModel, NotAccepted)):
        ask(model=asked)
    ask()
    assert len(box.requests("openai", "models")) == 1


def test_after_a_failure_of_the_server_its_models_are_asked_for_again_and_shown_meanwhile(box, backend, ask):
    ask()
    box.faults.add("openai", "status", route="chat", status=500, times=1)
    with pytest.raises(UpstreamFailed):
        ask()
    assert backend.models("analyze") == ("sandbox-chat",)
    box["openai"].configure({"models": ["newer"]})
    (delta,) = ask()
    assert delta.model == "newer"


@pytest.mark.parametrize("form", ["verbose_json", "json"])
def test_a_recording_becomes_a_transcript(box, backend_for, tmp_path, ctx, form):
    backend = backend_for(
        f"{box.url}/openai", tasks=["transcribe"], transcribe_model="whisper-1", transcribe_format=form
    )
    request = TranscribeRequest(Audio(counted(tmp_path / "a", 4), "a.wav"), language="en", prompt="names")
    transcript = backend.transcribe(request, ctx)
    (sent,) = box.requests("openai", "transcriptions")
    assert transcript.text
    assert (transcript.model, transcript.language, transcript.duration) == ("whisper-1", "en", 4.0)
    assert bool(transcript.segments[0].words) == (form == "verbose_json")
    assert sent.form["model"] == ["whisper-1"]
    assert (sent.form["language"], sent.form["prompt"]) == (["en"], ["names"])
    assert sent.form.get("timestamp_granularities[]") == (["word", "segment"] if form == "verbose_json" else None)
    assert backend.tasks == {"transcribe"}
    assert backend.models("transcribe") == ("whisper-1",)


def test_a_long_recording_is_sent_in_chunks(backend_for, tmp_path, ctx):
    with Server(hear) as server:
        backend = backend_for(server.url, model="w", tasks=["transcribe"], chunk_seconds=20, overlap_seconds=4)
        request = TranscribeRequest(Audio(counted(tmp_path / "a", 50), "a.wav"))
        assert backend.transcribe(request, ctx).text.split() == [f"w{n}" for n in range(50)]
        assert {request.path for request in server.requests} == {"/v1/audio/transcriptions"}


def test_silence_is_the_callers_to_know(box, backend, tmp_path, ctx):
    box["openai"].configure({"transcript": ""})
    with pytest.raises(Invalid, match="no speech"):
        backend.transcribe(TranscribeRequest(Audio(counted(tmp_path / "a", 2), "a.wav")), ctx)


def test_health_tells_what_is_wrong(box, backend, backend_for):
    assert backend.health().detail == ""
    assert "not listed there: mine" in backend_for(f"{box.url}/openai", model="mine").health().detail
    box["openai"].configure({"token": "another"})
    health = backend.health()
    assert not health.ok
    assert "plugins.openai_compatible.vllm.api_key" in health.detail
    with Server(lambda request: reply(404)) as server:
        assert backend_for(server.url, model="m").health().ok
        assert not backend_for(server.url).health().ok


def test_a_server_that_is_down_is_certain(backend_for):
    with Server() as server:
        pass
    backend = backend_for(server.url, model="m")
    for stream in (False, True):
        ctx = CallContext(deadline=time.monotonic() + 30)
        with pytest.raises(Unavailable, match="could not be reached"):
            list(backend.chat(ChatRequest(QUESTION, stream=stream), ctx))
