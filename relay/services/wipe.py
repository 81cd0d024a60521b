"""Wipe all: accounts and what they did go; the books, and what money may still come in by, stay.

In transactions of a bounded size, subscriptions first: from then on no saved card is charged. No job outlives its
account: the new row of a caller who comes again must not be refunded, or counted up, for what the old one did. A wipe
that was cut off is finished by the next one. What comes in while it runs may go with it, or stay.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime

from relay.books import accounts, audit, discounts, holds, inbox, jobs, orders, outbox, outputs, pieces, work
from relay.books import subscriptions as subs
from relay.books import usage as figures
from relay.domain.instants import utcnow
from relay.errors import Conflict, RelayError
from relay.ports.auth import Identity, KeyIssuer
from relay.ports.storage import Doc, ReadTx, Storage, Tx
from relay.services import erasing, idempotency
from relay.services.account_admin import By
from relay.services.jobs import Jobs
from relay.services.policy import Policy
from relay.services.running_calls import RunningCall

BATCH = 100
KEEP_STATES = frozenset({"pending", "processing", "review"})
Rows = list[tuple[str, Doc]]


class Wipe:
    def __init__(
        self,
        storage: Storage,
        policy: Policy,
        issuers: Iterable[object],
        jobs: Jobs,
        clock: Callable[[], datetime] = utcnow,
        running: Callable[[], list[RunningCall]] = list,
    ) -> None:
        self._storage = storage
        self._policy = policy
        self._issuers = [each for each in issuers if isinstance(each, KeyIssuer)]
        self._jobs = jobs
        self._calls = running
        self._clock = clock
        self._at_work = threading.Lock()

    def all(self, by: By, *, force: bool = False) -> dict[str, int]:
        """What was removed, by kind.

        Raises Conflict (busy) while calls run or jobs wait, unless `force`: then jobs are cancelled, credits that are
        held go back, and a call that still gets its answer is not charged. Conflict (in_progress) beside another wipe.
        """
        if not self._at_work.acquire(blocking=False):
            raise Conflict("another wipe is running; wait for its end", code="in_progress")
        try:
            return self._all(by, force=force)
        finally:
            self._at_work.release()

    def _all(self, by: By, *, force: bool) -> dict[str, int]:
        running = max(self._storage.read(_running), len(self._calls()))
        if running and not force:
            raise Conflict(
                f"{running} calls or jobs are running; stop the traffic and wait, or send force",
                code="busy",
                details={"running": running},
            )
        line = self._storage.transact(lambda tx: audit.record(tx, by.actor, "house.wipe", "all", reason=by.reason))
        wiped = {"subscriptions": self._walk(subs.COLL, _delete(subs.COLL))}
        wiped["keys"] = sum(issuer.end_all(None) for issuer in self._issuers)
        if force:
            self._cancel_jobs()
        wiped["jobs"] = self._walk(jobs.COLL, _closed_jobs(jobs.COLL))
        wiped["accounts"] = self._walk(accounts.COLL, lambda tx, rows: self._zero(tx, rows, by))
        self._walk(pieces.COLL, _closed_pieces)
        wiped["outputs"] = self._walk(outputs.COLL, self._drop_outputs)
        wiped["jobs"] += self._walk(jobs.COLL, _closed_jobs(jobs.COLL))
        self._walk(work.COLL, _closed_jobs(work.COLL))
        wiped["stored_answers"] = self._walk(idempotency.COLL, _delete(idempotency.COLL))
        wiped["callbacks"] = self._walk(outbox.COLL, _callbacks)
        wiped["deliveries"] = self._walk(inbox.COLL, _delete(inbox.COLL))
        wiped["orders"] = self._walk(orders.COLL, _over)
        wiped["figures"] = self._walk(figures.COLL, _figures)
        self._storage.transact(lambda tx: _note(tx, line, wiped))
        self._storage.sweep_blobs(3600)
        return wiped

    def _walk(self, coll: str, wipe: Callable[[Tx, Rows], int]) -> int:
        """Once through a collection in the order of its keys, so that it ends also while rows come in."""
        after: str | None = None
        gone = 0
        while True:

            def some(tx: Tx, after: str | None = after) -> tuple[str | None, int]:
                rows = tx.scan(coll, None, after, limit=BATCH)
                return (rows[-1][0] + "\0" if rows else None), wipe(tx, rows)

            after, n = self._storage.transact(some)
            gone += n
            if after is None:
                return gone

    def _cancel_jobs(self) -> None:
        for job_id, row in self._storage.read(lambda tx: work.unfinished(tx, 0, erasing.MAX_OPEN)):
            try:
                self._jobs.cancel(Identity(row.account, "admin"), job_id)
            except RelayError:  # it has ended by itself
                continue

    def _zero(self, tx: Tx, rows: Rows, by: By) -> int:
        """Accounts go as one that is erased does, with the records of jobs that were answered since the wipe began."""
        held = defaultdict(list)
        for hold in holds.page(tx, limit=erasing.MAX_OPEN):
            held[hold.account].append(hold)
        for key, doc in rows:
            for job_id, _ in tx.scan(jobs.COLL, "account_at", f"{key} ", f"{key} ~", limit=erasing.MAX_OPEN):
                tx.delete(jobs.COLL, job_id)
            erasing.zero(tx, key, accounts.load(doc), held[key], self._policy, self._clock(), by)
        return len(rows)

    def _drop_outputs(self, tx: Tx, rows: Rows) -> int:
        return outputs.drop(tx, [key for key, _ in rows], self._clock())[0]


def _running(tx: ReadTx) -> int:
    return tx.count(holds.COLL) + tx.count(work.COLL, "open_at")


def _delete(coll: str) -> Callable[[Tx, Rows], int]:
    def delete(tx: Tx, rows: Rows) -> int:
        for key, _ in rows:
            tx.delete(coll, key)
        return len(rows)

    return delete


def _closed_jobs(coll: str) -> Callable[[Tx, Rows], int]:
    """Not those that run: their calls, begun since, end as ever."""

    def delete(tx: Tx, rows: Rows) -> int:
        over = [key for key, _ in rows if not _open(tx, key)]
        for key in over:
            tx.delete(coll, key)
        return len(over)

    return delete


def _closed_pieces(tx: Tx, rows: Rows) -> int:
    over = [key for key, _ in rows if not _open(tx, key.partition("/")[0])]
    for key in over:
        tx.delete(pieces.COLL, key)
    return len(over)


def _open(tx: ReadTx, job_id: str) -> bool:
    row = work.get(tx, job_id)
    return holds.get(tx, job_id) is not None or (row is not None and not row.ended)


def _callbacks(tx: Tx, rows: Rows) -> int:
    """Messages to callers. Those to the operator's own server stay."""
    mine = [key for key, doc in rows if doc["kind"] == "job"]
    for key in mine:
        outbox.drop(tx, key)
    return len(mine)


def _over(tx: Tx, rows: Rows) -> int:
    """Orders that no payment can come in for any more. The others stay, without the buyer's address."""
    gone = 0
    for order_id, _ in rows:
        order = orders.get(tx, order_id)
        if order is None:
            continue
        if order.state in KEEP_STATES or order.next_check_at is not None:
            erasing.forget_buyer(order)
            orders.put(tx, order_id, order)
            continue
        tx.delete(orders.COLL, order_id)
        tx.delete(discounts.USES, order_id)
        gone += 1
    return gone


def _figures(tx: Tx, rows: Rows) -> int:
    """But not how much is stored and owed now: what came in since the wipe began is counted in there."""
    for key, doc in rows:
        stays = {name: doc[name] for name in ("stored", "owed") if doc.get(name)}
        if stays and key[:2] not in {f"{figures.HOUR} ", f"{figures.DAY} "}:
            tx.put(figures.COLL, key, stays)
        else:
            tx.delete(figures.COLL, key)
    return len(rows)


def _note(tx: Tx, line: str, wiped: dict[str, int]) -> None:
    """What it came to, in the line that was written before it began."""
    change = tx.get(audit.COLL, line, audit.Change)
    if change is not None:
        change.after = wiped
        tx.put(audit.COLL, line, change)
