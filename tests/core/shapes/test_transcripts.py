"""Every shape of transcript a speech server may send. The samples are our own."""

import json

import pytest

from relay.errors import UpstreamFailed
from relay.shapes.languages import iso_639_1
from relay.shapes.transcripts import read_transcript
from relay.upstream import HTTPReply

SECONDS = 4.0


@pytest.fixture
def read(endpoint):
    def read(answer):
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return read_transcript(HTTPReply(200, {}, body), SECONDS, endpoint)

    return read


def spans(transcript):
    return [(s.start, s.end, s.text, [w.word for w in s.words], s.speaker) for s in transcript.segments]


def word(text, start, end):
    return {"word": text, "start": start, "end": end}


def test_text_alone_is_one_segment_over_the_whole_recording(read):
    transcript = read({"text": " hi there ", "usage": {"type": "duration", "seconds": 4}})
    assert (transcript.text, transcript.language, transcript.duration, transcript.model) == (
        "hi there",
        None,
        4.0,
        "",
    )
    assert spans(transcript) == [(0.0, 4.0, "hi there", [], None)]


def test_words_beside_the_segments_are_put_into_them(read):
    transcript = read(
        {
            "text": "hi there you",
            "language": "en",
            "duration": 4.0,
            "segments": [
                {"id": 0, "start": 0, "end": 2, "text": "hi there"},
                {"id": 1, "start": 2.5, "end": 4, "text": "you"},
            ],
            "words": [word("hi", 0, 0.4), word("there", 1.8, 2.1), word("you", 2.2, 3)],
            "model": "parakeet",
        }
    )
    assert spans(transcript) == [(0.0, 2.0, "hi there", ["hi", "there"], None), (2.5, 4.0, "you", ["you"], None)]
    assert (transcript.language, transcript.model) == ("en", "parakeet")


def test_words_inside_the_segments_stay_there(read):
    inside = {"start": 0, "end": 2, "text": "hi", "words": [word("hi", 0, 1)]}
    assert spans(read({"text": "hi", "segments": [inside], "words": [word("x", 0, 1)]})) == [
        (0.0, 2.0, "hi", ["hi"], None)
    ]


def test_nemo_times_are_read(read):
    times = {"segment": [{"segment": "hi there", "start": 0.1, "end": 2}], "word": [word("hi", 0.1, 0.4)]}
    assert spans(read({"text": "hi there", "timestamp": times})) == [(0.1, 2.0, "hi there", ["hi"], None)]


def test_openai_verbose_json_is_read(read):
    segment = {"id": 0, "seek": 0, "start": 0.0, "end": 3.0, "text": " Hi.", "tokens": [1], "avg_logprob": -0.2}
    transcript = read(
        {"task": "transcribe", "language": "english", "duration": 3.0, "text": "Hi.", "segments": [segment]}
    )
    assert (transcript.language, spans(transcript)) == ("en", [(0.0, 3.0, "Hi.", [], None)])


def test_vllm_with_its_duration_as_text_is_read(read):
    assert read({"duration": "3.0", "language": "de", "text": "Hallo", "segments": None}).language == "de"


def test_diarized_json_keeps_its_speakers(read):
    said = [
        {"type": "transcript.text.segment", "id": "seg_0", "speaker": s, "start": 0, "end": 1, "text": "a"}
        for s in ("A", 0)
    ]
    assert [s.speaker for s in read({"task": "transcribe", "text": "a a", "segments": said}).segments] == ["A", "0"]


def test_segments_without_a_text_beside_them_are_enough(read):
    segments = [{"start": "2", "end": "3", "text": "second"}, {"start": 0, "end": 1, "text": "first"}]
    assert read({"segments": segments}).text == "first second"


@pytest.mark.parametrize("time", [None, "nan", "inf", "soon", True, [], {}, 10**400])
def test_a_time_that_makes_no_sense_is_left_out_and_the_text_stays(read, time):
    transcript = read(
        {"text": "hi", "segments": [{"start": time, "end": 1, "text": "hi"}, 7, None], "words": [word("hi", 0, time)]}
    )
    assert spans(transcript) == [(0.0, 4.0, "hi", [], None)]


def test_times_are_kept_inside_the_recording(read):
    transcript = read(
        {"text": "hi", "segments": [{"start": -1, "end": 99, "text": "hi"}, {"start": 3, "end": 2, "text": "ho"}]}
    )
    assert [(s.start, s.end) for s in transcript.segments] == [(0.0, 4.0), (3.0, 3.0)]


@pytest.mark.parametrize(
    "answer", [{"text": ""}, {"text": " \n"}, {"text": "", "segments": [{"start": 0, "end": 1, "text": " "}]}]
)
def test_silence_is_a_transcript_without_text(read, answer):
    transcript = read(answer)
    assert (transcript.text, transcript.segments) == ("", ())


@pytest.mark.parametrize(
    "answer",
    [b"", b"null", b"[]", b'"hi"', b"3", b"<html>502</html>", b'{"text": "cut', b"{}",
     b'{"text": null}', b'{"text": 3}', b'{"error": {"message": "x"}}', b"\xff\xfe", b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_transcript_is_a_failure_of_the_server(read, answer):
    with pytest.raises(UpstreamFailed):
        read(answer)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("en", "en"),
        ("EN_us", "en"),
        ("english", "en"),
        ("German", "de"),
        ("klingon", None),
        ("", None),
        (None, None),
        (7, None),
        ("12", None),
    ],
)
def test_languages_become_two_letters(said, code):
    assert iso_639_1(said) == code
