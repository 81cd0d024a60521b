"""Who is who across the chunks of a long recording.

A diarizer that takes a recording in chunks numbers the speakers of each chunk afresh. Chunks that overlap, and an
embedding of each speaker's voice, tell which numbers mean one person. A plain similarity threshold does not: on one
telephone line two people sound more alike than the threshold that separates strangers. What carries the method is
that two speakers of one chunk are two people, so each chunk is matched to the known people one to one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import NamedTuple, Protocol

from relay.domain.intervals import Span, clipped, distance, joined, seconds, shared
from relay.domain.vectors import Vector, cosine, scaled, total, unit

USELESS = 0.8  # seconds of speech below which an embedding of a voice says nothing
WEAK = 1.5  # … and below which it must not move what is known of a person
LIKE = 0.5  # cosine below which a voice must not move it either
OVERLAP_WEIGHT = 0.5
TINY = 2.0  # seconds; a person of less who was met only once is a slip of the diarizer
PAUSE = 0.5  # seconds; a shorter one does not end a turn
SHORTEST = 0.2  # seconds of a turn


class Spoken(Protocol):
    """Anything with these three, such as `Turn`."""

    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def speaker(self) -> str: ...


@dataclass(frozen=True, slots=True)
class DiarizedChunk:
    """What a diarizer says of one chunk of a recording.

    `offset`: where the chunk begins in the recording, `duration`: its length, both in seconds. `turns`: in seconds
    from the start of the chunk, with speakers whose names mean something only in this chunk; turns of different
    speakers may overlap. `voices`: an embedding per speaker where there is one, of one length for all chunks.
    """

    offset: float
    duration: float
    turns: Sequence[Spoken]
    voices: Mapping[str, Sequence[float]] = field(default_factory=dict)


class SpeakerTurn(NamedTuple):
    """Seconds from the start of the recording. `Turn(*turn)` makes the port's value of it."""

    start: float
    end: float
    speaker: str


@dataclass(slots=True, eq=False)
class _Voice:
    """A speaker of one chunk. `spans`: all they say there, in seconds of the recording; `core`: that part of it
    which this chunk answers for."""

    spans: list[Span]
    core: list[Span]
    seconds: float
    vector: Vector | None


@dataclass(slots=True, eq=False)
class _Person:
    """`centroid`: the sum of the vectors, weighted by seconds. `last`: the voice where they were heard last."""

    spans: list[Span]
    chunks: set[int]
    centroid: Vector | None
    last: _Voice
    linked: bool = False

    @property
    def seconds(self) -> float:
        return seconds(self.spans)


def stitch_speakers(
    chunks: Sequence[DiarizedChunk],
    *,
    num_speakers: int | None = None,
    max_speakers: int | None = None,
    threshold: float = 0.4,
    same: float = 0.75,
) -> tuple[list[SpeakerTurn], dict[str, Vector]]:
    """The turns of the whole recording by start, and the voice (length 1) of each speaker that has one.

    Speakers are `S1`, `S2`, … by first appearance. Where chunks overlap, each answers for its half. `num_speakers`
    and `max_speakers` bound the number from above: with more, the one who says least goes to the nearest, whatever
    was found. Fewer than `num_speakers` stay fewer: nobody is invented. `threshold`: the least score (cosine and
    half the share of the overlap in which both speak) for which two are taken for one; without embeddings, the least
    share of what they say in the overlap that they say together. `same`: the cosine from which two people who never
    meet in a chunk are one. Raises ValueError for embeddings of different lengths.
    """
    ordered = sorted(chunks, key=lambda chunk: chunk.offset)
    limit = min(num_speakers or math.inf, max_speakers or math.inf)
    persons: list[_Person] = []
    for index, (voices, overlap) in enumerate(_voices(ordered)):
        _recognise(persons, index, voices, overlap, threshold=threshold, limit=limit)
    least = min(num_speakers or 1, limit)
    _merge_alike(persons, same, least)
    if len(ordered) > 1:
        _give_away_tiny(persons, least)
    while len(persons) > limit:
        _give_away(persons, min(persons, key=lambda person: person.seconds), persons)
    return _named(persons)


def _voices(chunks: Sequence[DiarizedChunk]) -> Iterator[tuple[list[_Voice], Span]]:
    """Of each chunk the speakers, and the stretch in which it overlaps the one before (empty: end <= start)."""
    edges = [(b.offset, min(a.offset + a.duration, b.offset + b.duration)) for a, b in pairwise(chunks)]
    overlaps = [(0.0, 0.0), *edges]
    lengths: set[int] = set()
    for index, chunk in enumerate(chunks):
        first, last = chunk.offset, chunk.offset + chunk.duration
        begin = max(first, _middle(overlaps[index])) if index else first
        end = min(last, _middle(edges[index])) if index < len(edges) else last
        spoken: dict[str, list[Span]] = {}
        for turn in chunk.turns:
            if turn.start < turn.end:
                spoken.setdefault(turn.speaker, []).append((first + turn.start, first + turn.end))
        voices = []
        for speaker, spans in spoken.items():
            whole = joined(clipped(spans, first, last))
            if said := seconds(whole):
                vector = unit(chunk.voices.get(speaker, ())) if said >= USELESS else None
                lengths.update([len(vector)] if vector else [])
                voices.append(_Voice(whole, clipped(whole, begin, end), said, vector))
        if len(lengths) > 1:
            raise ValueError(f"embeddings of different lengths cannot be compared: {sorted(lengths)}")
        yield voices, overlaps[index]


