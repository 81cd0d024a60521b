from __future__ import annotations

import math
import shutil
import time
from array import array
from importlib.util import find_spec
from pathlib import Path

import pytest
from relay_local import Plugin

from relay.api import Audio, CallContext, DecodedAudio, TranscribeRequest, write_wav

RATE = 16_000

needs_model = pytest.mark.skipif(
    find_spec("moonshine_voice") is None, reason='needs the speech model: pip install "recap-relay[local]"'
)


def sample(name: str) -> Path:
    from moonshine_voice.utils import get_assets_path

    return get_assets_path() / name


def context(seconds: float = 60) -> CallContext:
    return CallContext(time.monotonic() + seconds)


def tone(seconds: float, hertz: float = 440, level: float = 0.5) -> array[int]:
    wave = (level * 32767 * math.sin(2 * math.pi * hertz * i / RATE) for i in range(round(seconds * RATE)))
    return array("h", map(round, wave))


def new_backend():
    (backend,) = Plugin({}).relay_inference_backends()
    return backend


@pytest.fixture(scope="session")
def backend():
    backend = new_backend()
    yield backend
    backend.close()


@pytest.fixture
def request_for(tmp_path):
    """A recording in a folder of its own, as the core hands it over: from a path, or from samples."""
    made = 0

    def make(source: Path | array[int], **options) -> TranscribeRequest:
        nonlocal made
        made += 1
        folder = tmp_path / str(made)
        folder.mkdir()
        path = folder / "upload"
        if isinstance(source, Path):
            shutil.copy(source, path)
        else:
            pcm = folder / "samples"
            pcm.write_bytes(source.tobytes())
            write_wav(DecodedAudio(pcm, len(source) / RATE), path)
        return TranscribeRequest(Audio(path, "upload"), **options)

    return make
