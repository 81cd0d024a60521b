"""Speakers of one chunk of a recording, told apart as Sortformer and TitaNet would, from a given truth.

The truth covers the whole recording. An answer holds the part inside the chunk, with speaker numbers of that chunk
only and with a noisy voice vector per speaker: who is who over all chunks is left to the reader, as it is on the box.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

FRAME = 0.08  # seconds: what Sortformer decides in
DIMENSIONS = 192
MAX_SPEAKERS = 4
WEAK_SECONDS = 1.5
TURN_SECONDS = 5.0

SpeakerForm = Literal["number", "digits", "label"]
SegmentForm = Literal["objects", "lines"]
EmbeddingForm = Literal["speakers", "map", "segments", "none"]


class Turn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`start` and `end` in seconds of the whole recording."""

    start: float
    end: float
    speaker: str


class Voices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How alike voices are. `likeness`: the cosine of two persons (one line, one codec make them alike);
    `noise`: how far one person's vector strays from chunk to chunk (0.35: a cosine of about 0.9)."""

    likeness: float = 0.6
    noise: float = 0.35


def talk(seconds: float) -> list[Turn]:
    """When no truth is given: two people who take turns every five seconds."""
    count = math.ceil(seconds / TURN_SECONDS)
    return [Turn(at * TURN_SECONDS, (at + 1) * TURN_SECONDS - 0.5, "AB"[at % 2]) for at in range(count)]


def chunk_of(truth: Sequence[Turn], offset: float, seconds: float, most: int) -> list[Turn]:
    """The turns inside a chunk, in its own time, on whole frames; of at most `most` speakers.

    Who is too many is heard as the one who speaks most, as a network with four outputs would.
    """
    inside = []
    for turn in truth:
        start, end = max(turn.start - offset, 0.0), min(turn.end - offset, seconds)
        start, end = round(start / FRAME) * FRAME, min(round(end / FRAME) * FRAME, seconds)
        if end > start:
            inside.append(Turn(round(start, 3), round(end, 3), turn.speaker))
    spoken = _spoken(inside)
    kept = sorted(spoken, key=lambda name: (-spoken[name], name))[:most]
    heard = [turn if turn.speaker in kept else Turn(turn.start, turn.end, kept[0]) for turn in inside]
    return sorted(heard, key=lambda turn: (turn.start, turn.end))


def _spoken(turns: Sequence[Turn]) -> dict[str, float]:
    spoken: dict[str, float] = defaultdict(float)
    for turn in turns:
        spoken[turn.speaker] += turn.end - turn.start
    return spoken


def answer(
    turns: Sequence[Turn],
    offset: float,
    voices: Voices,
    forms: tuple[SpeakerForm, SegmentForm, EmbeddingForm],
) -> dict[str, Any]:
    """`segments` and the vectors of a chunk, with numbers drawn anew for each `offset`."""
    speaker_form, segment_form, embedding_form = forms
    spoken = _spoken(turns)
    names = sorted(spoken)
    _random("order", offset).shuffle(names)
    number = {name: at for at, name in enumerate(names)}
    vectors = {name: embedding(name, offset, spoken[name], voices) for name in names}
    if segment_form == "lines":
        lines = [f"{turn.start:.3f} {turn.end:.3f} speaker_{number[turn.speaker]}" for turn in turns]
        told: dict[str, Any] = {"segments": lines}
    else:
        segments: list[dict[str, Any]] = [
            {"start": t.start, "end": t.end, "speaker": _called(number[t.speaker], speaker_form), "confidence": 0.93}
            for t in turns
        ]
        if embedding_form == "segments":
            for segment, turn in zip(segments, turns, strict=True):
                segment["embedding"] = embedding(turn.speaker, offset + turn.start, turn.end - turn.start, voices)
        told = {"segments": segments}
    if embedding_form == "speakers":
        told["speakers"] = [
            {"speaker": _called(number[n], speaker_form), "embedding": vectors[n], "seconds": round(spoken[n], 3)}
            for n in names
        ]
    elif embedding_form == "map":
        told["embeddings"] = {f"speaker_{number[name]}": vectors[name] for name in names}
    return told


def _called(number: int, form: SpeakerForm) -> int | str:
    if form == "number":
        return number
    return str(number) if form == "digits" else f"speaker_{number}"


def embedding(speaker: str, at: float, seconds: float, voices: Voices) -> list[float]:
    """192 floats of length 1: what all share, what this person has, and noise; little speech makes it noisier."""
    shared, own, stray = _unit("shared"), _unit(speaker), _unit(speaker, at)
    noise = voices.noise * (3 if seconds < WEAK_SECONDS else 1)
    a, b = math.sqrt(voices.likeness), math.sqrt(1 - voices.likeness)
    vector = [a * s + b * o + noise * n for s, o, n in zip(shared, own, stray, strict=True)]
    return [round(value, 6) for value in _normal(vector)]


def _unit(*seed: Any) -> list[float]:
    source = _random(*seed)
    return _normal([source.gauss(0, 1) for _ in range(DIMENSIONS)])


def _normal(vector: Sequence[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector]


def _random(*seed: Any) -> random.Random:
    return random.Random(hashlib.sha256(repr(seed).encode()).digest())  # noqa: S311 - the same every time is the point
