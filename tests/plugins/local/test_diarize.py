"""The real diarizer on a real telephone call of two, whose turns are known."""

from __future__ import annotations

import threading
import time
from array import array
from dataclasses import dataclass, field

import psutil
import pytest
from relay_local import engine, speakers
from relay_local.fair_lock import FairLock

from relay.api import (
    Audio,
    DecodedAudio,
    Diarization,
    DiarizedChunk,
    DiarizeRequest,
    Invalid,
    TranscribeRequest,
    Transcript,
    Turn,
    Unavailable,
    UpstreamTimeout,
    decode,
    stitch_speakers,
)

from .conftest import RATE, context, needs_model, new_backend, sample, tone
from .scores import BECKETT, CALL, diarization_error, word_error

# Diarizing takes as long as listening, and several times that on a machine with other work.
pytestmark = [needs_model, pytest.mark.timeout(600), pytest.mark.xdist_group("diarize")]
PATIENCE = 500.0


@dataclass
class Heard:
    """One diarization of the call, while another caller had something transcribed."""

    found: Diarization
    progress: list[float] = field(default_factory=list)
    meanwhile: list[tuple[float, Transcript]] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


@pytest.fixture(scope="module")
def heard(tmp_path_factory) -> Heard:
    backend = new_backend()
    heard = Heard(Diarization((), 0, ""))
    folder = tmp_path_factory.mktemp("heard")
    (folder / "upload").write_bytes(CALL.read_bytes())
    (folder / "other").write_bytes(sample("beckett.wav").read_bytes())
    other = threading.Thread(target=lambda: heard.meanwhile.append(transcribe_other()))

    def transcribe_other() -> tuple[float, Transcript]:
        request = TranscribeRequest(Audio(folder / "other", "other"))
        transcript = backend.transcribe(request, context(PATIENCE))
        return heard.progress[-1], transcript

    def progress(fraction: float) -> None:
        heard.progress.append(fraction)
        heard.memory.append(megabytes())
        if len(heard.progress) == 2:
            other.start()

    ctx = context(PATIENCE)
    ctx.progress = progress
    heard.found = backend.diarize(DiarizeRequest(Audio(folder / "upload", "upload"), max_speakers=4), ctx)
    other.join(PATIENCE)
    backend.close()
    heard.memory.append(megabytes())
    return heard


def megabytes() -> float:
    return psutil.Process().memory_info().rss / 2**20


@pytest.fixture
def stretch(tmp_path):
    """A part of the call, as samples in a file."""
    whole = decode(CALL, tmp_path / "call", max_seconds=60).path.read_bytes()

    def cut(start: float, end: float) -> DecodedAudio:
        path = tmp_path / f"{start}-{end}"
        path.write_bytes(whole[round(start * RATE) * 2 : round(end * RATE) * 2])
        return DecodedAudio(path, end - start)

    return cut


def test_of_a_call_of_two_the_turns_are_found(heard):
    turns = heard.found.turns
    assert diarization_error(turns) <= 0.20
    assert {turn.speaker for turn in turns} == {"S1", "S2"}
    assert turns[0].speaker == "S1"
    assert (heard.found.duration, heard.found.model) == (30, "moonshine-speakers")
    assert [turn.start for turn in turns] == sorted(turn.start for turn in turns)
    assert all(0 <= turn.start < turn.end <= 30 for turn in turns)


def test_it_tells_how_far_it_is(heard):
    assert heard.progress == pytest.approx([n / 6 for n in range(1, 7)])


def test_a_long_diarization_lets_other_calls_have_their_turn(heard):
    ((at, transcript),) = heard.meanwhile
    assert at < 1, "the other call was answered while the diarization was still at work"
    assert word_error(BECKETT, transcript.text) <= 0.20


def test_the_models_leave_memory_afterwards(heard):
    *during, after = heard.memory
    assert after < max(during) - 60


