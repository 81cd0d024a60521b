"""The real diarizer on a real telephone call of two, whose turns are known."""

from __future__ import annotations

import threading
import time
from array import array
from pathlib import Path

import pytest
from relay_local import engine

from relay.api import (
    Audio,
    DiarizeRequest,
    DiarizedChunk,
    Invalid,
    TranscribeRequest,
    Unavailable,
    UpstreamTimeout,
    decode,
    stitch_speakers,
)

from .conftest import RATE, context, needs_model, new_backend, sample, tone
from .scores import CALL, diarization_error

pytestmark = needs_model


@pytest.fixture(scope="session")
def call(tmp_path_factory) -> array[int]:
    audio = decode(CALL, tmp_path_factory.mktemp("call") / "samples", max_seconds=60)
    return array("h", audio.path.read_bytes())


@pytest.fixture
def diarize(backend, request_for):
    """Diarize a path, or samples."""

    def run(source, ctx=None, backend=backend, **bounds):
        audio: Audio = request_for(source).audio
        before = sorted(audio.path.parent.iterdir())
        try:
            return backend.diarize(DiarizeRequest(audio, **bounds), ctx or context(120))
        finally:
            assert sorted(audio.path.parent.iterdir()) == before

    return run


def test_of_a_call_of_two_the_turns_are_found(diarize):
    progress = []
    ctx = context(120)
    ctx.progress = progress.append
    found = diarize(CALL, ctx)
    assert diarization_error(found.turns) <= 0.20
    assert {turn.speaker for turn in found.turns} == {"S1", "S2"}
    assert found.turns[0].speaker == "S1"
    assert (found.duration, found.model) == (30, "moonshine-speakers")
    assert [turn.start for turn in found.turns] == sorted(turn.start for turn in found.turns)
    assert all(0 <= turn.start < turn.end <= 30 for turn in found.turns)
    assert progress == sorted(progress)
    assert len(progress) == 6
    assert progress[-1] == 1
