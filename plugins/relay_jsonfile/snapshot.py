"""A collection at one moment, read in slices while it goes on changing.

Nothing is copied up front: the first change of a row after that moment leaves its old document here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from relay.api import Collection

from .index import Index

SLICE = 500
"""Documents per slice: the lock is held for a tenth of a millisecond each."""
_SAME = b""
"""No document is empty, so this says that the row has not changed."""

Rows = list[tuple[str, bytes]]


class Snapshot:
    """`changed`: the keys changed since the last snapshot. `count`: how many rows there are."""

    def __init__(self, spec: Collection, rows: dict[str, bytes], keys: Index, changed: set[str]) -> None:
        self.spec = spec
        self.changed = changed
        self.count = len(keys.sorted())
        self._rows = rows
        self._keys = keys
        self._before: dict[str, bytes | None] = {}
        self._deleted: set[str] = set()

    def remember(self, key: str, old: bytes | None, raw: bytes | None) -> None:
        """A row is about to change from `old` to `raw`; the lock is held."""
        self._before.setdefault(key, old)
        if raw is None:
            self._deleted.add(key)

    def document(self, key: str) -> bytes | None:
        """One document as it was; the caller holds the lock."""
        old = self._before.get(key, _SAME)
        return self._rows.get(key) if old is _SAME else old

    def slices(self, lock: threading.Lock) -> Iterator[Rows]:
        """All rows in the order of their keys; takes the lock for one slice at a time."""
        after: str | None = None
        while True:
            with lock:
                keys, after = self._next(after)
                rows = [(key, raw) for key in keys if (raw := self.document(key)) is not None]
            yield rows
            if after is None:
                return

    def _next(self, after: str | None) -> tuple[list[str], str | None]:
        """The keys of the next slice, and the last of them; None when there are no more."""
        there = self._keys.sorted()
        start = 0 if after is None else there.bisect_right(after)
        keys = list(there.islice(start, start + SLICE))
        last = keys[-1] if len(keys) == SLICE else None
        if self._deleted:
            gone = (key for key in self._deleted if (after is None or key > after) and (last is None or key <= last))
            keys = sorted({*keys, *gone})
        return keys, last
