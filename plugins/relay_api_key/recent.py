"""What is kept in memory about keys, because a call must not wait for the storage: who a secret is, and when it
was last used."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.api import Identity, Space, SpaceTx, StorageFull, StorageUnavailable
from relay_api_key.keys import load

FRESH_SECONDS = 1.0
"""How long another process sharing the storage may go on taking a key that was ended here."""
MAX_KNOWN = 10_000
SAVE_AFTER = timedelta(minutes=1)
SAVED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Known:
    """Who a secret is. `until`: the end of its grace; `fresh_until`: on the monotonic clock."""

    identity: Identity
    path: str
    until: datetime | None
    fresh_until: float


class Callers:
    """Secrets looked up in the last second, by their hash. Forgotten as a whole when any key changes here."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._lock = threading.Lock()
        self.changes = 0
        """Counts the changes: what was read before one must not be remembered after it."""

    def get(self, digest: str, now: datetime) -> Known | None:
        known = self._known.get(digest)
        if known is None or time.monotonic() >= known.fresh_until:
            return None
        return None if known.until is not None and now >= known.until else known

    def remember(self, digest: str, identity: Identity, path: str, until: datetime | None, changes: int) -> None:
        known = Known(identity, path, until, time.monotonic() + FRESH_SECONDS)
        with self._lock:
            if changes != self.changes:
                return
            self._known[digest] = known
            self._known.move_to_end(digest)
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)

    def forget(self) -> None:
        with self._lock:
            self.changes += 1
            self._known.clear()


class Uses:
    """When keys were last used. The times are kept in memory; the first use a minute after the last writing has
    the new ones written by a thread of its own. A stop of the relay loses those of its last minute."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._latest: OrderedDict[str, datetime] = OrderedDict()
        self._saved_at: datetime | None = None
        self._lock = threading.Lock()

    def note(self, path: str, now: datetime) -> None:
        with self._lock:
            self._latest[path] = now
            self._latest.move_to_end(path)
            if len(self._latest) > MAX_KNOWN:
                self._latest.popitem(last=False)
            before = self._saved_at
            if before is not None and now < before + SAVE_AFTER:
                return
            self._saved_at = now
            fresh = [(path, at) for path, at in self._latest.items() if before is None or at >= before]
        threading.Thread(target=self._save, args=(fresh,), name="api-key-uses", daemon=True).start()

    def latest(self, path: str, saved: datetime | None) -> datetime | None:
        """The later of what is written down and what is not yet."""
        noted = self._latest.get(path)
        return saved if noted is None or (saved is not None and saved > noted) else noted

    def _save(self, uses: list[tuple[str, datetime]]) -> None:
        with suppress(StorageFull, StorageUnavailable):  # the times stay in memory, and the next use writes again
            for n in range(0, len(uses), SAVED_AT_ONCE):
                self._space.transact(lambda tx, some=uses[n : n + SAVED_AT_ONCE]: _write(tx, some))  # type: ignore[misc]


def _write(tx: SpaceTx, uses: list[tuple[str, datetime]]) -> None:
    for path, used_at in uses:
        key = load(tx, path)
        if key is not None:
            key.last_used_at = used_at
            tx.put(path, key)
