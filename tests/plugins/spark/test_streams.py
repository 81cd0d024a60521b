"""Streamed chats with the sandbox's box: pieces, failures, and a caller who goes."""

import threading
import time

import pytest

from relay.errors import OutcomeUnknown, Unavailable, UpstreamFailed
from relay.ports.inference import Audio, CallContext, ChatRequest, TranscribeRequest
from relay.testing.inference import InferenceConformance
from relay.testing.sandbox.box import sandbox
from relay.testing.sandbox.spark import Spark
from tests.speech import counted

QUESTION = ChatRequest([{"role": "user", "content": "hello there"}], stream=True)


@pytest.fixture
def box():
    with sandbox([Spark()]) as box:
        yield box


@pytest.fixture
def backend(box, backend_for):
    return backend_for(f"{box.url}/spark")


@pytest.fixture
def ctx():
    return CallContext(deadline=time.monotonic() + 30)


class TestTheSandboxesBox(InferenceConformance):
    @pytest.fixture
    def backend(self, backend):
        return backend

    @pytest.fixture
    def recording(self, tmp_path):
        return counted(tmp_path / "recording", 3)


def test_pieces_come_one_by_one(backend, ctx):
    deltas = list(backend.chat(QUESTION, ctx))
    assert "".join(delta.text for delta in deltas) == "The sandbox read: hello there"
    assert len(deltas) > 3
    assert (deltas[-1].finish, deltas[-1].model) == ("stop", "gemma-4-26b-a4b-it")


@pytest.mark.parametrize(
    ("fault", "error"),
    [("cut", OutcomeUnknown), ("error_in_stream", UpstreamFailed), ("malformed_sse", OutcomeUnknown)],
)
def test_a_failure_after_some_pieces_has_its_name(box, backend, ctx, fault, error):
    box.faults.add("spark", fault, route="chat", chunks=3)
    deltas = backend.chat(QUESTION, ctx)
    assert next(deltas).text == "The"
    with pytest.raises(error):
        list(deltas)


def test_a_caller_who_goes_ends_the_call_on_the_box(box, backend, ctx):
    box.faults.add("spark", "hang", route="chat", chunks=3)
    deltas = backend.chat(QUESTION, ctx)
    next(deltas)
    threading.Timer(0.2, ctx.cancel).start()
    with pytest.raises(Unavailable, match="cancelled"):
        list(deltas)
    box.requests.wait(lambda record: record.route == "chat" and record.hung_up)


def test_memory_that_is_too_small_has_its_name(box, backend, ctx):
    box.faults.add("spark", "oom", route="chat")
    with pytest.raises(UpstreamFailed, match="GPU memory"):
        list(backend.chat(QUESTION, ctx))


@pytest.mark.parametrize("shape", ["verbose", "text", "nemo", "vllm"])
def test_every_shape_of_transcript_is_read(box, backend, ctx, shape, tmp_path):
    box["spark"].configure({"transcript_shape": shape, "transcript": "we met on monday"})
    transcript = backend.transcribe(TranscribeRequest(Audio(counted(tmp_path / "a", 4), "a.wav")), ctx)
    assert transcript.text == "we met on monday"
    assert bool(transcript.segments[0].words) == (shape != "text")


def test_a_box_with_a_token_is_given_it(box, backend_for, ctx):
    box["spark"].configure({"token": "sesame-token"})
    assert list(backend_for(f"{box.url}/spark", token="sesame-token").chat(QUESTION, ctx))
    with pytest.raises(Unavailable, match=r"plugins\.spark\.token"):
        list(backend_for(f"{box.url}/spark", token="another").chat(QUESTION, ctx))