def _middle(span: Span) -> float:
    return (span[0] + span[1]) / 2


def _recognise(
    persons: list[_Person], index: int, voices: list[_Voice], overlap: Span, *, threshold: float, limit: float
) -> None:
    """Match the speakers of a chunk one to one to the people known, so that the scores together are the highest."""
    scores = [[_score(voice, person, overlap) for person in persons] for voice in voices]
    known = tuple(persons)
    partners = _assignment(scores) if persons and voices else {}
    for row in sorted(range(len(voices)), key=lambda row: -voices[row].seconds):
        voice, column = voices[row], partners.get(row)
        accepted = column is not None and scores[row][column] >= threshold
        if column is None or (not accepted and len(persons) < limit):
            persons.append(_Person(voice.core, {index}, scaled(voice.vector, voice.seconds), voice))
        else:
            _meet(known[column], voice, index)
            known[column].linked |= accepted


def _score(voice: _Voice, person: _Person, overlap: Span) -> float:
    mine, theirs = clipped(voice.spans, *overlap), clipped(person.last.spans, *overlap)
    both = shared(mine, theirs)
    if voice.vector is not None and person.centroid is not None:
        together = both / (overlap[1] - overlap[0]) if both else 0.0
        return cosine(voice.vector, person.centroid) + OVERLAP_WEIGHT * together
    return both / max(seconds(mine), seconds(theirs)) if both else 0.0


def _assignment(scores: list[list[float]]) -> dict[int, int]:
    """Row -> column."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(scores, maximize=True)
    return dict(zip(rows.tolist(), columns.tolist(), strict=True))


def _meet(person: _Person, voice: _Voice, index: int) -> None:
    person.spans = joined([*person.spans, *voice.core])
    person.chunks.add(index)
    person.last = voice
    if voice.vector is None:
        return
    if person.centroid is None:
        person.centroid = scaled(voice.vector, voice.seconds)
    elif voice.seconds >= WEAK and cosine(voice.vector, person.centroid) >= LIKE:
        person.centroid = total(person.centroid, scaled(voice.vector, voice.seconds))


def _merge_alike(persons: list[_Person], same: float, least: float) -> None:
    """Two people who never meet in one chunk and sound the same are one; the most alike first."""
    while len(persons) > least:
        pairs = [
            (cosine(a.centroid, b.centroid), i, j)
            for (i, a), (j, b) in combinations(enumerate(persons), 2)
            if a.centroid and b.centroid and not a.chunks & b.chunks
        ]
        alike, i, j = max(pairs, default=(-1.0, 0, 0))
        if alike < same:
            return
        _absorb(persons, persons[i], persons[j])


def _give_away_tiny(persons: list[_Person], least: float) -> None:
    """Slips of a diarizer at the edges of chunks. Where everybody says that little, they may be real and stay."""
    grown = [person for person in persons if person.linked or person.seconds >= TINY]
    for person in [person for person in persons if person not in grown]:
        if grown and len(persons) > least:
            _give_away(persons, person, grown)


def _give_away(persons: list[_Person], person: _Person, to: list[_Person]) -> None:
    """To whom sounds most alike, or, where no voices are known, to whom is heard nearest in time."""
    others = [other for other in to if other is not person]

    def nearness(other: _Person) -> tuple[float, float]:
        alike = cosine(person.centroid, other.centroid) if person.centroid and other.centroid else -1.0
        return alike, -distance(person.spans, other.spans)

    _absorb(persons, max(others, key=nearness), person)


def _absorb(persons: list[_Person], person: _Person, other: _Person) -> None:
    person.spans = joined([*person.spans, *other.spans])
    person.chunks |= other.chunks
    person.linked |= other.linked
    person.centroid = total(person.centroid, other.centroid)
    persons.remove(other)


def _named(persons: list[_Person]) -> tuple[list[SpeakerTurn], dict[str, Vector]]:
    heard = []
    for person in persons:
        spans = [(start, end) for start, end in joined(person.spans, PAUSE) if end - start >= SHORTEST]
        if spans:
            heard.append((spans, person.centroid))
    turns: list[SpeakerTurn] = []
    voices: dict[str, Vector] = {}
    for number, (spans, centroid) in enumerate(sorted(heard, key=lambda one: one[0]), 1):
        turns += [SpeakerTurn(start, end, f"S{number}") for start, end in spans]
        if centroid is not None and (vector := unit(centroid)):
            voices[f"S{number}"] = vector
    return sorted(turns), voices
