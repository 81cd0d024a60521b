import base64
import hashlib
import time

import pytest

from relay.errors import Invalid, NotAccepted, Unavailable, Unsupported, UnsupportedMedia, UpstreamFailed
from relay.ports.inference import Audio, CallContext, DiarizeRequest


def heard(box):
    return box.requests("gemini", "stream")


def part_of(record):
    return record.json["contents"][0]["parts"][0]


def test_the_speech_model_is_asked_for_words_and_speakers(transcribe, recording, box):
    transcript = transcribe(recording, language="en")
    (record,) = heard(box)
    assert record.path.endswith("models/gemini-3.5-transcribe:streamGenerateContent")
    assert record.json["generationConfig"] == {
        "audioTranscriptionConfig": {"language_codes": ["en"], "word_timestamp": True, "diarization": True}
    }
    assert len(record.json["contents"][0]["parts"]) == 1, "it takes no prompt"
    assert transcript.language == "en"
    assert transcript.segments[0].words[0].word == "We"
    assert [segment.speaker for segment in transcript.segments] == ["S1", "S2", "S1"]


def test_the_very_bytes_arrive_when_the_file_is_sure_to_be_understood(transcribe, recording, box):
    transcribe(recording, duration=12.0)
    part = part_of(heard(box)[0])["inlineData"]
    encoded = base64.urlsafe_b64encode(recording.read_bytes())
    assert hashlib.sha256(encoded).hexdigest() in part["data"]
    assert part["mime_type"] == "audio/wav"


def test_a_file_of_an_unsure_type_is_sent_as_wav(transcribe, recording, box):
    data = bytearray(recording.read_bytes())
    data[20] = 7  # a WAV of mu-law bytes: ffmpeg reads it, Google may not
    recording.write_bytes(data)
    transcribe(recording, duration=24.0)
    assert heard(box)[0].notes["seconds"] == pytest.approx(24.0, abs=30)
    assert part_of(heard(box)[0])["inlineData"]["mime_type"] == "audio/wav"


def test_other_models_are_asked_for_segments_by_schema(transcribe, recording, box):
    transcript = transcribe(recording, model="gemini-3.8-flash", language="de", prompt="Names: Ann, Bob")
    (record,) = heard(box)
    assert "Names: Ann, Bob" in record.json["contents"][0]["parts"][1]["text"]
    assert "language is de" in record.json["contents"][0]["parts"][1]["text"]
    assert record.json["generationConfig"]["responseJsonSchema"]["required"] == ["language", "segments"]
    assert transcript.model == "gemini-3.8-flash"
    assert [segment.start for segment in transcript.segments] == [0.0, 5.0, 10.0]


@pytest.mark.parametrize(
    ("model", "setting"), [(None, "transcribe_piece_minutes"), ("gemini-3.8-flash", "piece_minutes")]
)
def test_a_long_recording_goes_in_pieces_that_lie_where_they_belong(
    backend_for, transcribe, long_recording, box, ctx, model, setting
):
    told = []
    ctx.progress = told.append
    transcript = transcribe(long_recording, by=backend_for(**{setting: 1}), model=model)
    seconds = [record.notes["seconds"] for record in heard(box)]
    assert len(seconds) == 3
    assert max(seconds) <= 60
    assert sum(seconds) == pytest.approx(150, abs=0.01)
    assert told == [pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]
    starts = [segment.start for segment in transcript.segments]
    assert starts == sorted(starts)
    assert starts[-1] > 140
    assert transcript.duration == pytest.approx(150, abs=0.01)
    assert all(segment.speaker is None for segment in transcript.segments), "a label means one piece only"
    assert [path.name for path in long_recording.parent.iterdir()] == ["recording"]


def test_a_job_that_was_interrupted_goes_on_with_the_next_piece(
    backend_for, transcribe, long_recording, box, fault, ctx
):
    backend = backend_for(transcribe_piece_minutes=1)
    fault("status", status=400, after=2)
    with pytest.raises(UpstreamFailed):
        transcribe(long_recording, by=backend)
    assert len(ctx.pieces) == 2
    box.faults.clear()
    whole = transcribe(long_recording, by=backend)
    assert len(heard(box)) == 4, "each piece is billed once"
    ctx.pieces.clear()
    assert transcribe(long_recording, by=backend) == whole


def test_a_large_recording_goes_by_the_files_api_and_is_deleted(backend_for, transcribe, recording, box, gemini):
    transcript = transcribe(recording, duration=12.0, by=backend_for(inline_mb=0.1))
    assert transcript.segments
    finished = box.requests("gemini", "upload")[-1]
    assert finished.notes["sha256"] == hashlib.sha256(recording.read_bytes()).hexdigest()
    assert part_of(heard(box)[0])["fileData"]["mime_type"] == "audio/wav"
    assert [record.route for record in box.requests("gemini")] == [
        "files",
        "upload",
        "upload",
        "file",
        "file",
        "stream",
        "delete_file",
    ]
    assert not list(gemini.files)
    assert len({record.headers.get("x-goog-api-key") for record in box.requests("gemini", "stream")}) == 1


