"""The reconciler: asks the rails about every open order until it has left the sweep, whatever webhooks came or did not.

Webhooks are hints; this is the truth. Each order is asked at the rail that made it, at its own back-off.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from relay.books import audit, orders
from relay.domain.instants import iso, utcnow
from relay.errors import NotFound, RailUnavailable, RelayError, boundary
from relay.ports.rails import Rail, Snapshot
from relay.ports.storage import Storage
from relay.services.checks import Checks
from relay.services.settle import Settled, Settlement

log = structlog.get_logger("relay.money")

PER_TICK = 100
AT_ONCE = 8
RESCAN_DAYS = 30
MAX_RESCANNED = 5000


@dataclass(slots=True)
class Report:
    """`failed`: the rail could not be asked. `left`: orders still in the sweep."""

    asked: int = 0
    granted: int = 0
    failed: int = 0
    left: int = 0

    def view(self) -> dict[str, Any]:
        return {
            "ok": self.failed == 0,
            "asked": self.asked,
            "granted": self.granted,
            "failed": self.failed,
            "left": self.left,
        }


class Reconciler:
    def __init__(
        self,
        storage: Storage,
        rails: Mapping[str, Rail],
        checks: Checks,
        settlement: Settlement,
        interval: float,
        clock: Callable[[], datetime] = utcnow,
    ) -> None:
        self._storage = storage
        self._rails = rails
        self._checks = checks
        self._settlement = settlement
        self.interval = interval
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)
        self.ticked_at: datetime | None = None

    def start(self) -> None:
        if self._rails:
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        # Looks are spread over the interval, so that a due order need not wait a whole one.
        while not self._stop.wait(min(self.interval, 15.0)):
            try:
                self.tick()
            except Exception:
                log.exception("reconcile_failed", note="the next tick tries again")

    def tick(self) -> Report:
        """Ask about what is due, oldest due first, at most PER_TICK orders."""
        now = iso(self._clock()) or ""
        due = self._storage.read(lambda tx: [(key, order.rail) for key, order in orders.due(tx, now, PER_TICK)])
        report = self._ask(due)
        self.ticked_at = self._clock()
        return report

    def all(self, progress: Callable[[int, int], None] = lambda _done, _all: None, *, actor: str = "relay") -> Report:
        """Ask about every order in the sweep, due or not, to the end."""
        total = self._storage.read(lambda tx: tx.count(orders.COLL, "next_check_at"))
        keys = list(self._in_sweep())
        report = Report()
        for start in range(0, len(keys), PER_TICK):
            part = self._ask(keys[start : start + PER_TICK])
            report.asked += part.asked
            report.granted += part.granted
            report.failed += part.failed
            progress(min(start + PER_TICK, total), total)
        report.left = self._storage.read(lambda tx: tx.count(orders.COLL, "next_check_at"))
        self._note(actor, "payments.reconcile", "", report)
        return report

    def rescan(self, rail_name: str, days: int = RESCAN_DAYS, *, actor: str = "relay") -> Report:
        """Look through the rail's recent settled invoices for orders of ours. Raises NotFound or RailError."""
        rail = self._rails.get(rail_name)
        if rail is None:
            raise NotFound(f"there is no payment service {rail_name} here"[:200])
        report = Report()
        since = self._clock() - timedelta(days=days)
        with boundary(rail.name, RailUnavailable):
            found = [snapshot for _, snapshot in zip(range(MAX_RESCANNED), rail.list_recent(since), strict=False)]
        for snapshot in found:
            order_id = self._ours(rail, snapshot)
            if order_id is not None:
                report.asked += 1
                report.granted += self._settlement.apply(order_id, rail, snapshot).granted
        report.left = self._storage.read(lambda tx: tx.count(orders.COLL, "next_check_at"))
        self._note(actor, "payments.rescan", rail_name, report)
        return report

    def _note(self, actor: str, action: str, target: str, report: Report) -> None:
        """That somebody asked for it. What it granted is in the ledger."""
        self._storage.transact(lambda tx: audit.record(tx, actor, action, target, after=report.view()))

    def _ours(self, rail: Rail, snapshot: Snapshot) -> str | None:
        def ours(tx: Any) -> str | None:
            known = orders.by_invoice(tx, rail.name, snapshot.invoice_id)
            if known is None and snapshot.order_id is not None:
                order = orders.get(tx, snapshot.order_id)
                return snapshot.order_id if order is not None and order.rail == rail.name else None
            return known

        return self._storage.read(ours)

    def _in_sweep(self) -> Iterator[tuple[str, str]]:
        offset = 0
        while True:
            rows = self._storage.read(
                lambda tx, offset=offset: tx.scan(orders.COLL, "next_check_at", limit=500, offset=offset)  # type: ignore[misc]
            )
            if not rows:
                return
            offset += len(rows)
            yield from [(key, doc["rail"]) for key, doc in rows]

    def _ask(self, found: list[tuple[str, str]]) -> Report:
        """A few at once. Of a rail that has failed as often in a row, the other orders are put off unasked: it may
        hang each time, and those of other rails would wait."""
        report = Report()
        waiting: list[tuple[str, Future[Settled]]] = []
        failures: Counter[str] = Counter()
        for order_id, rail in found:
            if self._stop.is_set():
                break
            if failures[rail] >= AT_ONCE:
                self._settlement.unanswered(order_id)
                report.asked += 1
                report.failed += 1
                continue
            try:
                look = self._checks.soon(order_id)
            except RailUnavailable:
                report.asked += 1
                report.failed += 1
                continue
            if look is None:
                continue
            waiting.append((rail, look))
            if len(waiting) >= AT_ONCE:
                self._count(report, failures, *waiting.pop(0))
        for rail, look in waiting:
            self._count(report, failures, rail, look)
        return report

    def _count(self, report: Report, failures: Counter[str], rail: str, look: Future[Settled]) -> None:
        report.asked += 1
        try:
            report.granted += look.result(120).granted
            failures[rail] = 0
        except (RelayError, TimeoutError):
            report.failed += 1
            failures[rail] += 1
