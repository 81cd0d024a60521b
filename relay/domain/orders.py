"""An order: what somebody wants to buy, and what became of it.

What the rail says, where the order stands, and whether it was fulfilled are separate facts. `decide` is the only
place where the first becomes the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from relay.domain.money import Money

Kind = Literal["package", "tier", "renewal"]
State = Literal["pending", "processing", "settled", "expired", "invalid", "review"]
STATES: tuple[State, ...] = ("pending", "processing", "settled", "expired", "invalid", "review")


class Order(Struct, omit_defaults=True, gc=False):
    """Saved before the rail hears of it, under its random id.

    `product`: a package's id or a tier's name. `credits`, `tier`, `period_days`: what it buys, as quoted. `units`,
    `currency`: what it costs; `list_units`: before a discount by `code`. `invoice`: rail, space, the rail's id, for
    the index. `word`: the rail's own status. `fulfilled_at`: granted, by ledger entry `entry`. `reversed`: credits
    taken back. `by_hand`: credited by a person for a payment that the rail does not know of. `review`: why a person
    must look (`reason` and what helps to decide). `next_check_at`: when it is asked about next, None once it has
    left the sweep. `pay`: hash of the return page's token.
    """

    account: str
    kind: Kind
    product: str
    title: str
    units: int
    currency: str
    rail: str
    created_at: datetime
    account_at: str
    state: State = "pending"
    credits: int = 0
    tier: str = ""
    period_days: int = 0
    list_units: int = 0
    code: str = ""
    email: str = ""
    redirect_url: str = ""
    pay: str = ""
    invoice: str | None = None
    checkout_url: str = ""
    expires_at: datetime | None = None
    monitored_until: datetime | None = None
    word: str = ""
    paid_units: int | None = None
    marked: bool = False
    store: str = ""
    contact: str = ""
    fulfilled_at: datetime | None = None
    entry: int = 0
    reversed_at: datetime | None = None
    reversed: int = 0
    owed: int = 0
    by_hand: bool = False
    review: dict[str, Any] | None = None
    review_at: datetime | None = None
    next_check_at: datetime | None = None
    checks: int = 0
    answered_at: datetime | None = None

    @property
    def price(self) -> Money:
        return Money(self.units, self.currency)

    @property
    def invoice_id(self) -> str | None:
        return None if self.invoice is None else self.invoice.partition(" ")[2]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a rail's snapshot says of an order, in the words of the domain."""

    status: str
    word: str
    invoice_id: str
    order_id: str | None
    store: str
    amount: Money | None
    paid: Money | None
    marked: bool
    refunded: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """The operator's `[reconcile]`."""

    on_amount_drift: str = "review"
    grant_late: bool = False
    accept_marked: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """`state`: where the order stands now. `act`: what is done about credit. `reason`: why a person must look.
    `alert`: what the operator is told once."""

    state: State
    act: Literal["nothing", "grant", "reverse"] = "nothing"
    reason: str = ""
    alert: str = ""


FOR_REVIEW = {"late": "paid_late", "underpaid": "underpaid"}
PLAIN: dict[str, State] = {
    "pending": "pending",
    "processing": "processing",
    "expired": "expired",
    "invalid": "invalid",
}


def decide(order: Order, order_id: str, seen: Seen, rules: Rules) -> Decision:
    """The one transition table. Only `settled` of the very invoice, store, amount and currency grants."""
    if stranger := mismatch(order, order_id, seen):
        return Decision(order.state if order.fulfilled_at else "review", reason=stranger)
    if order.fulfilled_at is not None:
        return _after(order, seen)
    if seen.status == "settled" or (seen.status == "late" and rules.grant_late):
        return _settled(order, seen, rules)
    if seen.status in FOR_REVIEW:
        return Decision("review", reason=FOR_REVIEW[seen.status])
    if seen.status in PLAIN:
        return Decision(PLAIN[seen.status])
    return Decision(order.state, alert=f"{order.rail} says {seen.word!r}, which is not known here")


def _settled(order: Order, seen: Seen, rules: Rules) -> Decision:
    if seen.amount is None:
        return Decision("review", reason="amount_unknown")
    drifted = seen.amount != order.price
    if drifted and (rules.on_amount_drift != "grant" or seen.amount.currency != order.currency):
        return Decision("review", reason="amount_drift")
    if seen.marked and not rules.accept_marked:
        return Decision("review", reason="marked_by_a_person")
    drift = "" if seen.amount == order.price else f"{seen.amount} was asked instead of {order.price}"
    return Decision("settled", "grant", alert=drift)


def _after(order: Order, seen: Seen) -> Decision:
    """What was granted stays, unless the rail takes the payment back."""
    if order.reversed_at is None and not order.by_hand and (seen.status == "invalid" or seen.refunded):
        return Decision("review", "reverse", reason="refunded" if seen.refunded else "reversed")
    return Decision(order.state)


def mismatch(order: Order, order_id: str, seen: Seen) -> str:
    """Why the invoice is not this order's; "" when it is."""
    if order.invoice_id is not None and seen.invoice_id != order.invoice_id:
        return "another_invoice"
    if seen.order_id is not None and seen.order_id != order_id:
        return "another_order"
    if order.store and seen.store and seen.store != order.store:
        return "another_store"
    return ""
