"""What Gemini heard in one piece of a recording, from the two kinds of answers its models give."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from relay.api import Segment, UpstreamFailed, Word

if TYPE_CHECKING:
    from google.genai import types

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "language": {"type": "string", "description": "ISO 639-1 code of the language spoken"},
        "segments": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "start": {"type": "number", "description": "seconds from the start of the recording"},
                    "end": {"type": "number", "description": "seconds from the start of the recording"},
                    "text": {"type": "string"},
                },
                "required": ["start", "end", "text"],
                "propertyOrdering": ["start", "end", "text"],
            },
        },
    },
    "required": ["language", "segments"],
    "propertyOrdering": ["language", "segments"],
}


@dataclass(frozen=True, slots=True)
class Heard:
    """`timed`: whether every time is Gemini's own, none filled in. Times count from the start of the piece."""

    segments: tuple[Segment, ...]
    language: str | None
    model: str
    timed: bool


@dataclass(slots=True)
class _Said:
    text: str
    start: float | None = None
    end: float | None = None
    words: tuple[Word, ...] = ()
    speaker: str | None = None
    loose: bool = field(default=False)


def from_parts(parts: Iterable[types.Part], seconds: float, model: str) -> Heard:
    """The answer of a speech model: parts with a transcription beside their text, or with the text alone."""
    said: list[_Said] = []
    language = None
    for part in parts:
        spoken = part.audio_transcription
        text = (spoken.text if spoken is not None else None) or part.text or ""
        if part.thought or not text:
            continue
        if spoken is None:
            if said and said[-1].loose:
                said[-1].text += text  # a stream cuts text anywhere
            else:
                said.append(_Said(text, loose=True))
            continue
        language = language or spoken.language_code
        words = tuple(_words(spoken.words or (), seconds))
        start, end = _offset(spoken.start_offset), _offset(spoken.end_offset)
        if words:
            start = words[0].start if start is None else start
            end = words[-1].end if end is None else end
        said.append(_Said(text, start, end, words, spoken.speaker_label or None))
    return _heard(said, seconds, language, model)


def from_json(text: str, seconds: float, model: str) -> Heard:
    """The answer of any other model, asked for SCHEMA. Raises UpstreamFailed for one that does not fit."""
    try:
        data = msgspec.json.decode(text)
        said = [_Said(str(item["text"]), _number(item["start"]), _number(item["end"])) for item in data["segments"]]
    except (msgspec.DecodeError, RecursionError, KeyError, TypeError):
        raise UpstreamFailed("Gemini's transcript is not in the shape it was asked for") from None
    language = data.get("language")
    return _heard(said, seconds, language if isinstance(language, str) else None, model)


def moved(segments: Iterable[Segment], offset: float, seconds: float) -> Iterator[Segment]:
    """The same from the start of the whole recording; nothing lies beyond its `seconds`."""
    for segment in segments:
        words = tuple(
            Word(word.word, min(word.start + offset, seconds), min(word.end + offset, seconds))
            for word in segment.words
        )
        start, end = min(segment.start + offset, seconds), min(segment.end + offset, seconds)
        yield replace(segment, start=start, end=end, words=words)


def _heard(said: list[_Said], seconds: float, language: str | None, model: str) -> Heard:
    """Times are put in order and inside the piece; where one is missing, the neighbours' is the best guess."""
    spoken = [item for item in said if item.text.strip()]
    timed = all(item.start is not None and item.end is not None for item in spoken)
    segments = []
    before = 0.0
    for number, item in enumerate(spoken):
        start = before if item.start is None else min(max(item.start, before), seconds)
        later = next((other.start for other in spoken[number + 1 :] if other.start is not None), seconds)
        end = min(max(later if item.end is None else item.end, start), seconds)
        segments.append(Segment(start, end, item.text.strip(), item.words, item.speaker))
        before = end if item.end is None else start
    return Heard(tuple(segments), _iso_639_1(language), model, timed)


def _words(items: Iterable[types.WordInfo], seconds: float) -> Iterator[Word]:
    for item in items:
        start, end = _offset(item.start_offset), _offset(item.end_offset)
        if item.word and start is not None and end is not None:
            start = min(start, seconds)
            yield Word(item.word.strip(), start, min(max(end, start), seconds))


def _offset(text: str | None) -> float | None:
    """Google writes durations like "0.200s"."""
    return _number(text.removesuffix("s")) if text else None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _iso_639_1(language: str | None) -> str | None:
    """`en-US` is `en`; None for what is no such code."""
    short = (language or "").strip().lower().replace("_", "-").partition("-")[0]
    return short if len(short) == 2 and short.isascii() and short.isalpha() else None
