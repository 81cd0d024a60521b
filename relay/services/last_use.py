"""When keys and sessions were last used: known here at once, written at most once a minute.

A request must not wait for the disk only because somebody looked at a page.
"""

from __future__ import annotations

import threading
from datetime import datetime

from relay.domain.instants import iso
from relay.ports.storage import Storage, Tx


class LastUse:
    """For one collection whose documents have a `last_used_at`. `write` is a chore of the housekeeping."""

    def __init__(self, storage: Storage, coll: str) -> None:
        self._storage = storage
        self._coll = coll
        self._lock = threading.Lock()
        self._unwritten: dict[str, datetime] = {}

    def saw(self, key: str, now: datetime) -> None:
        with self._lock:
            self._unwritten[key] = now

    def of(self, key: str, stored: datetime | None) -> datetime | None:
        """The last use that is known; `stored`: the one in the document."""
        with self._lock:
            return self._unwritten.get(key, stored)

    def write(self) -> None:
        """What is gone by now stays gone."""
        with self._lock:
            uses = self._unwritten.copy()
        if not uses:
            return

        def write(tx: Tx) -> None:
            for key, at in uses.items():
                doc = tx.get(self._coll, key)
                if doc is not None:
                    tx.put(self._coll, key, {**doc, "last_used_at": iso(at)})

        self._storage.transact(write)
        with self._lock:
            for key, at in uses.items():
                if self._unwritten.get(key) == at:
                    del self._unwritten[key]
