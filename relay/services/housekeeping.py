"""What has to happen by itself: dead holds go back, months roll, old records go.

One thread; each round does a bounded amount of work, and a failing round is logged and tried again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from relay.books import accounts, jobs
from relay.domain import tiers
from relay.domain.instants import iso, utcnow
from relay.ports.storage import Storage, Tx
from relay.services.idempotency import Idempotency
from relay.services.meter import Meter
from relay.services.policy import Policy
from relay.settings import RetentionSettings

log = structlog.get_logger("relay.housekeeping")
BATCH = 200
DEDUP_DAYS = 180
"""How long the key of a settled payment is kept, whatever `retention` says."""


class Chore(NamedTuple):
    """Something of another service: `do` it in each round, or in `every` so many."""

    name: str
    do: Callable[[], object]
    every: int = 1


class Housekeeping:
    def __init__(
        self,
        storage: Storage,
        meter: Meter,
        policy: Policy,
        retention: RetentionSettings,
        idempotency: Idempotency,
        clock: Callable[[], datetime] = utcnow,
        chores: Sequence[Chore] = (),
    ) -> None:
        self._storage = storage
        self._meter = meter
        self._policy = policy
        self.retention = retention
        self._idempotency = idempotency
        self._chores = chores
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        rounds = 0
        while True:
            self._round("sweep", lambda: self._meter.sweep(nobody))
            self._round("keys", self._idempotency.sweep)
            if rounds % 4 == 0:
                self._round("roll", self.roll_due)
            if rounds % 240 == 0:
                self._round("prune", self.prune)
                self._round("answers", self._idempotency.prune)
            for chore in self._chores:
                if rounds % chore.every == 0:
                    self._round(chore.name, chore.do)
            rounds += 1
            if self._stop.wait(15):
                return

    def _round(self, what: str, task: Callable[[], object]) -> None:
        """One failing task must not keep the others, or its own next round, from running."""
        try:
            task()
        except Exception:
            log.exception("housekeeping_failed", task=what)

    def roll_due(self) -> int:
        """Book the months and subscriptions that are over, so that sorted columns stay true."""
        rolled = 0
        while n := self._storage.transact(self._roll_batch):
            rolled += n
        return rolled

    def _roll_batch(self, tx: Tx) -> int:
        now = self._clock()
        rows, rolled = tx.scan(accounts.COLL, "due_at", None, iso(now), limit=BATCH), 0
        for key, doc in rows:
            account = accounts.load(doc)
            drafts = tiers.refresh(account, self._policy.tiers, now)
            accounts.save(tx, key, account, self._policy.tiers, now, drafts, actor="relay")
            rolled += account.due_at is None or account.due_at > now
        return rolled

    def prune(self) -> None:
        """Delete what is past its retention. The ledger is kept for ever."""
        now = self._clock()
        jobs_before = now - timedelta(days=self.retention.jobs_days)
        while self._storage.transact(lambda tx: jobs.prune(tx, jobs_before)):
            pass
        keys_before = iso(now - timedelta(days=DEDUP_DAYS))
        while self._storage.transact(lambda tx: _prune(tx, "processed-webhooks", "value", keys_before)):
            pass
        while self._storage.transact(lambda tx: _prune(tx, "sessions", "expires_at", iso(now))):
            pass
        self._storage.sweep_blobs(3600)

    def reindex(self) -> int:
        """Recompute the sorted fields of every row, after the operator changed the tiers."""
        after: str | None = None
        n = 0
        while keys := self._storage.transact(lambda tx, after=after: self._reindex_batch(tx, after)):  # type: ignore[misc]
            after, n = keys[-1] + "\0", n + len(keys)
        return n

    def _reindex_batch(self, tx: Tx, after: str | None) -> list[str]:
        now = self._clock()
        rows = tx.scan(accounts.COLL, None, after, limit=BATCH)
        for key, doc in rows:
            accounts.save(tx, key, accounts.load(doc), self._policy.tiers, now)
        return [key for key, _ in rows]


def nobody(_owner: str) -> bool:
    """No owner is known to be dead: for a storage that one process has to itself."""
    return False


def _prune(tx: Tx, coll: str, index: str, until: str | None) -> int:
    rows = tx.scan(coll, index, None, until, limit=BATCH)
    for key, _ in rows:
        tx.delete(coll, key)
    return len(rows)
