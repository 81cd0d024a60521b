"""The sandbox's Gemini on loopback, recordings, and the plugin set up for both. Google's real SDK is in between."""

import array
import math
import time
import wave

import pytest
from relay_gemini import Plugin

from relay.ports.inference import Audio, CallContext, ChatRequest, TranscribeRequest
from relay.tables import Table
from relay.testing.sandbox.box import sandbox
from relay.testing.sandbox.gemini import KEY, Gemini

RATE = 16_000


@pytest.fixture
def box():
    with sandbox([Gemini()]) as running:
        yield running


@pytest.fixture
def gemini(box):
    return box["gemini"]


@pytest.fixture
def fault(box):
    """Plan a fault for the next call that asks for an answer."""

    def plan(name, route="stream", **more):
        box.faults.add("gemini", name, route=route, **more)

    return plan


@pytest.fixture
def calls(box):
    """How often each route was called."""

    def count(route="stream"):
        return box.requests.counts().get("gemini", {}).get(route, {}).get("calls", 0)

    return count


@pytest.fixture
def backend_for(box):
    made = []

    def make(**settings):
        table = {"api_key": KEY, "base_url": f"{box.url}/gemini", **settings}
        (backend,) = Plugin(Table(table, "plugins.gemini")).relay_inference_backends()
        made.append(backend)
        return backend

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def backend(backend_for):
    return backend_for()


def write_tone(path, seconds):
    """16 kHz mono with a silence in every second, to be cut in."""
    second = [round(8000 * math.sin(n / 5)) if n < RATE * 0.8 else 0 for n in range(RATE)]
    samples = array.array("h", second).tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples * int(seconds))
    return path


@pytest.fixture
def recording(tmp_path):
    folder = tmp_path / "call"
    folder.mkdir()
    return write_tone(folder / "recording", 12)


@pytest.fixture
def long_recording(tmp_path):
    """Two and a half minutes."""
    folder = tmp_path / "long"
    folder.mkdir()
    return write_tone(folder / "recording", 150)


@pytest.fixture
def ctx():
    return CallContext(deadline=time.monotonic() + 60)


@pytest.fixture
def ask(backend, ctx):
    def ask(text="What did we agree on?", **more):
        return list(backend.chat(ChatRequest(messages=[{"role": "user", "content": text}], **more), ctx))

    return ask


@pytest.fixture
def transcribe(backend, ctx):
    def transcribe(path, duration=None, by=backend, **more):
        return by.transcribe(TranscribeRequest(Audio(path, "r.wav", duration), **more), ctx)

    return transcribe