def test_an_upload_of_many_chunks_arrives_whole(backend_for, transcribe, tmp_path, box):
    from tests.plugins.gemini.conftest import write_tone

    recording = write_tone(tmp_path / "r", 600)
    assert transcribe(recording, duration=600.0, by=backend_for()).duration == 600.0
    uploads = box.requests("gemini", "upload")
    assert len(uploads) == 4
    assert uploads[-1].notes["sha256"] == hashlib.sha256(recording.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "route", "error"),
    [
        ("failed_file", "upload", NotAccepted),
        ("blocked_answer", "stream", Exception),
        ("no_text", "stream", Invalid),
        ("garbage", "stream", UpstreamFailed),
    ],
)
def test_the_file_is_deleted_whatever_happens(
    backend_for, transcribe, recording, fault, gemini, calls, name, route, error
):
    fault(name, route=route)
    with pytest.raises(error):
        transcribe(recording, by=backend_for(inline_mb=0.1))
    assert calls("delete_file") == 1
    assert not list(gemini.files)


def test_an_upload_that_google_does_not_begin_is_a_failure(backend_for, transcribe, recording, fault):
    fault("no_upload_url", route="upload")
    with pytest.raises(UpstreamFailed, match="cannot be read"):
        transcribe(recording, by=backend_for(inline_mb=0.1))


@pytest.mark.parametrize("route", ["upload", "file"])
@pytest.mark.parametrize(("name", "options"), [("refuse", {}), ("status", {"status": 504})])
def test_a_failure_before_any_model_was_asked_is_certain(
    backend_for, transcribe, recording, fault, calls, route, name, options
):
    fault(name, route=route, **options)
    with pytest.raises(Unavailable, match="could not be brought to Gemini"):
        transcribe(recording, by=backend_for(inline_mb=0.1))
    assert calls("stream") == 0


def test_a_transcript_cut_at_the_limit_of_tokens_says_what_helps(transcribe, recording, fault):
    fault("cut_short", route="stream")
    with pytest.raises(NotAccepted, match="transcribe_piece_minutes"):
        transcribe(recording)


def test_a_file_that_cannot_be_deleted_does_not_spoil_the_answer(backend_for, transcribe, recording, fault, gemini):
    fault("status", route="delete_file", status=403)
    assert transcribe(recording, by=backend_for(inline_mb=0.1)).segments
    assert len(list(gemini.files)) == 1


def test_what_a_killed_relay_left_behind_is_swept_at_first_use(backend_for, transcribe, recording, fault, box, gemini):
    fault("status", route="delete_file", status=403)
    transcribe(recording, by=backend_for(inline_mb=0.1))
    box.faults.clear()
    (left,) = gemini.files
    transcribe(recording, by=backend_for())
    assert list(gemini.files) == [left], "it may be in use by another relay"
    gemini.configure({"age_files": 4})
    backend = backend_for()
    transcribe(recording, by=backend)
    assert not list(gemini.files)
    before = len(box.requests("gemini", "files"))
    transcribe(recording, by=backend)
    assert len(box.requests("gemini", "files")) == before


def test_parts_without_a_transcription_become_one_segment(transcribe, recording, fault):
    fault("untimed")
    transcript = transcribe(recording)
    (segment,) = transcript.segments
    assert (segment.start, segment.end) == (0.0, 12.0)
    assert segment.text == transcript.text
    assert transcript.text.startswith("We met on Monday to look at the plan. The release")


def test_silence_is_told_apart_from_a_failure(transcribe, recording, fault, ctx):
    fault("no_text", times=1)
    with pytest.raises(Invalid) as caught:
        transcribe(recording)
    assert caught.value.details["reason"] == "no_speech"
    ctx.pieces.clear()
    fault("no_candidates", times=1)
    with pytest.raises(UpstreamFailed):
        transcribe(recording)


def test_a_cut_transcript_is_no_transcript(transcribe, recording, fault):
    fault("cut_short")
    with pytest.raises(UpstreamFailed):
        transcribe(recording)


def test_segments_that_are_not_as_asked_are_a_failure(transcribe, recording, fault):
    fault("unfitting")
    with pytest.raises(UpstreamFailed, match="not in the shape"):
        transcribe(recording, model="gemini-3.8-flash")


def test_a_file_that_only_looks_like_a_recording_is_the_callers_mistake(transcribe, recording):
    recording.write_bytes(b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(100))
    with pytest.raises(UnsupportedMedia):
        transcribe(recording)


def test_speakers_are_told_apart(backend, recording, ctx):
    found = backend.diarize(DiarizeRequest(Audio(recording, "r.wav")), ctx)
    assert [(turn.start, turn.speaker) for turn in found.turns] == [(0.0, "S1"), (5.0, "S2"), (10.0, "S1")]
    assert found.duration == pytest.approx(12.0)


def test_speakers_of_several_pieces_are_for_another_backend(backend_for, long_recording, ctx, calls):
    backend = backend_for(transcribe_piece_minutes=1)
    with pytest.raises(Unsupported, match="up to 1 minutes"):
        backend.diarize(DiarizeRequest(Audio(long_recording, "r.wav")), ctx)
    assert calls() == 0


def test_speakers_without_times_are_not_made_up(backend, recording, ctx, fault):
    fault("untimed")
    with pytest.raises(UpstreamFailed, match="who speaks when"):
        backend.diarize(DiarizeRequest(Audio(recording, "r.wav")), ctx)


def test_without_a_speech_model_nobody_is_told_apart(backend_for):
    backend = backend_for(transcribe_model="")
    assert backend.tasks == {"transcribe", "analyze"}
    assert backend.models("transcribe") == ("gemini-3.8-flash",)


def test_a_call_without_time_does_not_start(backend, recording, calls):
    from relay.ports.inference import TranscribeRequest

    ctx = CallContext(deadline=time.monotonic() + 60)
    ctx.cancelled.set()
    with pytest.raises(Unavailable):
        backend.transcribe(TranscribeRequest(Audio(recording, "r.wav")), ctx)
    assert calls() == 0
