"""A job that goes on after a crash does not listen again to what it has heard."""

from __future__ import annotations

import msgspec
import pytest

from relay.api import Unavailable

from .conftest import context, needs_model, sample
from .scores import BECKETT, TWO_CITIES, word_error

pytestmark = needs_model


def interrupted(backend, request) -> dict[str, bytes]:
    """The pieces of a call that ended after the first."""
    ctx = context()
    ctx.progress = lambda _fraction: ctx.cancelled.set()
    with pytest.raises(Unavailable):
        backend.transcribe(request, ctx)
    return ctx.pieces


def test_an_interrupted_transcription_goes_on_where_it_was(backend, request_for):
    pieces = interrupted(backend, request_for(sample("two_cities.wav")))
    assert len(pieces) == 1
    ctx = context()
    ctx.pieces = dict(pieces)
    transcript = backend.transcribe(request_for(sample("two_cities.wav")), ctx)
    assert word_error(TWO_CITIES, transcript.text) <= 0.20
    assert pieces.items() <= ctx.pieces.items()
    assert len(ctx.pieces) == 2
    spoken = [line["text"] for piece in ctx.pieces.values() for line in msgspec.json.decode(piece)]
    assert [segment.text for segment in transcript.segments] == spoken


def test_a_finished_piece_is_not_listened_to_again(backend, request_for):
    pieces = interrupted(backend, request_for(sample("two_cities.wav")))
    (name,) = pieces
    lines = msgspec.json.decode(pieces[name])
    lines[0]["text"] = "As it was heard before the crash."
    ctx = context()
    ctx.pieces = {name: msgspec.json.encode(lines)}
    transcript = backend.transcribe(request_for(sample("two_cities.wav")), ctx)
    assert transcript.segments[0].text == "As it was heard before the crash."


def test_pieces_of_another_recording_are_not_taken_for_its_own(backend, request_for):
    ctx = context()
    ctx.pieces = interrupted(backend, request_for(sample("two_cities.wav")))
    assert word_error(BECKETT, backend.transcribe(request_for(sample("beckett.wav")), ctx).text) <= 0.20
