"""Settlement: the only place where money becomes credit.

Webhook, reconciler, rescan and return page all end here with what the rail itself says, at the same instant if they
like: the transaction finds the dedup key taken, or takes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from relay.books import inbox, orders
from relay.crash import crash_point
from relay.domain.instants import iso, utcnow, whole
from relay.domain.orders import Decision, Order, Rules, Seen, State, decide
from relay.domain.sweep import next_check, pause
from relay.ports.rails import Rail, Snapshot
from relay.ports.storage import Storage, Tx
from relay.services.discounts import Discounts
from relay.services.events import Events
from relay.services.fulfil import fulfil, hindrance, take_back
from relay.services.policy import Policy

log = structlog.get_logger("relay.money")


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of a look at the rail. `granted`: by this very look. `fulfilled`: now or before."""

    order_id: str
    state: State
    granted: bool
    fulfilled: bool
    alert: str = ""


class Settlement:
    def __init__(
        self,
        storage: Storage,
        policy: Policy,
        rules: Rules,
        window_hours: int,
        discounts: Discounts,
        events: Events,
        clock: Callable[[], datetime] = utcnow,
    ) -> None:
        self._storage = storage
        self._policy = policy
        self.rules = rules
        self.window_hours = window_hours
        self._discounts = discounts
        self._events = events
        self._clock = clock
        self.paid: Callable[[Tx, str, Order], None] = lambda _tx, _order_id, _order: None
        """What else a payment sets going, in the same transaction."""

    def apply(self, order_id: str, rail: Rail, snapshot: Snapshot | None) -> Settled:
        """Bring the order to what the rail says (None: it has no such invoice). One transaction.

        Raises StorageUnavailable or StorageFull; then nothing of it happened, or a restart tells.
        """
        settled = self._storage.transact(lambda tx: self._apply(tx, order_id, rail, snapshot))
        crash_point("settle.applied")
        self._events.nudge()
        if settled.granted:
            log.info("payment_credited", order=order_id, rail=rail.name)
        if settled.alert:
            log.warning("rail_alert", rail=rail.name, order=order_id, note=settled.alert)
        return settled

    def unanswered(self, order_id: str) -> None:
        """The rail could not be asked: the order's own back-off."""

        def later(tx: Tx) -> None:
            order = orders.get(tx, order_id)
            if order is not None and order.next_check_at is not None:
                order.checks += 1
                order.next_check_at = self._clock() + pause(order.checks)
                orders.put(tx, order_id, order)

        self._storage.transact(later)

    def _apply(self, tx: Tx, order_id: str, rail: Rail, snapshot: Snapshot | None) -> Settled:
        order = orders.get(tx, order_id)
        if order is None:
            return Settled(order_id, "invalid", granted=False, fulfilled=False)
        now = self._clock()
        granted, alert = False, ""
        if snapshot is not None:
            granted, alert = self._act(tx, order_id, order, rail, snapshot, now)
        elif order.fulfilled_at is None and order.store and rail.store and order.store != rail.store:
            # It was sold at a store that is not connected any more, which alone knows whether it was paid.
            order.state = "review"
            self._for_review(tx, order_id, order, "another_store", _nothing(order), now)
        # A look that a hint caused does not lengthen the sweep's own pauses.
        order.checks += order.next_check_at is not None and order.next_check_at <= now
        order.answered_at, swept = now, order.next_check_at is not None
        if order.next_check_at is not None or (order.marked and order.reversed_at is None):
            order.next_check_at = next_check(order, now, self.window_hours)
        if swept and order.next_check_at is None and order.state == "pending" and order.kind != "renewal":
            # The rail never said so, but nobody can pay it any more. Renewals end by rules of their own.
            order.state = "expired"
        over = order.next_check_at is None or order.state in {"expired", "invalid"}
        if order.code and over and order.fulfilled_at is None:
            self._discounts.cancel(tx, order_id)
        orders.put(tx, order_id, order)
        return Settled(order_id, order.state, granted, order.fulfilled_at is not None, alert)

    def _act(
        self, tx: Tx, order_id: str, order: Order, rail: Rail, snapshot: Snapshot, now: datetime
    ) -> tuple[bool, str]:
        """Whether credit was granted, and what the operator is to be told."""
        decision = decide(order, order_id, seen(snapshot), self.rules)
        if decision.reason not in {"another_invoice", "another_order", "another_store"}:
            note(order, rail, snapshot)
        granted = False
        if decision.act == "grant":
            decision = self._grant(tx, order_id, order, rail.dedup_key(snapshot.invoice_id), decision, now)
            granted = order.fulfilled_at == now and decision.act == "grant"
        elif decision.act == "reverse":
            order.reversed, order.owed = take_back(tx, order, order_id, self._policy.tiers, now)
            order.reversed_at = now
        if order.review is not None and decision.act == "nothing" and _stays(order.review, decision, snapshot):
            return granted, decision.alert
        order.state = decision.state
        if decision.reason:
            self._for_review(tx, order_id, order, decision.reason, snapshot, now)
        elif order.state != "review" and "resolved" not in (order.review or {}):
            order.review = order.review_at = None
        return granted, decision.alert

    def _grant(self, tx: Tx, order_id: str, order: Order, key: str, decision: Decision, now: datetime) -> Decision:
        """Take the dedup key and give what was bought; a person must look when either cannot be."""
        if inbox.is_settled(tx, key):
            return Decision("review", reason="credited_before")
        if why := hindrance(tx, order, self._policy.tiers, now):
            return Decision("review", reason=why)
        inbox.settle(tx, key, iso(now) or "")
        order.entry = fulfil(tx, order, order_id, self._policy.tiers, now)
        order.fulfilled_at = now
        self.paid(tx, order_id, order)
        alert = self._discounts.redeem(tx, order_id) if order.code else ""
        data = {"order": order_id, "account": order.account, "product": order.product, "amount": str(order.price)}
        self._events.emit(tx, "payment.credited", data, order_id)
        return replace(decision, alert="; ".join(filter(None, [decision.alert, alert])))

    def _for_review(self, tx: Tx, order_id: str, order: Order, reason: str, snapshot: Snapshot, now: datetime) -> None:
        """Everything a person needs to decide; told once per reason."""
        known = order.review is not None and order.review.get("reason") == reason
        order.review = {
            "reason": reason,
            "word": snapshot.word,
            "asked": None if snapshot.amount is None else str(snapshot.amount),
            "paid": None if snapshot.paid is None else str(snapshot.paid),
            "invoice_id": snapshot.invoice_id,
            "owed": order.owed,
        }
        if not known:
            order.review_at = now
            self._events.emit(tx, "payment.review_needed", {"order": order_id, "reason": reason}, order_id)


