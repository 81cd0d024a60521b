"""The books checked in the background, account by account: each row against its entries and open holds.

A pass goes through all accounts a slice at a time and remembers what differs. One consistent view per account, so
calls that go on meanwhile raise no false alarm. A long history is added up in pages before that view is taken: entries
never change, and nobody waits while they are read from disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Any

import structlog

from relay.books import accounts
from relay.domain.instants import iso, utcnow
from relay.errors import RelayError
from relay.ports.storage import ReadTx, Storage
from relay.services.verify import all_holders, check_account

log = structlog.get_logger("relay.books")

ROUND_SECONDS = 0.2
FIRST_SLICES = 15
"""So many slices in the first round after a start: small books are checked at once."""
PAUSE = timedelta(minutes=5)
"""Between the end of a pass and the next one."""
PAGE = 200
SHOWN = 20
REMEMBERED = 1000
FAST_PAUSE = 0.01


class Pass:
    """One way through the books. `rest`: the accounts still to come, found as they are needed."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.total, self.done = storage.read(lambda tx: tx.count(accounts.COLL)), 0
        self.rest = self._keys()
        self.seen: set[str] = set()
        """Those that differ."""

    @property
    def progress(self) -> float:
        return min(1.0, self.done / self.total) if self.total else 1.0

    def _keys(self) -> Iterator[str | None]:
        """Every row; then keys that have entries or holds and no row: what they add up to must be nothing.

        None: time has passed without a key.
        """
        after: str | None = None
        while page := self._storage.read(lambda tx, after=after: _page(tx, after)):  # type: ignore[misc]
            yield from page
            after = page[-1] + "\0"
        names = self._storage.read(lambda tx: tx.partitions("ledger"))
        for start in range(0, len(names), PAGE):
            some = names[start : start + PAGE]
            yield from self._storage.read(lambda tx, some=some: _without_row(tx, some))  # type: ignore[misc]
            yield None
        held = sorted(all_holders(self._storage))
        yield from self._storage.read(lambda tx: _without_row(tx, held))


class BooksCheck:
    def __init__(self, storage: Storage, clock: Callable[[], datetime] = utcnow) -> None:
        self._storage = storage
        self._clock = clock
        self._pass: Pass | None = None
        self._differing: dict[str, str] = {}
        self._checked_at: datetime | None = None
        self._accounts = 0
        self._begun = False
        self._stopped = threading.Event()
        self._working = threading.Lock()
        self._fast: threading.Thread | None = None

    def view(self) -> dict[str, Any]:
        """For the dashboard; touches no storage. `balanced` is null until the first pass has ended."""
        differing, now = dict(self._differing), self._pass
        known = self._checked_at is not None or bool(differing)
        return {
            "balanced": not differing if known else None,
            "checked_at": iso(self._checked_at),
            "accounts": self._accounts,
            "progress": None if now is None else round(now.progress, 4),
            "differing": [{"credit_key": k, "difference": differing[k]} for k in sorted(differing)[:SHOWN]],
            "differing_count": len(differing),
        }

    def round(self) -> None:
        """A slice of the work, for housekeeping to do again and again."""
        slices = 1 if self._begun else FIRST_SLICES
        self._begun = True
        at = self._checked_at
        if self._pass is None and at is not None and at <= self._clock() < at + PAUSE:
            return
        for _ in range(slices):
            with self._working:
                self._some(ROUND_SECONDS)
            if self._pass is None or self._stopped.is_set():
                return

    def start_pass(self) -> dict[str, Any]:
        """Begin anew and go on without the pauses of housekeeping; returns the view. One such pass runs at a time."""
        with self._working:
            if self._fast is None or not self._fast.is_alive():
                self._pass = Pass(self._storage)
                self._fast = threading.Thread(target=self._run, name="books-check", daemon=True)
                self._fast.start()
        return self.view()

    def stop(self) -> None:
        self._stopped.set()
        if self._fast is not None:
            self._fast.join(timeout=10)

    def _run(self) -> None:
        try:
            while self._pass is not None and not self._stopped.wait(FAST_PAUSE):
                with self._working:
                    self._some(ROUND_SECONDS)
        except RelayError as exc:
            log.warning("books_check_stopped", error=exc.message, note="housekeeping goes on with it")

    def _some(self, seconds: float) -> None:
        """Check accounts for so long; end the pass when there are no more. The caller holds `_working`."""
        if self._pass is None:
            self._pass = Pass(self._storage)
        now, until = self._pass, time.monotonic() + seconds
        holders = all_holders(self._storage)
        for key in now.rest:
            if key is not None:
                self._check(now, key, holders)
            if time.monotonic() >= until or self._stopped.is_set():
                return
        self._differing = {key: text for key, text in self._differing.items() if key in now.seen}
        self._accounts, self._checked_at, self._pass = now.done, self._clock(), None

    def _check(self, now: Pass, key: str, holders: AbstractSet[str]) -> None:
        found, _ = check_account(self._storage, key, holders)
        now.done += 1
        if found is None:
            self._differing.pop(key, None)
            return
        now.seen.add(key)
        if key not in self._differing:
            log.error("books_differ", type=key.partition(":")[0], note="relay ledger verify says more")
        if key in self._differing or len(self._differing) < REMEMBERED:
            self._differing = self._differing | {key: in_words(found)}


def in_words(found: dict[str, Any]) -> str:
    """What differs in one account, for a person."""
    if "unreadable" in found:
        return f"the row cannot be read: {found['unreadable']}"[:300]
    each = [f"{name} is {pair['row']}, ledger says {pair['ledger']}" for name, pair in found["differences"].items()]
    if found["chain"] != "whole":
        each.append("the chain of its entries is broken")
    return "; ".join(each)[:500]


def _page(tx: ReadTx, after: str | None) -> list[str]:
    return [key for key, _ in tx.scan(accounts.COLL, None, after, limit=PAGE)]


def _without_row(tx: ReadTx, keys: list[str]) -> list[str]:
    return [key for key in keys if not tx.count(accounts.COLL, None, key, key)]
