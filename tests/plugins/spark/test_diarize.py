"""Who speaks when, from a box that numbers the speakers of each chunk anew."""

import json
import threading
import time

import pytest
from relay_spark.diarization import read_chunk

from relay.errors import Invalid, Unavailable, UpstreamFailed
from relay.ports.inference import Audio, CallContext, Diarizer, DiarizeRequest
from relay.shapes.chunks import Chunk
from relay.shapes.endpoint import Endpoint
from relay.shapes.failures import ServerName
from relay.testing.sandbox.box import sandbox
from relay.testing.sandbox.spark import Spark
from relay.upstream import HTTPClient, HTTPReply
from tests.speech import counted

SECONDS = 90
TURN = 5.0  # the sandbox lets two people take turns of five seconds


@pytest.fixture
def box():
    with sandbox([Spark()]) as box:
        yield box


@pytest.fixture
def backend(box, backend_for):
    return backend_for(f"{box.url}/spark", chunk_seconds=40, overlap_seconds=12)


@pytest.fixture
def recording(tmp_path):
    return counted(tmp_path / "talk.wav", SECONDS)


@pytest.fixture
def diarize(backend, recording):
    def diarize(ctx=None, **more):
        ctx = ctx or CallContext(deadline=time.monotonic() + 60)
        return backend.diarize(DiarizeRequest(Audio(recording, "talk.wav"), **more), ctx)

    return diarize


