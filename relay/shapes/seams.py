"""One transcript out of the transcripts of chunks that overlap."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from relay.ports.inference import Segment, Transcript, Word
from relay.shapes.chunks import Chunk

LEAST_RUN = 3  # equal words; fewer may be how people talk
WORDS_PER_SECOND = 5
NOT_A_LETTER = re.compile(r"[\W_]+")


def joined(parts: Sequence[tuple[Chunk, Transcript]]) -> list[Segment]:
    """The segments of the whole, in seconds of the whole.

    A word belongs to the chunk that answers for its middle. Then a run of equal words at a seam is taken once;
    where times are not known, also one that has a few other words around it, as words at the edges of a chunk
    are often misheard. Speakers of different chunks are not the same people, so they are left out.
    """
    result: list[Segment] = []
    for n, (chunk, transcript) in enumerate(parts):
        segments = [
            kept
            for segment in transcript.segments
            if (kept := _own(_moved(segment, chunk), chunk, first=n == 0, last=n == len(parts) - 1)) is not None
        ]
        if not n:
            result = segments
            continue
        before_chunk, before = parts[n - 1]
        overlap = before_chunk.end - chunk.start
        if overlap > 0:
            exact = _has_times(before) and _has_times(transcript)
            result, segments = _without_repetition(result, segments, overlap, exact=exact)
        result += segments
    return sorted(result, key=lambda segment: (segment.start, segment.end))


def _moved(segment: Segment, chunk: Chunk) -> Segment:
    def there(seconds: float) -> float:
        return min(chunk.start + seconds, chunk.end)  # a sum of floats may lie a hair beyond

    words = tuple(Word(word.word, there(word.start), there(word.end)) for word in segment.words)
    return Segment(there(segment.start), there(segment.end), segment.text, words)


def _own(segment: Segment, chunk: Chunk, *, first: bool, last: bool) -> Segment | None:
    """What of it lies in the part that the chunk answers for."""
    begin, end = -math.inf if first else chunk.first, math.inf if last else chunk.last
    if not segment.words:
        middle = (segment.start + segment.end) / 2
        if not begin <= middle < end:
            return None
        return replace(segment, start=max(segment.start, begin), end=min(segment.end, end))
    words = tuple(word for word in segment.words if begin <= (word.start + word.end) / 2 < end)
    if len(words) == len(segment.words):
        return segment
    return _of_words(words)


def _of_words(words: Sequence[Word]) -> Segment | None:
    text = " ".join(word.word for word in words)
    return Segment(words[0].start, words[-1].end, text, tuple(words)) if words else None


def _has_times(transcript: Transcript) -> bool:
    return len(transcript.segments) != 1 or bool(transcript.segments[0].words)


def _without_repetition(
    before: list[Segment], after: list[Segment], overlap: float, *, exact: bool
) -> tuple[list[Segment], list[Segment]]:
    window = round(overlap * WORDS_PER_SECOND) + LEAST_RUN
    tail, head = _tokens(before)[-window:], _tokens(after)[:window]
    if exact:
        longest = range(min(len(tail), len(head)), LEAST_RUN - 1, -1)
        return before, _skip(after, next((n for n in longest if tail[-n:] == head[:n]), 0))
    run = SequenceMatcher(None, tail, head, autojunk=False).find_longest_match()
    if run.size < LEAST_RUN:
        return before, after
    misheard = len(tail) - run.a - run.size
    return _skip_last(before, misheard), _skip(after, run.b + run.size)


def _tokens(segments: Sequence[Segment]) -> list[str]:
    return [_plain(token) for segment in segments for token in segment.text.split()]


def _plain(token: str) -> str:
    return NOT_A_LETTER.sub("", token.casefold()) or token


def _skip(segments: list[Segment], count: int) -> list[Segment]:
    """Without the first `count` words of the text."""
    result = []
    for segment in segments:
        tokens = segment.text.split()
        if count < len(tokens):
            result.append(_part(segment, tokens, slice(count, None)) if count else segment)
        count = max(count - len(tokens), 0)
    return result


def _skip_last(segments: list[Segment], count: int) -> list[Segment]:
    result = []
    for segment in reversed(segments):
        tokens = segment.text.split()
        if count < len(tokens):
            result.append(_part(segment, tokens, slice(None, len(tokens) - count)) if count else segment)
        count = max(count - len(tokens), 0)
    return result[::-1]


def _part(segment: Segment, tokens: list[str], kept: slice) -> Segment:
    """The words that have times follow the text where both count the same."""
    words = segment.words[kept] if len(segment.words) == len(tokens) else ()
    start, end = (words[0].start, words[-1].end) if words else (segment.start, segment.end)
    return Segment(start, end, " ".join(tokens[kept]), words, segment.speaker)
