"""Transcripts in the shapes speech servers have. Without a text to say, the words are made of the file's digest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from relay.testing.sandbox.bodies import Upload
from relay.testing.sandbox.service import Call, Refusal, Reply, json_reply, sse, stream_reply

Shape = Literal["verbose", "text", "nemo", "vllm"]

WORDS_PER_SECOND = 2.5
WORDS_PER_SEGMENT = 8
WORDS = (
    "anna ben we they the a this that plan draft budget team week monday friday meeting sends reads asks agrees starts "
    "ends and but then so because with about before after today tomorrow new old good late early more less"
)
VOCABULARY = WORDS.split()


@dataclass(frozen=True, slots=True)
class Timed:
    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Spoken:
    """A transcript before it gets a shape. Times in seconds."""

    words: list[Timed]
    seconds: float
    language: str

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def segments(self) -> list[Timed]:
        groups = (self.words[at : at + WORDS_PER_SEGMENT] for at in range(0, len(self.words), WORDS_PER_SEGMENT))
        return [Timed(" ".join(word.text for word in group), group[0].start, group[-1].end) for group in groups]


def upload_of(call: Call, max_seconds: float) -> Upload:
    """The recording in the part `file`. Raises Refusal(422, 415, 413)."""
    upload = call.form().files.get("file")
    if upload is None:
        raise Refusal(422, "file is required: a recording, as a multipart part named file")
    if upload.seconds is None:
        raise Refusal(415, f"{upload.filename} is not a recording that can be decoded")
    if upload.seconds > max_seconds:
        raise Refusal(413, f"the recording has {upload.seconds:.1f} s, more than the {max_seconds:g} s taken here")
    return upload


def listen(upload: Upload, said: str | None, language: str) -> Spoken:
    """`said`: the text; empty is silence, None makes one word per 0.4 s out of the digest of the file."""
    seconds = upload.seconds or 0.0
    words = _made_up(upload.sha256, seconds) if said is None else said.split()
    step = seconds / len(words) if words else 0.0
    timed = [Timed(word, _ms(at * step), _ms((at + 0.8) * step)) for at, word in enumerate(words)]
    return Spoken(timed, seconds, language or "en")


def _made_up(digest: str, seconds: float) -> list[str]:
    count = max(1, round(seconds * WORDS_PER_SECOND))
    numbers = [int(digest[at : at + 2], 16) for at in range(0, len(digest), 2)]
    words = [VOCABULARY[(numbers[at % len(numbers)] + at) % len(VOCABULARY)] for at in range(count)]
    for at in range(0, count, WORDS_PER_SEGMENT):
        words[at] = words[at].capitalize()
        last = min(at + WORDS_PER_SEGMENT, count) - 1
        words[last] += "."
    return words


def shaped(spoken: Spoken, shape: Shape, model: str) -> Reply:
    """The answer of a Spark: `verbose` as proposed, only the `text`, NeMo's, or vLLM's with a duration in quotes."""
    if shape == "text":
        return json_reply({"text": spoken.text})
    words, segments = spoken.words, spoken.segments
    if shape == "nemo":
        times = {
            "word": [{"word": word.text, "start": word.start, "end": word.end} for word in words],
            "segment": [{"segment": segment.text, "start": segment.start, "end": segment.end} for segment in segments],
        }
        return json_reply({"text": spoken.text, "timestamp": times})
    return json_reply({**_verbose(spoken, shape, "word,segment"), "model": model})


def openai_shaped(call: Call, spoken: Spoken, shape: Shape) -> Reply:
    """The answer of `/v1/audio/transcriptions` in the `response_format` that was asked for. Raises Refusal(400)."""
    form = call.form()
    if form.text("stream").lower() in ("true", "1"):
        return stream_reply(_vllm_stream(spoken) if shape == "vllm" else _openai_stream(spoken))
    asked = form.text("response_format", "json")
    if asked == "text":
        return Reply(200, f"{spoken.text}\n".encode(), {"content-type": "text/plain; charset=utf-8"})
    if asked in ("srt", "vtt"):
        return Reply(200, _subtitles(spoken, asked).encode(), {"content-type": "text/plain; charset=utf-8"})
    if asked == "verbose_json":
        granularities = form.fields.get("timestamp_granularities[]", ["segment"])
        return json_reply(_verbose(spoken, shape, ",".join(granularities)))
    if asked == "diarized_json":
        return json_reply(_diarized(spoken))
    if asked != "json":
        raise Refusal(400, f"response_format {asked!r} is not known")
    return json_reply({"text": spoken.text, "usage": _usage(spoken)})


def _usage(spoken: Spoken) -> dict[str, Any]:
    return {"type": "duration", "seconds": math.ceil(spoken.seconds)}


def _verbose(spoken: Spoken, shape: Shape, granularities: str) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "task": "transcribe",
        "language": spoken.language if shape == "vllm" else {"en": "english"}.get(spoken.language, spoken.language),
        "duration": str(spoken.seconds) if shape == "vllm" else spoken.seconds,
        "text": spoken.text,
    }
    if "segment" in granularities:
        answer["segments"] = [
            {
                "id": number,
                "seek": 0,
                "start": segment.start,
                "end": segment.end,
                "text": segment.text,
                "tokens": [],
                "temperature": 0.0,
                "avg_logprob": -0.2,
                "compression_ratio": 1.0,
                "no_speech_prob": 0.01,
            }
            for number, segment in enumerate(spoken.segments)
        ]
    if "word" in granularities:
        answer["words"] = [{"word": word.text, "start": word.start, "end": word.end} for word in spoken.words]
    return answer


def _diarized(spoken: Spoken) -> dict[str, Any]:
    segments = [
        {
            "type": "transcript.text.segment",
            "id": f"seg_{number}",
            "speaker": "AB"[number % 2],
            "start": segment.start,
            "end": segment.end,
            "text": segment.text,
        }
        for number, segment in enumerate(spoken.segments)
    ]
    return {"task": "transcribe", "duration": spoken.seconds, "text": spoken.text, "segments": segments}


def _openai_stream(spoken: Spoken) -> Iterator[bytes]:
    for number, word in enumerate(spoken.words):
        delta = f" {word.text}" if number else word.text
        yield sse({"type": "transcript.text.delta", "delta": delta})
    yield sse({"type": "transcript.text.done", "text": spoken.text, "usage": _usage(spoken)})


def _vllm_stream(spoken: Spoken) -> Iterator[bytes]:
    head = {"id": "trsc-1", "object": "transcription.chunk", "created": 0, "model": "sandbox"}
    for word in spoken.words:
        yield sse({**head, "choices": [{"delta": {"content": f"{word.text} "}, "finish_reason": None}]})
    yield sse({**head, "choices": [{"delta": {"content": ""}, "finish_reason": "stop"}]})
    yield sse("[DONE]")


def _subtitles(spoken: Spoken, kind: str) -> str:
    mark = "," if kind == "srt" else "."
    blocks = ["WEBVTT"] if kind == "vtt" else []
    for number, segment in enumerate(spoken.segments, 1):
        times = f"{_clock(segment.start, mark)} --> {_clock(segment.end, mark)}"
        blocks.append("\n".join([*([str(number)] if kind == "srt" else []), times, segment.text]))
    return "\n\n".join(blocks) + "\n"


def _clock(seconds: float, mark: str) -> str:
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{mark}{rest % 1000:03}"


def _ms(seconds: float) -> float:
    return round(seconds, 3)
