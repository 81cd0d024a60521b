"""The fields of OpenAI's `audio/transcriptions`, and transcripts in each of its formats.

A format's answer is bytes up to where the credits follow, and `tail` ends it; the text formats have no place for
them, so their tail is None.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from relay.errors import Invalid
from relay.http.openai import subtitles
from relay.http.openai.completions import END
from relay.http.openai.languages import language_name
from relay.services.requests import Text

Format = Literal["json", "text", "srt", "vtt", "verbose_json", "diarized_json"]
STREAMED: tuple[Format, ...] = ("json", "text", "diarized_json")
TAIL = b"}}"
STREAM_TAIL = b"}}\n\n" + END
TYPES: dict[Format, str] = {"text": "text/plain; charset=utf-8", "srt": "text/plain; charset=utf-8", "vtt": "text/vtt"}
_encode = msgspec.json.Encoder().encode


class TranscriptionBody(Struct):
    """Other fields (`temperature`, `chunking_strategy`, `include[]`, …) are ignored. `backend` is the relay's own."""

    model: Text | None = None
    backend: Text | None = None
    language: Text | None = None
    prompt: Text | None = None
    response_format: Format = "json"
    granularities: Annotated[str, Meta(pattern="^(word|segment)(,(word|segment))*$")] | None = msgspec.field(
        default=None, name="timestamp_granularities[]"
    )
    stream: bool = False


def check(body: TranscriptionBody) -> None:
    """Raises Invalid for fields that do not go together."""
    if body.granularities and body.response_format != "verbose_json":
        name = "timestamp_granularities[]"
        raise Invalid(f"{name} needs response_format verbose_json", name)
    if body.stream and body.response_format not in STREAMED:
        raise Invalid(f"a stream has the formats {', '.join(STREAMED)}", "response_format")


def content_type(body: TranscriptionBody) -> str:
    return "text/event-stream" if body.stream else TYPES.get(body.response_format, "application/json")


def tail(body: TranscriptionBody) -> bytes | None:
    if body.stream:
        return STREAM_TAIL
    return None if body.response_format in TYPES else TAIL


def head(body: TranscriptionBody, result: dict[str, Any], meta: dict[str, Any]) -> bytes:
    """`result` is the contract's object of a transcription."""
    if body.stream:
        return b"".join(_events(body, result, meta))
    if body.response_format in TYPES:
        return _text(body.response_format, result).encode()
    if body.response_format == "verbose_json":
        return _open(_verbose(result, body.granularities or "segment"), result, meta)
    if body.response_format == "diarized_json":
        segments = list(_spoken(result))
        whole = {"task": "transcribe", "duration": result["duration"], "text": result["text"], "segments": segments}
        return _open(whole, result, meta)
    return _open({"text": result["text"]}, result, meta)


def _text(form: Format, result: dict[str, Any]) -> str:
    if form == "text":
        return f"{result['text']}\n"
    cues = result["segments"] or [{"start": 0.0, "end": result["duration"], "text": result["text"]}]
    return subtitles.srt(cues) if form == "srt" else subtitles.vtt(cues)


def _events(body: TranscriptionBody, result: dict[str, Any], meta: dict[str, Any]) -> Iterator[bytes]:
    """Backends give a transcript at once, so the pieces are its segments."""
    if body.response_format == "diarized_json":
        for segment in _spoken(result):
            yield b"data: " + _encode(segment) + b"\n\n"
    else:
        for piece in _pieces(result):
            yield b"data: " + _encode({"type": "transcript.text.delta", "delta": piece}) + b"\n\n"
    yield b"data: " + _open({"type": "transcript.text.done", "text": result["text"]}, result, meta)


def _pieces(result: dict[str, Any]) -> list[str]:
    """Segment by segment, where together they are the text."""
    pieces = [segment["text"].strip() for segment in result["segments"]]
    pieces = [piece if n == 0 else f" {piece}" for n, piece in enumerate(pieces)]
    return pieces if "".join(pieces) == result["text"] else [result["text"]]


def _open(body: dict[str, Any], result: dict[str, Any], meta: dict[str, Any]) -> bytes:
    body["usage"] = {"type": "duration", "seconds": math.ceil(result["duration"])}
    body["relay"] = {"meta": meta}
    return _encode(body)[:-2] + b',"credits":'


def _verbose(result: dict[str, Any], granularities: str) -> dict[str, Any]:
    """Whisper's own figures (`avg_logprob`, …) are 0: no backend gives them, and typed clients want numbers."""
    body: dict[str, Any] = {
        "task": "transcribe",
        "language": language_name(result["language"]),
        "duration": result["duration"],
        "text": result["text"],
    }
    if "segment" in granularities:
        body["segments"] = [
            {
                "id": segment["id"],
                "seek": 0,
                "start": segment["start"],
                "end": segment["end"],
                "text": segment["text"],
                "tokens": [],
                "temperature": 0.0,
                "avg_logprob": 0.0,
                "compression_ratio": 0.0,
                "no_speech_prob": 0.0,
            }
            | ({"speaker": segment["speaker"]} if "speaker" in segment else {})
            for segment in result["segments"]
        ]
    if "word" in granularities:
        body["words"] = [word for segment in result["segments"] for word in segment.get("words", ())]
    return body


def _spoken(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for segment in result["segments"]:
        yield {
            "type": "transcript.text.segment",
            "id": f"seg_{segment['id']}",
            "start": segment["start"],
            "end": segment["end"],
            "text": segment["text"],
            "speaker": segment.get("speaker", "unknown"),
        }


def has_speakers(result: dict[str, Any]) -> bool:
    return any("speaker" in segment for segment in result["segments"])
