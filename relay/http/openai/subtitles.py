"""A transcript as subtitles: SubRip and WebVTT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Segments = Sequence[dict[str, Any]]
"""Objects with `start` and `end` in seconds, and `text`."""


def srt(segments: Segments) -> str:
    cues = (f"{n}\n{_span(segment, ',')}\n{_line(segment)}\n\n" for n, segment in enumerate(segments, 1))
    return "".join(cues)


def vtt(segments: Segments) -> str:
    """WebVTT reads `&` and `<` as markup (W3C WebVTT, section 3)."""
    cues = []
    for segment in segments:
        text = _line(segment).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        cues.append(f"{_span(segment, '.')}\n{text}\n\n")
    return "WEBVTT\n\n" + "".join(cues)


def _line(segment: dict[str, Any]) -> str:
    """On one line, because an empty line ends a cue; an arrow would be taken for a time."""
    return " ".join(segment["text"].split()).replace("-->", "->")


def _span(segment: dict[str, Any], point: str) -> str:
    return f"{_clock(segment['start'], point)} --> {_clock(segment['end'], point)}"


def _clock(seconds: float, point: str) -> str:
    """`01:02:03.456`."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{milliseconds:03}"
