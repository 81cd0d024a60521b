"""A webhook: verified, written into the inbox, looked up at the rail, answered in time. It is a hint, never a proof."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from relay.books import inbox, orders
from relay.books.inbox import Received
from relay.domain.instants import iso, utcnow
from relay.domain.orders import Order
from relay.errors import NotFound, RailError, RelayError, boundary
from relay.ports.rails import Delivery, Notice, Rail
from relay.ports.storage import ReadTx, Storage, Tx
from relay.services.checks import Checks

WAIT_SECONDS = 1.0


class Deliveries:
    def __init__(
        self, storage: Storage, rails: Mapping[str, Rail], checks: Checks, clock: Callable[[], datetime] = utcnow
    ) -> None:
        self._storage = storage
        self._rails = rails
        self._checks = checks
        self._clock = clock

    def receive(self, rail_name: str, delivery: Delivery) -> dict[str, Any]:
        """The answer to the sender. Raises NotFound (no such rail, wrong token), Unauthenticated, BadRequest; they are
        in the inbox too, where a flood of them is one row a minute."""
        rail = self._rails.get(rail_name)
        if rail is None:
            raise NotFound(f"there is no payment service {rail_name} here"[:200])
        try:
            with boundary(rail.name):
                notice = rail.read_webhook(delivery)
        except RelayError as exc:
            self._refused(rail, delivery, exc)
            raise
        order_id, order = self._storage.read(lambda tx: find(tx, rail, notice))
        key = self._write(rail, delivery, notice, order_id)
        said = self._verdict(notice, order_id, order)
        self._storage.transact(lambda tx: inbox.verdict(tx, key, said or "handled"))
        answer: dict[str, Any] = {"ok": True, rail.id_field: notice.invoice_id or (order and order.invoice_id) or ""}
        return answer | ({"ignored": said} if said else {})

    def _verdict(self, notice: Notice, order_id: str | None, order: Order | None) -> str:
        """Why nothing was done; "" when credit was granted just now."""
        if not notice.acts:
            return "event_type"
        if order_id is None or order is None:
            return "no_order_id" if notice.invoice_id is None and notice.order_id is None else "unknown_invoice"
        if order.fulfilled_at is not None:
            # It may tell of money taken back, so it is looked at; but the sender need not wait for that.
            self._checks.soon(order_id, signed=notice.signed)
            return "already_processed"
        return self._look(order_id, notice)

    def _look(self, order_id: str, notice: Notice) -> str:
        try:
            settled = self._checks.wait(order_id, WAIT_SECONDS, signed=notice.signed)
        except RailError:
            settled = None
        if settled is None:
            return "checking"
        if settled.granted:
            return ""
        return "already_processed" if settled.fulfilled else "not_settled"

    def _write(self, rail: Rail, delivery: Delivery, notice: Notice, order_id: str | None) -> str:
        received = self._row(rail, delivery, "received")
        received.event, received.delivery, received.signed = notice.event[:80], notice.delivery[:80], notice.signed
        if notice.invoice_id:
            received.invoice = orders.invoice_key(rail.name, notice.invoice_id[:128])
        received.order = order_id or ""
        key = f"{received.at} {secrets.token_hex(6)}"
        if not notice.signed:
            # Anybody can send these, so they must not fill the disk: a minute's worth about one order is one row.
            key = f"{received.at[:16]} unsigned {rail.name} {order_id or ''}"

        def write(tx: Tx) -> None:
            inbox.put(tx, key, received)
            if order_id is not None and notice.acts:
                # The sender is told 200 before the look has ended, so the look must survive a failure.
                orders.wake(tx, order_id, self._clock())

        self._storage.transact(write)
        return key

    def _refused(self, rail: Rail, delivery: Delivery, error: RelayError) -> None:
        """Forgeries cost a sender nothing: a minute's worth of one kind is one row."""
        received = self._row(rail, delivery, f"refused: {error.code}")
        key = f"{received.at[:16]} refused {rail.name} {error.code}"
        self._storage.transact(lambda tx: inbox.put(tx, key, received))

    def _row(self, rail: Rail, delivery: Delivery, verdict: str) -> Received:
        digest = hashlib.sha256(delivery.body).hexdigest()
        return Received(iso(self._clock()) or "", rail.name, "", verdict, sha256=digest, size=len(delivery.body))


def find(tx: ReadTx, rail: Rail, notice: Notice) -> tuple[str | None, Order | None]:
    """Our order: by the rail's id, else by ours when the sender is proven."""
    order_id = orders.by_invoice(tx, rail.name, notice.invoice_id) if notice.invoice_id else None
    if order_id is None and notice.signed and notice.order_id:
        order = orders.get(tx, notice.order_id)
        # An order that has another invoice already is not this one's.
        order_id = notice.order_id if order is not None and order.rail == rail.name and order.invoice is None else None
    return order_id, orders.get(tx, order_id) if order_id else None
