"""Looking at the rail: one look per order at a time, however many ask; who cannot wait is answered before it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress

import structlog

from relay.books import orders
from relay.errors import RailError, RailUnavailable, RelayError, boundary
from relay.ports.rails import Rail, Snapshot
from relay.ports.storage import Storage
from relay.services.settle import Settled, Settlement

log = structlog.get_logger("relay.money")

LOOKERS = 8
"""Looks at once at one rail."""
MAX_WAITING = 4
"""Deliveries that wait for a look at once; the next ones are answered `checking`."""
MAX_QUEUED = 1000
NOW_SECONDS = 60.0
UNSIGNED_SECONDS = 3.0
"""Between two looks that an unsigned nudge may cause at one order."""


class Checks:
    """`outage`: told once when a rail stops answering (True) and once when it answers again (False).
    `down`: the rails that did not answer when the relay was stopped."""

    def __init__(
        self,
        storage: Storage,
        rails: Mapping[str, Rail],
        settlement: Settlement,
        outage: Callable[[str, bool], None] = lambda _rail, _down: None,
        down: Iterable[str] = (),
    ) -> None:
        self._storage = storage
        self._rails = rails
        self._settlement = settlement
        self._outage = outage
        # Each rail has its own, so that one that hangs does not hold up the others.
        self._pools = {name: ThreadPoolExecutor(LOOKERS, f"look-{name}") for name in rails}
        self._closed = False
        self._running: dict[str, Future[Settled]] = {}
        self._again: set[str] = set()
        self._looked: dict[str, float] = {}
        self._down = set(down)
        # A look may end before its callback is set, which then runs at once, in the thread that has the lock.
        self._lock = threading.RLock()
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)

    def soon(self, order_id: str, *, signed: bool = True) -> Future[Settled] | None:
        """A look at the order's invoice. One that runs already may have begun too early, so another follows it.

        None: too many are queued, or an unsigned nudge came too soon after the last (one look follows by itself).
        Raises RailUnavailable when the order's rail is not enabled (any more).
        """
        order = self._storage.read(lambda tx: orders.get(tx, order_id))
        if order is None or order.rail not in self._pools:
            self._settlement.unanswered(order_id)
            raise RailUnavailable("the payment service of this order is not enabled any more")
        rail = order.rail
        with self._lock:
            running = self._running.get(order_id)
            if running is not None:
                self._again.add(order_id)
                return running
            if self._closed or len(self._running) >= MAX_QUEUED:
                return None
            wait = self._looked.get(order_id, 0.0) + UNSIGNED_SECONDS - time.monotonic()
            if not signed and wait > 0:
                self._trail(order_id, wait)
                return None
            return self._begin(order_id, rail)

    def wait(self, order_id: str, seconds: float, *, signed: bool = True) -> Settled | None:
        """The outcome, if it is there within `seconds` and not too many wait; None: it is still being looked at.

        Raises what the look raised.
        """
        look = self.soon(order_id, signed=signed)
        if look is None or not self._waiting.acquire(blocking=False):
            return None
        try:
            return look.result(seconds)
        except NotYet:
            return None
        finally:
            self._waiting.release()

    def now(self, order_id: str) -> Settled:
        """Look and wait to the end. Raises RailError, NotFound or what the storage raises."""
        look = self.soon(order_id)
        if look is None:
            raise RailUnavailable("too many payments are being looked at; try again in a moment", retry_after=10)
        try:
            return look.result(NOW_SECONDS)
        except NotYet:
            raise RailUnavailable("the payment service is slow to answer; look again in a minute") from None

    def close(self) -> None:
        with self._lock:
            # Nothing is submitted from here on: a cancelled look's callback would wait for the pool that cancels it.
            self._closed = True
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=True)

    def is_down(self, rail: str) -> bool:
        return rail in self._down

    def _begin(self, order_id: str, rail: str) -> Future[Settled]:
        """The lock is held."""
        look = self._running[order_id] = self._pools[rail].submit(self._look, order_id)
        look.add_done_callback(lambda _look: self._ended(order_id, rail))
        return look

    def _ended(self, order_id: str, rail: str) -> None:
        with self._lock:
            del self._running[order_id]
            now = time.monotonic()
            self._looked[order_id] = now
            if len(self._looked) > MAX_QUEUED:
                self._looked = {key: at for key, at in self._looked.items() if at > now - UNSIGNED_SECONDS}
            if order_id in self._again:
                self._again.discard(order_id)
                if not self._closed:  # else the sweep goes on with it after the start
                    self._begin(order_id, rail)

    def _trail(self, order_id: str, wait: float) -> None:
        """The lock is held. One look after the pause, however many nudges come within it."""
        if order_id in self._again:
            return
        self._again.add(order_id)

        def later() -> None:
            with self._lock:
                self._again.discard(order_id)
            with suppress(RelayError):  # the storage is away, and the sweep looks again
                self.soon(order_id)

        timer = threading.Timer(wait, later)
        timer.daemon = True
        timer.start()

    def _look(self, order_id: str) -> Settled:
        order = self._storage.read(lambda tx: orders.get(tx, order_id))
        if order is None:  # it was wiped since the look was asked for
            return Settled(order_id, "invalid", granted=False, fulfilled=False)
        rail = self._rails[order.rail]
        try:
            with boundary(rail.name, RailUnavailable):
                snapshot = self._ask(rail, order_id, order.invoice_id)
        except RelayError as exc:
            self._failed(rail.name, exc)
            self._settlement.unanswered(order_id)
            raise
        self._answered(rail.name)
        try:
            with boundary(rail.name, RailUnavailable):
                return self._settlement.apply(order_id, rail, snapshot)
        except RailUnavailable:
            # What the rail said cannot be worked with; the order must not stay first in the line for ever.
            self._settlement.unanswered(order_id)
            raise

    def _ask(self, rail: Rail, order_id: str, invoice_id: str | None) -> Snapshot | None:
        """By the rail's id; while we do not have it (the answer to our order was lost) by ours."""
        return rail.find(order_id) if invoice_id is None else rail.fetch(invoice_id)

    def _failed(self, rail: str, error: RelayError) -> None:
        if not isinstance(error, RailError):
            return
        with self._lock:
            first = rail not in self._down
            self._down.add(rail)
        if first:
            log.warning("rail_down", rail=rail, code=error.code, error=error.message)
            self._outage(rail, True)

    def _answered(self, rail: str) -> None:
        if rail not in self._down:
            return
        with self._lock:
            self._down.discard(rail)
        log.warning("rail_up", rail=rail)
        self._outage(rail, False)
