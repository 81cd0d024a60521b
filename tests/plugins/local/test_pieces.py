"""A job that goes on after a crash does not listen again to what it has heard."""

from __future__ import annotations

import msgspec
import pytest

from relay.api import Unavailable

from .conftest import context, needs_model, sample

pytestmark = needs_model


@pytest.fixture(scope="module")
def whole(backend, tmp_path_factory):
    """A transcript in one go, and the pieces it left."""
    from relay.api import Audio, TranscribeRequest

    path = tmp_path_factory.mktemp("whole") / "upload"
    path.write_bytes(sample("two_cities.wav").read_bytes())
    ctx = context()
    return backend.transcribe(TranscribeRequest(Audio(path, "upload")), ctx), ctx.pieces


def interrupted(backend, request) -> dict[str, bytes]:
    """The pieces of a call that ended after the first."""
    ctx = context()
    ctx.progress = lambda _fraction: ctx.cancelled.set()
    with pytest.raises(Unavailable):
        backend.transcribe(request, ctx)
    return ctx.pieces


def test_an_interrupted_transcription_goes_on_where_it_was(backend, request_for, whole):
    expected, all_pieces = whole
    pieces = interrupted(backend, request_for(sample("two_cities.wav")))
    assert len(pieces) == 1
    assert len(all_pieces) == 2
    ctx = context()
    ctx.pieces = pieces
    assert backend.transcribe(request_for(sample("two_cities.wav")), ctx) == expected
    assert ctx.pieces == all_pieces


def test_a_finished_piece_is_not_listened_to_again(backend, request_for):
    pieces = interrupted(backend, request_for(sample("two_cities.wav")))
    (name,) = pieces
    lines = msgspec.json.decode(pieces[name])
    lines[0]["text"] = "As it was heard before the crash."
    ctx = context()
    ctx.pieces = {name: msgspec.json.encode(lines)}
    transcript = backend.transcribe(request_for(sample("two_cities.wav")), ctx)
    assert transcript.segments[0].text == "As it was heard before the crash."


def test_another_recording_has_pieces_of_its_own_names(backend, request_for, whole):
    ctx = context()
    backend.transcribe(request_for(sample("beckett.wav")), ctx)
    assert not set(ctx.pieces) & set(whole[1])
