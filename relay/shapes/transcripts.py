"""Reading a transcript in whatever shape the server behind the path speaks.

Spark's own, OpenAI's `json`, `verbose_json` and `diarized_json`, vLLM's (duration as a string), NeMo's
(`timestamp` with `word` and `segment`). The text alone is enough; a time that makes no sense is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from relay.ports.inference import Segment, Transcript, Word
from relay.shapes.endpoint import Endpoint
from relay.shapes.languages import iso_639_1
from relay.upstream import HTTPReply


def read_transcript(reply: HTTPReply, seconds: float, endpoint: Endpoint) -> Transcript:
    """The answer of a server as a Transcript of `seconds` of audio; without any text when nothing was heard.

    `seconds` is the decoded length: it wins over the server's own figure, and no time lies beyond it. `model`
    is empty when the server names none. Raises UpstreamFailed for an answer that is no transcript.
    """
    try:
        data = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, RecursionError):
        raise endpoint.unreadable(reply, "it is not JSON") from None
    if not isinstance(data, dict):
        raise endpoint.unreadable(reply, "it is not a JSON object")
    times = data.get("timestamp")
    nemo = times if isinstance(times, dict) else {}
    words = tuple(_words(data.get("words") or nemo.get("word"), seconds))
    segments = list(_segments(data.get("segments") or nemo.get("segment"), seconds))
    text = data.get("text")
    if not isinstance(text, str):
        if not segments:
            raise endpoint.unreadable(reply, "it holds no text")
        text = " ".join(segment.text for segment in segments)
    text = text.strip()
    if text and not segments:
        segments = [Segment(0.0, seconds, text)]
    if words and not any(segment.words for segment in segments):
        segments = _with_words(segments, words)
    model = data.get("model")
    return Transcript(
        text=text or " ".join(segment.text for segment in segments),
        language=iso_639_1(data.get("language")),
        duration=seconds,
        segments=tuple(segments),
        model=model if isinstance(model, str) else "",
    )


def _words(items: Any, seconds: float) -> Iterator[Word]:
    for item, (start, end) in _timed(items, seconds):
        text = _text(item, "word", "text")
        if text:
            yield Word(text, start, end)


def _segments(items: Any, seconds: float) -> Iterator[Segment]:
    for item, (start, end) in _timed(items, seconds):
        text = _text(item, "text", "segment")
        if text:
            speaker = item.get("speaker")
            yield Segment(
                start,
                end,
                text,
                tuple(_words(item.get("words"), seconds)),
                str(speaker) if isinstance(speaker, str | int) and speaker != "" else None,
            )


def _timed(items: Any, seconds: float) -> list[tuple[dict[str, Any], tuple[float, float]]]:
    """The items that have a place in the recording, by their start."""
    objects = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    found = [(item, span) for item in objects if (span := _span(item, seconds)) is not None]
    return sorted(found, key=lambda pair: pair[1])


def _span(item: dict[str, Any], seconds: float) -> tuple[float, float] | None:
    start, end = _seconds(item.get("start")), _seconds(item.get("end"))
    if start is None or end is None:
        return None
    start = min(max(start, 0.0), seconds)
    return start, min(max(end, start), seconds)


def _seconds(value: Any) -> float | None:
    """A time as number or as text. A bool is neither."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _text(item: dict[str, Any], *keys: str) -> str:
    for key in keys:
        value = item.get(key)
        if isinstance(value, str):
            return value.strip()
    return ""


def _with_words(segments: Sequence[Segment], words: Sequence[Word]) -> list[Segment]:
    """Each word goes to the segment around its middle, or to the one that follows it in a pause."""
    held: list[list[Word]] = [[] for _ in segments]
    at = 0
    for word in words:
        middle = (word.start + word.end) / 2
        while at + 1 < len(segments) and middle >= segments[at].end:
            at += 1
        held[at].append(word)
    return [
        Segment(segment.start, segment.end, segment.text, tuple(own), segment.speaker)
        for segment, own in zip(segments, held, strict=True)
    ]