def assert_two_take_turns(found):
    """As the sandbox plays it, with the half second of silence between turns bridged by nobody else."""
    assert {turn.speaker for turn in found.turns} == {"S1", "S2"}
    for second in range(SECONDS):
        at = second + 0.3
        speaking = {turn.speaker for turn in found.turns if turn.start <= at < turn.end}
        if at % TURN < TURN - 0.6:
            assert speaking == {"S1" if int(at // TURN) % 2 == 0 else "S2"}, at


def test_it_is_a_diarizer(backend):
    assert isinstance(backend, Diarizer)
    assert "diarize" in backend.tasks


@pytest.mark.parametrize("speaker_form", ["number", "digits", "label"])
@pytest.mark.parametrize("embedding_form", ["speakers", "map", "segments", "none"])
def test_the_speakers_of_the_chunks_become_those_of_the_whole(box, diarize, speaker_form, embedding_form):
    box["spark"].configure({"speaker_form": speaker_form, "embedding_form": embedding_form})
    found = diarize()
    assert_two_take_turns(found)
    assert (found.duration, found.model) == (SECONDS, "diar_streaming_sortformer_4spk-v2.1")
    assert {name: len(voice) for name, voice in found.voices.items()} == (
        {} if embedding_form == "none" else {"S1": 192, "S2": 192}
    )


@pytest.mark.parametrize("embedding_form", ["map", "none"])
def test_the_lines_of_nemo_are_read(box, diarize, embedding_form):
    box["spark"].configure({"segment_form": "lines", "embedding_form": embedding_form})
    assert_two_take_turns(diarize())


def test_what_is_sent_says_where_the_chunk_is_and_how_many_speak(box, diarize):
    diarize(num_speakers=2, max_speakers=9)
    forms = [record.form for record in box.requests("spark", "diarize") if record.files]
    assert [form["chunk_index"] for form in forms] == [["0"], ["1"], ["2"], ["3"]]
    assert forms[0]["offset"] == ["0.000"]
    assert float(forms[1]["offset"][0]) > 10
    assert {(*form["max_speakers"], *form["num_speakers"]) for form in forms} == {("4", "2")}


def test_more_speakers_than_a_chunk_can_hold_are_told_apart_over_the_whole(box, backend_for, recording):
    people = [{"start": 15 * n, "end": 15 * n + 14, "speaker": "ABCDEF"[n]} for n in range(6)]
    box["spark"].configure({"speakers": people, "voices": {"likeness": 0.1, "noise": 0.2}})
    backend = backend_for(f"{box.url}/spark", chunk_seconds=40, overlap_seconds=12)
    ctx = CallContext(deadline=time.monotonic() + 60)
    found = backend.diarize(DiarizeRequest(Audio(recording, "talk.wav")), ctx)
    assert len({turn.speaker for turn in found.turns}) == 6


def test_finished_chunks_are_not_sent_again(box, diarize):
    pieces = {}
    first = diarize(CallContext(deadline=time.monotonic() + 60, pieces=pieces))
    sent = len(box.requests("spark", "diarize"))
    again = diarize(CallContext(deadline=time.monotonic() + 60, pieces=pieces))
    assert again == first
    assert len(box.requests("spark", "diarize")) == sent


def test_a_chunk_too_large_for_the_gpu_is_sent_in_halves(box, diarize):
    box.faults.add("spark", "oom", route="diarize", above_seconds=30)
    assert_two_take_turns(diarize())


def test_a_box_without_a_diarizer_says_so(box, diarize, backend):
    box["spark"].configure({"parts": ["transcribe", "chat"], "discovery": False})
    with pytest.raises(Unavailable, match="diarize_path"):
        diarize()
    assert not {"diarize"} & set(refreshed(backend))


def refreshed(backend):
    backend.health()
    return backend.tasks


def test_a_cancelled_call_ends_at_once_and_the_box_is_told(box, diarize):
    box.faults.add("spark", "hang", route="diarize")
    ctx = CallContext(deadline=time.monotonic() + 60)

    def cancel_when_it_hangs():
        box.requests.wait(lambda record: record.route == "diarize" and bool(record.files))
        ctx.cancel()

    threading.Thread(target=cancel_when_it_hangs).start()
    with pytest.raises(Unavailable, match="cancelled"):
        diarize(ctx)
    box.requests.wait(lambda record: record.route == "diarize" and record.hung_up)


def test_silence_is_the_callers_to_know(box, diarize):
    box["spark"].configure({"speakers": [{"start": 500, "end": 501, "speaker": "A"}]})
    with pytest.raises(Invalid, match="no speech"):
        diarize()


CHUNK = Chunk(0, 0.0, 10.0, 0.0, 10.0)


def read(answer):
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    endpoint = Endpoint(HTTPClient("http://h"), "/p", "plugins.spark.diarize_path", ServerName("it", "plugins.spark"))
    return read_chunk(HTTPReply(200, {}, body), CHUNK, endpoint)


@pytest.mark.parametrize(
    "segments",
    [
        [{"start": 0.5, "end": 2, "speaker": 0}, {"start": "2", "end": "4", "speaker": "1"}],
        [{"start": 0.5, "end": 2, "speaker": "speaker_0"}, {"start": 2, "end": 4, "speaker": "SPEAKER_01"}],
        ["0.500 2.000 speaker_0", "2.000 4.000 speaker_1"],
        [["0.500 2.000 speaker_0", "2.000 4.000 speaker_1"]],
        [
            {"start": 2, "end": 4, "speaker": 1},
            None,
            7,
            "x",
            {"start": -1, "end": "nan", "speaker": 0},
            {"start": 5, "end": 5, "speaker": 0},
            {"start": 99, "end": 100, "speaker": 0},
            {"start": 0.5, "end": 2, "speaker": 0, "confidence": None},
        ],
    ],
)
def test_every_way_to_write_a_turn_is_read(segments):
    for answer in ({"segments": segments}, segments):
        chunk = read(answer)
        assert [(turn.start, turn.end, turn.speaker) for turn in chunk.turns] == [(0.5, 2, "0"), (2, 4, "1")]


def test_embeddings_of_turns_count_by_their_length_and_broken_ones_do_not():
    segments = [
        {"start": 0, "end": 3, "speaker": 0, "embedding": [1.0, 0.0]},
        {"start": 3, "end": 4, "speaker": 0, "embedding": [0.0, 1.0]},
        {"start": 4, "end": 5, "speaker": 0, "embedding": [1.0, 2.0, 3.0]},
        {"start": 5, "end": 6, "speaker": 1, "embedding": [0.0, 0.0]},
        {"start": 6, "end": 7, "speaker": 2, "embedding": "none"},
    ]
    assert read({"segments": segments}).voices == {"0": (3.0, 1.0)}


@pytest.mark.parametrize("answer", [b"", b"<html>", b"{}", b'{"segments": 7}', b'{"segments": [7]}', b"[" * 99_999])
def test_what_holds_no_turns_is_a_failure(answer):
    with pytest.raises(UpstreamFailed, match="cannot be used"):
        read(answer)
