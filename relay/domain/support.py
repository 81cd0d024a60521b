"""Whether what a model wrote about a meeting is in its transcript: by the words both share.

A model that finds nothing to say invents something plausible. What shares next to nothing with any passage is dropped;
what shares little, or has a number that nobody said, is marked, and a person looks. Words count by how rare they are
in this meeting, so that a fluent text about something else does not pass by its "that" and "which".
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay.domain.meetings import Item, Line

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, Kana, Han, Hangul: no spaces between words, or endings that stick to them."""
MARKS = "".join(chr(code) for code in range(0x300, 0x1B00) if unicodedata.category(chr(code)).startswith("M"))
"""Vowel signs and accents: part of a word, though Python's `\\w` does not say so."""
TOKEN = re.compile(rf"(?P<pairs>[{UNSPACED}]+)|(?P<number>\d+)|(?P<word>(?:[^\W\d_{UNSPACED}][{MARKS}]*)+)")
THOUSANDS = re.compile(r"(?<=\d)[.,'\u2019\u202f](?=\d{3}(?!\d))")
ALPHABETS = 0x590
"""Letters before this one are Latin, Greek, Cyrillic, Armenian; those after need fewer letters for a word."""
STEM = 5
"""Letters of a word that count: "decided" and "decision" are one."""
SUPPORTED = 0.4
SUSPECT = 0.15
"""Shares of an item's words that are in the passage it stands on: below the second it is dropped."""
LEAST_WEIGHT = 0.1
WINDOW = 6
"""Lines that make up a passage."""
MAX_CITED = 500
"""Lines that one item may name."""


@dataclass(frozen=True, slots=True)
class Passages:
    """The transcript, made ready to be searched. `held`: the words of each line; `places`: the lines of each word."""

    lines: Sequence[Line]
    held: Sequence[frozenset[str]]
    places: Mapping[str, Sequence[int]]
    at: Mapping[int, int]

    @classmethod
    def of(cls, lines: Sequence[Line], names: Mapping[str | None, str] | None = None) -> Passages:
        """`names`: what speakers are called; who speaks in a line is part of it."""
        called = names or {}
        held = [words(f"{called.get(line.speaker, '')} {line.text}") for line in lines]
        places: dict[str, list[int]] = {}
        for at, one in enumerate(held):
            for word in one:
                places.setdefault(word, []).append(at)
        return cls(lines, held, places, {line.id: at for at, line in enumerate(lines)})

    def weight(self, word: str) -> float:
        """1 for a word that one line holds, or none; close to 0 for one that is everywhere."""
        count = len(self.places.get(word, ()))
        if count <= 1:
            return 1.0
        return max(LEAST_WEIGHT, math.log(len(self.lines) / count) / math.log(len(self.lines)))

    def best(self, wanted: Mapping[str, float]) -> tuple[float, list[int]]:
        """The passage that shares most of the words: that share, and which of the lines hold one of them."""
        score: dict[int, float] = {}
        for word, weight in wanted.items():
            starts = {start for at in self.places.get(word, ()) for start in range(max(0, at - WINDOW + 1), at + 1)}
            for start in starts:
                score[start] = score.get(start, 0.0) + weight
        if not score:
            return 0.0, []
        start = max(score, key=lambda at: (score[at], at))
        inside = range(start, min(start + WINDOW, len(self.lines)))
        return score[start] / sum(wanted.values()), [at for at in inside if not self.held[at].isdisjoint(wanted)]

    def share(self, wanted: Mapping[str, float], lines: Sequence[int]) -> float:
        """The share of the words that these lines hold."""
        held = frozenset[str]().union(*(self.held[at] for at in lines))
        return sum(weight for word, weight in wanted.items() if word in held) / sum(wanted.values())


def words(text: str) -> frozenset[str]:
    """The beginnings of the words that mean something; numbers whole; pairs of letters where words have no spaces."""
    found: set[str] = set()
    for match in TOKEN.finditer(THOUSANDS.sub("", unicodedata.normalize("NFKC", text)).casefold()):
        token = match[0]
        if match["pairs"]:
            found.update(token[at : at + 2] for at in range(max(1, len(token) - 1)))
        elif match["number"]:
            found.add(str(int(token[:40])))
        elif len(token) >= (4 if ord(token[0]) < ALPHABETS else 3):
            found.add(token[:STEM])
    return frozenset(found)


def guarded(items: Sequence[Item], passages: Passages) -> tuple[list[Item], int]:
    """Those that stand on the transcript, with the lines they stand on, and how many were dropped."""
    kept = [item for item in items if f"{item.title}{item.text}".strip() and _stands(item, passages)]
    return kept, len(items) - len(kept)


def _stands(item: Item, passages: Passages) -> bool:
    """Whether to keep it; fills in `lines`, `start` and `marked`."""
    wanted = {word: passages.weight(word) for word in words(f"{item.title} {item.text}")}
    cited = [passages.at[number] for number in item.lines[:MAX_CITED] if number in passages.at]
    if not wanted:
        # "Yes, go on.": too short to be looked up.
        share = 0.0
    else:
        share = passages.share(wanted, cited)
        if share < SUPPORTED:
            found, lines = passages.best(wanted)
            if found > share:
                share, cited = found, lines
        if share < SUSPECT:
            return False
    item.lines = [passages.lines[at].id for at in cited]
    item.start = passages.lines[min(cited)].start if cited else None
    item.marked = share < SUPPORTED or bool(_numbers(wanted) - _numbers(*(passages.held[at] for at in cited)))
    return True


def _numbers(*of: Mapping[str, float] | frozenset[str]) -> set[str]:
    """Of two digits and more: smaller ones are said as words as often as not."""
    return {word for one in of for word in one if word.isdecimal() and len(word) > 1}
