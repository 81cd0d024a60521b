"""Recordings longer than a chunk: every word once, in its place, and nothing done twice."""

import time

import pytest

from relay.errors import Unavailable, UpstreamFailed
from relay.ports.inference import Audio, CallContext, TranscribeRequest
from tests.loopback import json_reply, reply
from tests.speech import RATE, counted, hear, sound_of

from .conftest import STATUS

TRANSCRIBE = "/api/audio/transcribe"
SECONDS = 95
CHUNKS = 6  # the quietest place for a cut is the first of the ten seconds to choose from
OOM = json_reply({"error": {"message": "CUDA out of memory. Tried to allocate 2 GiB"}}, 500)


@pytest.fixture
def recording(tmp_path):
    return counted(tmp_path / "long.wav", SECONDS)


@pytest.fixture
def backend(spark, backend_for):
    spark.hear = hear
    spark.usual = spark.answer
    spark.answer = lambda request: spark.hear(request) if request.path == TRANSCRIBE else spark.usual(request)
    return backend_for(spark.url, model="m", chunk_seconds=30, overlap_seconds=4)


@pytest.fixture
def transcribe(backend, recording):
    def transcribe(**more):
        ctx = CallContext(deadline=time.monotonic() + 60, **more)
        return backend.transcribe(TranscribeRequest(Audio(recording, "long.wav")), ctx)

    return transcribe


def lengths(spark):
    return [len(sound_of(request)) / RATE for request in spark.calls()]


def test_every_word_is_there_once_and_at_its_time(spark, transcribe, recording):
    transcript = transcribe()
    words = [word for segment in transcript.segments for word in segment.words]
    assert [word.word for word in words] == [f"w{n}" for n in range(SECONDS)]
    assert all(word.start == pytest.approx(n, abs=0.6) for n, word in enumerate(words))
    assert transcript.text.split() == [word.word for word in words]
    assert (transcript.duration, transcript.language, transcript.model) == (SECONDS, "en", "spark")
    assert len(lengths(spark)) == CHUNKS
    assert max(lengths(spark)) <= 30
    assert list(recording.parent.iterdir()) == [recording]


def test_texts_without_times_are_joined_where_they_overlap(spark, transcribe):
    spark.hear = lambda request: hear(request, words=False)
    assert transcribe().text.split() == [f"w{n}" for n in range(SECONDS)]


def test_a_server_that_takes_less_at_once_gets_less(spark, transcribe):
    services = {**STATUS["services"], "transcribe": {"path": TRANSCRIBE, "max_seconds": 20}}
    spark.says["/api/status"] = json_reply({"services": services})
    assert len(transcribe().text.split()) == SECONDS
    assert max(lengths(spark)) <= 20


def test_progress_is_told_chunk_by_chunk(transcribe):
    told = []
    transcribe(progress=told.append)
    assert told == sorted(told)
    assert (len(told), told[-1]) == (CHUNKS, 1.0)


def test_work_that_was_interrupted_goes_on_where_it_was(spark, transcribe):
    pieces, heard = {}, []

    def hear_two(request):
        heard.append(request)
        return hear(request) if len(heard) <= 2 else reply(500)

    spark.hear = hear_two
    with pytest.raises(UpstreamFailed):
        transcribe(pieces=pieces)
    assert len(pieces) == 2
    spark.hear = hear
    before = len(spark.calls())
    assert len(transcribe(pieces=pieces).text.split()) == SECONDS
    assert len(spark.calls()) - before == CHUNKS - 2
    assert len(transcribe(pieces=pieces).text.split()) == SECONDS
    assert len(spark.calls()) - before == CHUNKS - 2


def test_a_chunk_too_large_for_the_gpu_is_sent_in_two_halves(spark, transcribe):
    spark.hear = lambda request: OOM if len(sound_of(request)) > 25 * RATE else hear(request)
    assert transcribe().text.split() == [f"w{n}" for n in range(SECONDS)]


def test_halves_that_are_too_large_as_well_are_the_end(spark, transcribe):
    spark.hear = lambda request: OOM
    with pytest.raises(UpstreamFailed, match="GPU memory"):
        transcribe()
    assert len(spark.calls()) == 2


def test_a_cancel_ends_it_between_or_inside_chunks(spark, transcribe, backend, recording):
    ctx = CallContext(deadline=time.monotonic() + 60)

    def hear_and_go(request):
        ctx.cancel()
        return hear(request)

    spark.hear = hear_and_go
    with pytest.raises(Unavailable, match="cancelled"):
        backend.transcribe(TranscribeRequest(Audio(recording, "long.wav")), ctx)
    assert len(spark.calls()) == 1
    assert list(recording.parent.iterdir()) == [recording]


def test_a_quiet_chunk_is_no_failure(spark, transcribe):
    spark.hear = lambda request: json_reply({"text": ""}) if len(spark.calls()) == 2 else hear(request)
    assert 50 < len(transcribe().text.split()) < SECONDS