def _stays(review: dict[str, Any], decision: Decision, snapshot: Snapshot) -> bool:
    """Whether a look at the rail leaves a review as it is: a person has ended it, or it is about another invoice."""
    if "resolved" in review:
        return bool(decision.reason == review["reason"])
    return review.get("invoice_id", snapshot.invoice_id) != snapshot.invoice_id and not decision.reason


def seen(snapshot: Snapshot) -> Seen:
    return Seen(
        snapshot.status,
        snapshot.word,
        snapshot.invoice_id,
        snapshot.order_id,
        snapshot.store,
        snapshot.amount,
        snapshot.paid,
        snapshot.marked,
        snapshot.refunded,
    )


def _nothing(order: Order) -> Snapshot:
    """For a review: the rail has nothing to say of the order."""
    return Snapshot(order.invoice_id or "", None, "unknown", "no such invoice", None, order.store)


def note(order: Order, rail: Rail, snapshot: Snapshot) -> None:
    """What the rail says, as it says it. A link that is known is not lost to an answer without one."""
    order.word = snapshot.word
    order.marked = snapshot.marked
    order.store = order.store or snapshot.store
    order.contact = snapshot.contact or order.contact
    order.invoice = order.invoice or orders.invoice_key(rail.name, snapshot.invoice_id)
    order.checkout_url = snapshot.checkout_url or order.checkout_url
    order.expires_at = whole(snapshot.expires_at) or order.expires_at
    order.monitored_until = whole(snapshot.monitored_until) or order.monitored_until
    if snapshot.paid is not None and snapshot.paid.currency == order.currency:
        order.paid_units = snapshot.paid.units
