"""The operator's desk for payments: look through them, look again at the rail, decide what the rules left open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from datetime import datetime
from typing import Any

import msgspec

from relay.books import accounts, audit, inbox, orders, usage
from relay.domain.instants import iso, utcnow
from relay.domain.orders import Order
from relay.errors import Conflict, NotFound
from relay.ports.rails import Rail
from relay.ports.storage import ReadTx, Storage, Tx
from relay.services.checkout import invoice_view
from relay.services.checks import Checks
from relay.services.discounts import Discounts
from relay.services.fulfil import fulfil, take_back
from relay.services.policy import Policy
from relay.services.settle import Settlement

BATCH = 200
MAX_LOOKED_THROUGH = 5000
"""Orders one search goes through; the next page goes on behind them."""


class Desk:
    def __init__(
        self,
        storage: Storage,
        policy: Policy,
        rails: Mapping[str, Rail],
        checks: Checks,
        discounts: Discounts,
        settlement: Settlement,
        clock: Callable[[], datetime] = utcnow,
    ) -> None:
        self._storage = storage
        self._policy = policy
        self._rails = rails
        self._checks = checks
        self._discounts = discounts
        self._settlement = settlement
        self._clock = clock

    def payments(
        self, *, limit: int, offset: int, state: str | None, search: str | None
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Newest first; those under review by when that began. `search`: a part of an order's, invoice's or account's
        id. The second value is the offset of the next page, None at the end."""
        index = "review_at" if state == "review" else "created_at"
        rows: list[dict[str, Any]] = []
        looked = 0
        while looked < MAX_LOOKED_THROUGH and len(rows) < limit:
            at = offset + looked
            page = self._storage.read(
                lambda tx, at=at: tx.scan(orders.COLL, index, limit=BATCH, offset=at, reverse=True)  # type: ignore[misc]
            )
            for order_id, doc in page:
                looked += 1
                order = msgspec.convert(doc, Order)
                if _matches(order_id, order, state, search):
                    rows.append(payment_view(order_id, order))
                    if len(rows) == limit:
                        break
            if len(page) < BATCH and len(rows) < limit:
                return rows, None
        return rows, offset + looked

    def payment(self, order_id: str) -> dict[str, Any]:
        """All that is known of one. Raises NotFound."""
        return payment_view(order_id, self._order(order_id))

    def deliveries(
        self, *, limit: int, before: str | None, search: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """The inbox, newest first; `before`: the id of the last one seen."""
        rows = self._storage.read(
            lambda tx: inbox.page(tx, limit=MAX_LOOKED_THROUGH if search else limit, before=before)
        )
        found = [
            {"id": key, **doc}
            for key, doc in rows
            if search is None or search.lower() in str(sorted(doc.values(), key=str)).lower()
        ]
        looked = MAX_LOOKED_THROUGH if search else limit
        if len(found) > limit:
            return found[:limit], found[limit - 1]["id"]
        return found, rows[-1][0] if len(rows) == looked else None

    def recheck(self, order_id: str, actor: str) -> dict[str, Any]:
        """Ask the rail now and act on what it says. Raises NotFound, Conflict (no rail was asked) or RailError."""
        order = self._order(order_id)
        if order.rail not in self._rails:
            raise Conflict("no payment service that is enabled knows this order", code="no_rail")
        self._checks.now(order_id)
        self._storage.transact(lambda tx: _note(tx, actor, "recheck", order_id, order, _get(tx, order_id)))
        return self.payment(order_id)

    def credit(self, order_id: str, reason: str, actor: str) -> dict[str, Any]:
        """Give what was ordered, because a person knows it was paid. Raises NotFound, Conflict when it was given."""

        def credit(tx: Tx) -> None:
            order, now = _get(tx, order_id), self._clock()
            if order.fulfilled_at is not None and order.reversed_at is None:
                raise Conflict("this order was credited before", code="credited_before")
            if order.kind != "package" and order.tier not in self._policy.tiers:
                raise Conflict(f"tier {order.tier} is not in the settings; put it back first", code="tier_gone")
            before = copy(order)
            # In these states the rail knows of a payment and may take it back; else only a person knows of one.
            order.by_hand = order.reversed_at is not None or order.state not in {"review", "processing"}
            self._forgive(tx, order, now)
            key = self._key(order_id, order)
            if not inbox.is_settled(tx, key):
                inbox.settle(tx, key, iso(now) or "")
            order.entry = fulfil(tx, order, order_id, self._policy.tiers, now, f"{actor}: {reason}"[:200])
            order.state, order.fulfilled_at, order.reversed_at, order.reversed = "settled", now, None, 0
            self._settlement.paid(tx, order_id, order)
            order.review = order.review_at = order.next_check_at = None
            if order.code:
                self._discounts.redeem(tx, order_id)
            orders.put(tx, order_id, order)
            _note(tx, actor, "credit", order_id, before, order, reason)

        self._storage.transact(credit)
        return self.payment(order_id)

    def reverse(self, order_id: str, reason: str, actor: str) -> dict[str, Any]:
        """Take back what was given, by a counter-entry. Raises NotFound, Conflict when there is nothing to take."""

        def reverse(tx: Tx) -> None:
            order, now = _get(tx, order_id), self._clock()
            if order.fulfilled_at is None or order.reversed_at is not None:
                raise Conflict("nothing was credited for this order, or it was taken back before", code="not_credited")
            before, who = copy(order), f"{actor}: {reason}"[:200]
            order.reversed, order.owed = take_back(tx, order, order_id, self._policy.tiers, now, who)
            order.reversed_at, order.state = now, "review" if order.owed else "invalid"
            order.next_check_at = None
            if order.owed:
                order.review, order.review_at = {"reason": "taken_back_by_hand", "owed": order.owed}, now
            orders.put(tx, order_id, order)
            _note(tx, actor, "reverse", order_id, before, order, reason)

        self._storage.transact(reverse)
        return self.payment(order_id)

    def dismiss(self, order_id: str, reason: str, actor: str) -> dict[str, Any]:
        """End a review without credit. Raises NotFound, Conflict when it is not under review."""

        def dismiss(tx: Tx) -> None:
            order = _get(tx, order_id)
            if order.state != "review":
                raise Conflict("this payment is not under review", code="not_under_review")
            before = copy(order)
            order.review = {**(order.review or {}), "resolved": f"{actor}: {reason}"[:200]}
            order.state, order.review_at, order.next_check_at = "invalid", None, None
            orders.put(tx, order_id, order)
            _note(tx, actor, "dismiss", order_id, before, order, reason)

        self._storage.transact(dismiss)
        return self.payment(order_id)

    def _forgive(self, tx: Tx, order: Order, now: datetime) -> None:
        """What was owed for this order is no debt once it is given again."""
        account = accounts.get(tx, order.account)
        if account is not None and order.owed:
            forgiven = min(order.owed, account.owed)
            account.owed -= forgiven
            usage.forgiven(tx, now, forgiven)
            accounts.save(tx, order.account, account, self._policy.tiers, now)
        order.owed = 0

    def _key(self, order_id: str, order: Order) -> str:
        """The rail's own dedup key where there is one: what comes from there later then finds it taken."""
        rail = self._rails.get(order.rail)
        if rail is not None and order.invoice_id is not None:
            return rail.dedup_key(order.invoice_id)
        return f"order:{order_id}"

    def _order(self, order_id: str) -> Order:
        return self._storage.read(lambda tx: _get(tx, order_id))


def _get(tx: ReadTx, order_id: str) -> Order:
    order = orders.get(tx, order_id)
    if order is None:
        raise NotFound("there is no such payment")
    return order


def _note(tx: Tx, actor: str, verb: str, order_id: str, before: Order, after: Order, reason: str = "") -> None:
    """The line in the audit log: what the decision changed."""
    audit.record(tx, actor, f"payments.{verb}", order_id, before=_decided(before), after=_decided(after), reason=reason)


def _decided(order: Order) -> dict[str, Any]:
    return {
        "state": order.state,
        "fulfilled": order.fulfilled_at is not None,
        "reversed": order.reversed,
        "owed": order.owed,
    }


def _matches(order_id: str, order: Order, state: str | None, search: str | None) -> bool:
    if state is not None and order.state != state:
        return False
    needle = (search or "").lower()
    return not needle or any(
        needle in text.lower() for text in (order_id, order.account, order.invoice or "", order.email)
    )


def payment_view(order_id: str, order: Order) -> dict[str, Any]:
    """What the operator sees of an order: never the return page's secret."""
    return invoice_view(order_id, order) | {
        "credit_key": order.account,
        "title": order.title,
        "credits": order.credits,
        "tier": order.tier or None,
        "period_days": order.period_days or None,
        "code": order.code or None,
        "list_units": order.list_units,
        "email": order.email or None,
        "invoice_id": order.invoice_id,
        "word": order.word,
        "marked": order.marked,
        "paid_units": order.paid_units,
        "review": order.review,
        "reversed": order.reversed,
        "reversed_at": iso(order.reversed_at),
        "owed": order.owed,
        "ledger_entry": order.entry or None,
        "checks": order.checks,
        "answered_at": iso(order.answered_at),
        "next_check_at": iso(order.next_check_at),
        "monitored_until": iso(order.monitored_until),
    }
