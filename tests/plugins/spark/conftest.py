"""A Spark server on loopback, a recording, and the plugin set up for both."""

import array
import math
import time
import wave

import pytest
from relay_spark import Plugin

from relay.ports.inference import Audio, CallContext, ChatRequest, TranscribeRequest
from relay.tables import Table
from tests.loopback import Server, json_reply, reply

MODELS = {"object": "list", "data": [{"id": "gemma", "object": "model"}, {"id": "other"}]}
COMPLETION = {
    "id": "c1",
    "object": "chat.completion",
    "model": "gemma",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    "system_fingerprint": "x",
}
TRANSCRIPT = {
    "text": "hi there",
    "language": "en",
    "duration": 3.0,
    "segments": [{"id": 0, "start": 0.0, "end": 2.9, "text": "hi there"}],
    "words": [{"word": "hi", "start": 0.0, "end": 0.4}],
    "model": "parakeet",
}


STATUS = {
    "name": "spark-control",
    "ready": True,
    "services": {
        "transcribe": {"path": "/api/audio/transcribe", "ready": True},
        "diarize": {"path": "/api/audio/diarize-chunk", "ready": True},
        "chat": {"path": "/v1/chat/completions", "ready": True},
    },
}


class Spark(Server):
    """Answers as it should, except where `says` has another answer for a path."""

    def __init__(self):
        super().__init__(self._answer)
        self.says = {}

    def _answer(self, request):
        if request.path in self.says:
            said = self.says[request.path]
            return said.pop(0) if isinstance(said, list) else said
        usual = {
            "/api/status": STATUS,
            "/v1/models": MODELS,
            "/v1/chat/completions": COMPLETION,
            "/api/audio/transcribe": TRANSCRIPT,
        }
        return json_reply(usual[request.path]) if request.path in usual else reply(404)

    def calls(self):
        """What was asked beside the discovery, which comes when it likes."""
        return [request for request in self.requests if request.path != "/api/status"]

    def paths(self):
        return [request.path for request in self.calls()]


@pytest.fixture
def spark():
    with Spark() as server:
        yield server


@pytest.fixture
def backend_for():
    made = []

    def make(url, **settings):
        (backend,) = Plugin(Table({"url": url, **settings}, "plugins.spark")).relay_inference_backends()
        made.append(backend)
        return backend

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def backend(spark, backend_for):
    return backend_for(spark.url, token="sesame-token")


@pytest.fixture
def recording(tmp_path):
    """Three seconds of a tone, 8 kHz stereo: the backend has to make 16 kHz mono of it."""
    tone = (round(8000 * math.sin(n / 5)) for n in range(3 * 8000) for _ in range(2))
    with wave.open(str(tmp_path / "recording"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(array.array("h", tone).tobytes())
    return tmp_path / "recording"


@pytest.fixture
def ctx():
    return CallContext(deadline=time.monotonic() + 30)


@pytest.fixture
def ask(backend, ctx):
    def ask(**more):
        return list(backend.chat(ChatRequest(messages=[{"role": "user", "content": "hi"}], **more), ctx))

    return ask


@pytest.fixture
def transcribe(backend, recording, ctx):
    def transcribe(**more):
        return backend.transcribe(TranscribeRequest(Audio(recording, "r.wav"), **more), ctx)

    return transcribe
