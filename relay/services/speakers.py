"""Who says which words: the turns of a diarization brought together with the segments of a transcript."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter, itemgetter

from relay.domain.intervals import Span, distance, joined, shared
from relay.ports.inference import Segment, Turn, Word

NEAR = 1.0  # seconds; a word further from every turn is said by whoever said the one before
FEW_WORDS = 2  # a change of speaker for fewer words than this is a slip
SHORT = 0.3  # and so is one for less time, in seconds


@dataclass(slots=True)
class _Said:
    """`word` is what goes into the answer: None where only the text is known, and its times are guessed."""

    text: str
    span: Span
    word: Word | None
    speaker: str | None = None


def assign_words(segments: Sequence[Segment], turns: Sequence[Turn]) -> tuple[Segment, ...]:
    """The segments with their speakers, split where the speaker changes.

    A word belongs to the speaker heard longest during it, else to the nearest within a second, else to the speaker
    of the word before. Inside a segment a change for a single word, or for less than 0.3 s, is taken for a slip and
    smoothed away. Without times of words, the text is spread evenly over the segment. A segment said by one speaker
    keeps its text as it is. Without turns the segments come back as they are.
    """
    spans: defaultdict[str, list[Span]] = defaultdict(list)
    for turn in turns:
        spans[turn.speaker].append((turn.start, turn.end))
    heard = {speaker: joined(said) for speaker, said in spans.items()}
    if not heard:
        return tuple(segments)
    words = [_words(segment) for segment in segments]
    _assign([said for segment in words for said in segment], heard)
    return tuple(part for segment, said in zip(segments, words, strict=True) for part in _split(segment, said))


def _words(segment: Segment) -> list[_Said]:
    if segment.words:
        return [_Said(word.word, (word.start, word.end), word) for word in segment.words]
    texts = segment.text.split()
    letters = sum(map(len, texts)) or 1
    said, at = [], segment.start
    for text in texts:
        end = at + (segment.end - segment.start) * len(text) / letters
        said.append(_Said(text, (at, end), None))
        at = end
    return said


def _assign(words: list[_Said], heard: dict[str, list[Span]]) -> None:
    before = None
    for word in words:
        before = word.speaker = _speaker(word.span, heard) or before
    first = next((word.speaker for word in words if word.speaker), None)
    for word in words:
        word.speaker = word.speaker or first


def _speaker(span: Span, heard: dict[str, list[Span]]) -> str | None:
    near = {speaker: _near(spans, span) for speaker, spans in heard.items()}
    said = {speaker: shared([span], spans) for speaker, spans in near.items()}
    longest = max(said, key=lambda speaker: said[speaker])
    if said[longest] > 0:
        return longest
    away = {speaker: distance([span], spans) for speaker, spans in near.items()}
    nearest = min(away, key=lambda speaker: away[speaker])
    return nearest if away[nearest] <= NEAR else None


def _near(spans: list[Span], span: Span) -> list[Span]:
    first = bisect_left(spans, span[0] - NEAR, key=itemgetter(1))
    return spans[first : bisect_right(spans, span[1] + NEAR, key=itemgetter(0))]


def _smooth(words: list[_Said]) -> None:
    runs = _runs(words)
    for i, run in enumerate(runs):
        if len(runs) > 1 and (len(run) < FEW_WORDS or run[-1].span[1] - run[0].span[0] < SHORT):
            speaker = runs[i - 1 if i else 1][0].speaker
            for word in run:
                word.speaker = speaker


def _runs(words: list[_Said]) -> list[list[_Said]]:
    return [list(run) for _, run in groupby(words, key=attrgetter("speaker"))]


def _split(segment: Segment, words: list[_Said]) -> Iterator[Segment]:
    _smooth(words)
    runs = _runs(words)
    if len(runs) <= 1:
        yield replace(segment, speaker=words[0].speaker if words else None)
        return
    for number, run in enumerate(runs):
        start = segment.start if number == 0 else run[0].span[0]
        end = segment.end if number == len(runs) - 1 else run[-1].span[1]
        known = tuple(said.word for said in run if said.word is not None)
        yield Segment(start, max(start, end), _text(run), known, run[0].speaker)


def _text(run: list[_Said]) -> str:
    """Recognisers disagree on whether a word carries the space before it."""
    if any(said.text[:1].isspace() for said in run):
        return "".join(said.text for said in run).strip()
    return " ".join(said.text for said in run)
