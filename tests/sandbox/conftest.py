"""A sandbox per test module's need, as new for every test; and ways to call it."""

from __future__ import annotations

import io
import json
import math
import struct
import wave

import pytest
import urllib3

from relay.testing.sandbox import Sandbox, sandbox


@pytest.fixture(scope="session")
def _box():
    with sandbox() as box:
        yield box


@pytest.fixture
def box(_box: Sandbox):
    _box.reset()
    return _box


@pytest.fixture
def client(box: Sandbox):
    with Client(box.url) as client:
        yield client


class Client:
    """Calls by method and path; fresh connections are opened as needed, none is retried."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pool = urllib3.PoolManager(retries=False, timeout=20)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self._pool.clear()

    def __call__(self, method: str, path: str, **more) -> urllib3.BaseHTTPResponse:
        return self._pool.request(method, self.url + path, **more)

    def get(self, path: str, **more):
        return self("GET", path, **more)

    def post(self, path: str, body: object = None, **more):
        return self("POST", path, json=body, **more)

    def put(self, path: str, body: object):
        return self("PUT", path, json=body)

    def upload(self, path: str, sound: bytes, name: str = "x.wav", **fields: str):
        return self("POST", path, fields={"file": (name, sound, "audio/wav"), **fields})

    def events(self, path: str, body: object) -> list[object]:
        """The data of a stream's events, decoded where they are JSON."""
        text = self.post(path, body).data.decode()
        return [_decoded(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


def _decoded(text: str) -> object:
    return text if text == "[DONE]" else json.loads(text)


def tone(seconds: float, rate: int = 16_000) -> bytes:
    """A WAV file with a quiet tone."""
    samples = [round(3000 * math.sin(at / 10)) for at in range(round(seconds * rate))]
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(rate)
        wav.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return file.getvalue()
