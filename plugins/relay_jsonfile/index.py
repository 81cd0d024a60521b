"""A sorted list that takes changes at once and sorts them in when somebody reads.

A row that is written often and looked at in order rarely, as an open hold is, so costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sortedcontainers import SortedList

PENDING = 256
"""More changes than this are sorted in at once, so that a reader never waits for many."""


class Index:
    """Entries are what sorts: a key, or (value, key). Each key has one entry or none."""

    def __init__(self, entries: Iterable[Any] = ()) -> None:
        self._sorted = SortedList(entries)
        self._pending: dict[str, tuple[Any, Any]] = {}

    def change(self, key: str, was: Any, now: Any) -> None:
        """Replace the entry `was` of `key` by `now`; None for no entry."""
        before = self._pending.get(key)
        if before is not None:
            was = before[0]
        if was == now:
            self._pending.pop(key, None)
            return
        self._pending[key] = (was, now)
        if len(self._pending) > PENDING:
            self.sorted()

    def sorted(self) -> SortedList[Any]:
        for was, now in self._pending.values():
            if was is not None:
                self._sorted.remove(was)
            if now is not None:
                self._sorted.add(now)
        self._pending.clear()
        return self._sorted
