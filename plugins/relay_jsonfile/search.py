"""Finding keys by a piece of their text: blocks of keys as one folded text each, searched at the speed of C."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice

from sortedcontainers import SortedList

BLOCK = 1000
"""Keys in a block; a block with twice as many is split."""
_NEWLINE = "\ud800"
"""Stands for a newline inside a key: half a character, which no stored key can hold."""

Block = tuple[list[str], str]


class KeySearch:
    """`forget` a key that came or went; its block's text is made again by the next search.

    Block n has the keys from `firsts[n]` up to the next block's. It starts as one block that nobody has read yet.
    """

    def __init__(self) -> None:
        self._firsts: list[str] = [""]
        self._blocks: list[Block] = [([], "")]
        self._outdated: set[int] = {0}

    def forget(self, key: str) -> None:
        self._outdated.add(bisect_right(self._firsts, key) - 1)

    def find(self, keys: SortedList[str], text: str, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix` and hold `text`, letter case ignored, in order. `keys`: all there are."""
        for number in sorted(self._outdated, reverse=True):
            self._read(number, keys)
        self._outdated.clear()
        needle = fold(text)
        first = bisect_right(self._firsts, prefix) - 1
        for begin, (block, folded) in islice(zip(self._firsts, self._blocks, strict=True), first, None):
            if begin > prefix and not begin.startswith(prefix):
                return
            if needle in folded:
                yield from (key for key in _hits(block, folded, needle) if key.startswith(prefix))

    def _read(self, number: int, keys: SortedList[str]) -> None:
        first = self._firsts[number]
        end = self._firsts[number + 1] if number + 1 < len(self._firsts) else None
        stop = len(keys) if end is None else keys.bisect_left(end)
        found = list(keys.islice(keys.bisect_left(first), stop))
        size = BLOCK if len(found) > 2 * BLOCK else 2 * BLOCK
        parts = [found[at : at + size] for at in range(0, len(found), size)] or [found]
        self._firsts[number : number + 1] = [first, *(part[0] for part in parts[1:])]
        self._blocks[number : number + 1] = [(part, _joined(part)) for part in parts]


def fold(text: str) -> str:
    return text.casefold().replace("\n", _NEWLINE)


def _joined(keys: list[str]) -> str:
    folded = "\n".join(keys).casefold()
    return folded if folded.count("\n") == len(keys) - 1 else "\n".join(map(fold, keys))


def _hits(keys: list[str], folded: str, needle: str) -> Iterator[str]:
    line = counted = 0
    at = folded.find(needle)
    while at >= 0:
        line += folded.count("\n", counted, at)
        yield keys[line]
        counted = folded.find("\n", at)
        if counted < 0:
            return
        at = folded.find(needle, counted)
