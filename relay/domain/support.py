"""Whether what a model wrote about a meeting is in its transcript: by the words both share.

A model that finds nothing to say invents something plausible. What has no words in common with any passage is dropped;
what has few is marked, and a person looks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay.domain.meetings import Item, Line

WORD = re.compile(r"[^\W\d_]{4,}|\d+")
STEM = 5
"""Letters of a word that count: "decided" and "decision" are one."""
SUPPORTED = 0.4
SUSPECT = 0.15
"""Shares of an item's words that are in the passage it stands on: below the second it is dropped."""
WINDOW = 6
"""Lines that make up a passage."""


@dataclass(frozen=True, slots=True)
class Passages:
    """The transcript, made ready to be searched: for each word the lines that hold it."""

    lines: Sequence[Line]
    places: Mapping[str, Sequence[int]]

    @classmethod
    def of(cls, lines: Sequence[Line]) -> Passages:
        places: dict[str, list[int]] = {}
        for at, line in enumerate(lines):
            for word in words(f"{line.speaker or ''} {line.text}"):
                places.setdefault(word, []).append(at)
        return cls(lines, places)

    def best(self, wanted: frozenset[str]) -> tuple[float, list[int]]:
        """The passage that shares most of the words: that share, and the ids of its lines that hold one of them."""
        score: dict[int, set[str]] = {}
        for word in wanted:
            for at in self.places.get(word, ()):
                for start in range(max(0, at - WINDOW + 1), at + 1):
                    score.setdefault(start, set()).add(word)
        if not score:
            return 0.0, []
        start = max(score, key=lambda at: (len(score[at]), at))
        inside = self.lines[start : start + WINDOW]
        return len(score[start]) / len(wanted), [line.id for line in inside if words(line.text) & wanted]

    def share(self, wanted: frozenset[str], ids: Sequence[int]) -> float:
        """The share of the words that these lines hold."""
        known = {line.id: line for line in self.lines}
        held: set[str] = set()
        for number in ids:
            if number in known:
                held |= words(known[number].text)
        return len(wanted & held) / len(wanted) if wanted else 0.0


def words(text: str) -> frozenset[str]:
    """The beginnings of the words that mean something; numbers whole."""
    return frozenset(word.casefold()[:STEM] for word in WORD.findall(text))


def guarded(items: Sequence[Item], passages: Passages) -> tuple[list[Item], int]:
    """Those that stand on the transcript, with the lines they stand on, and how many were dropped."""
    kept: list[Item] = []
    for item in items:
        wanted = words(f"{item.title} {item.text}")
        if not wanted:
            continue
        share = passages.share(wanted, item.lines)
        if share < SUPPORTED:
            found, ids = passages.best(wanted)
            if found > share:
                share, item.lines = found, ids
        if share < SUSPECT:
            continue
        item.marked = share < SUPPORTED
        item.start = next((line.start for line in passages.lines if line.id in item.lines), None)
        kept.append(item)
    return kept, len(items) - len(kept)