def test_cut_in_two_with_an_overlap_the_same_two_are_found(stretch):
    """Without embeddings: by who speaks when in the overlap alone."""
    running = engine.Engine(engine.find_model(), idle_seconds=60)
    chunks = []
    for start, end in ((6.0, 21.0), (10.0, 30.0)):
        found = speakers.diarize(running, stretch(start, end), context(PATIENCE))
        chunks.append(DiarizedChunk(start, end - start, found.turns))
    running.close()
    turns, _ = stitch_speakers(chunks)
    assert len({turn.speaker for turn in turns}) == 2
    assert diarization_error(Turn(*turn) for turn in turns) <= 0.20


def test_cut_into_many_and_numbered_anew_in_each_it_comes_back_whole(heard):
    """What stitching by overlap itself adds to the error."""
    chunks = [
        DiarizedChunk(
            start,
            15,
            [
                Turn(max(turn.start - start, 0), min(turn.end - start, 15), f"{turn.speaker} of chunk {start}")
                for turn in heard.found.turns
                if turn.start < start + 15 and turn.end > start
            ],
        )
        for start in (0, 10, 15)
    ]
    turns, _ = stitch_speakers(chunks)
    assert diarization_error(Turn(*turn) for turn in turns) <= 1.01 * diarization_error(heard.found.turns)


def test_the_number_of_speakers_the_caller_knows_is_kept(backend, request_for, stretch):
    """Two are found in this stretch."""
    samples = array("h", stretch(6, 21).path.read_bytes())
    request = DiarizeRequest(request_for(samples).audio, num_speakers=1)
    before = sorted(request.audio.path.parent.iterdir())
    turns = backend.diarize(request, context(PATIENCE)).turns
    assert {turn.speaker for turn in turns} == {"S1"}
    assert sum(turn.end - turn.start for turn in turns) > 12
    assert sorted(request.audio.path.parent.iterdir()) == before


def test_a_cancelled_call_ends_between_two_pieces(backend, request_for):
    ctx = context(PATIENCE)
    progress = []

    def hang_up(fraction: float) -> None:
        progress.append(fraction)
        ctx.cancelled.set()

    ctx.progress = hang_up
    with pytest.raises(Unavailable, match="cancelled"):
        backend.diarize(DiarizeRequest(request_for(CALL).audio), ctx)
    assert progress == pytest.approx([1 / 6])


def test_a_call_whose_time_runs_out_ends_between_two_pieces(backend, request_for):
    ctx = context(PATIENCE)
    progress = []

    def time_passes(fraction: float) -> None:
        progress.append(fraction)
        ctx.deadline = time.monotonic()

    ctx.progress = time_passes
    with pytest.raises(UpstreamTimeout):
        backend.diarize(DiarizeRequest(request_for(CALL).audio), ctx)
    assert len(progress) == 1


def test_a_stop_of_the_relay_ends_it_between_two_pieces(request_for):
    backend = new_backend()
    ctx = context(PATIENCE)
    ctx.progress = lambda _fraction: backend.close()
    with pytest.raises(Unavailable, match="shutting down"):
        backend.diarize(DiarizeRequest(request_for(CALL).audio), ctx)


@pytest.mark.parametrize("what", ["silence", "a tone"])
def test_where_nobody_speaks_nobody_is_found(backend, request_for, what):
    samples = array("h", bytes(RATE * 4)) if what == "silence" else tone(2)
    with pytest.raises(Invalid, match="no speech") as caught:
        backend.diarize(DiarizeRequest(request_for(samples).audio), context(PATIENCE))
    assert caught.value.details == {"path": "file", "reason": "no_speech"}


def test_one_who_releases_the_lock_does_not_win_it_again_while_another_waits():
    lock, order, wanted = FairLock(), [], threading.Event()

    def other() -> None:
        wanted.set()
        with lock:
            order.append("other")

    with lock:
        thread = threading.Thread(target=other)
        thread.start()
        wanted.wait(5)
        time.sleep(0.2)
    with lock:
        order.append("first again")
    thread.join(5)
    assert order == ["other", "first again"]


@pytest.mark.parametrize("seconds", [2.0, 4.0, 4.9])
def test_a_recording_of_a_few_seconds_has_its_speaker(backend, stretch, seconds):
    cut = stretch(8, 8 + seconds)  # somebody speaks all through it
    found = speakers.diarize(backend._engine, cut, context(PATIENCE))
    assert found.turns
    assert all(0 <= turn.start < turn.end <= seconds for turn in found.turns)
