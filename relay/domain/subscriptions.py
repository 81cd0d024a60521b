"""A subscription: a tier that is paid again before its end. What is done about it, and when.

The account says what is paid for: its tier and the end of it. The subscription only sees to it that the next period is
paid. Its grace is about paying: a tier ends at its end, and a payment within the grace gives it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from relay.domain.orders import State as OrderState

SubscriptionState = Literal["active", "past_due", "cancelled", "lapsed"]
RUNNING: frozenset[SubscriptionState] = frozenset({"active", "past_due"})

BACK_OFF = tuple(timedelta(minutes=minutes) for minutes in (5, 30, 120, 360, 720))
"""After each failed charge; after one more no card is charged for this period."""
HOUR = timedelta(hours=1)
LOOK_AGAIN = timedelta(hours=6)


class Subscription(Struct, omit_defaults=True, gc=False):
    """One account's, under the account's key. Instants are whole seconds in UTC.

    `through`: the end of what is paid, which the next renewal extends; `order`: our id of that renewal's order, made
    once. `units`, `currency`: what it costs, fixed with the order. `contact`, `card_order`: where the rail keeps the
    buyer's card, and the order it was kept with; "" for none. `attempts`: charges that were tried for this period.
    `offered`: the buyer's link was told. `next_at`: when it is looked at next, None for never.
    """

    tier: str
    rail: str
    period_days: int
    through: datetime
    state: SubscriptionState = "active"
    units: int = 0
    currency: str = ""
    email: str = ""
    contact: str = ""
    card_order: str = ""
    order: str = ""
    attempts: int = 0
    offered: bool = False
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RenewalRules:
    """`days_before` the end the next period is asked for; `grace_days` after it the subscription lapses."""

    days_before: int = 3
    grace_days: int = 7

    def opens(self, through: datetime) -> datetime:
        return through - timedelta(days=self.days_before)

    def closes(self, through: datetime) -> datetime:
        return through + timedelta(days=self.grace_days)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the books say now. `tier`, `end`: what the account runs. `order`: where the renewal's order stands, None
    without one; `sold`: the rail has it. A `blocked` account is sold nothing."""

    tier: str
    end: datetime | None
    order: OrderState | None = None
    sold: bool = False
    blocked: bool = False


Act = Literal["sleep", "stop", "lapse", "order", "sell", "pay"]


@dataclass(frozen=True, slots=True)
class Step:
    """`order`: make a renewal order. `sell`: bring it to the rail. `pay`: charge the card, else offer the link.
    `stop`: there is nothing to renew any more. `at`: when to look again, None for never."""

    act: Act
    at: datetime | None = None


def moved(sub: Subscription, facts: Facts) -> bool:
    """Whether the tier's end has moved: this period was paid, or somebody changed it."""
    return facts.tier == sub.tier and facts.end is not None and facts.end != sub.through


def start_period(sub: Subscription, end: datetime, rules: RenewalRules) -> None:
    """All of the last period's renewal is over; the next begins some days before `end`."""
    sub.through = end
    sub.order, sub.units, sub.currency, sub.attempts, sub.offered = "", 0, "", 0, False
    if sub.state in RUNNING:
        sub.state, sub.next_at = "active", rules.opens(end)


def next_step(sub: Subscription, facts: Facts, now: datetime, rules: RenewalRules) -> Step:
    """What to do now. Expects that `start_period` was done when the end had `moved`."""
    if sub.state not in RUNNING:
        return Step("sleep")
    if not _renewable(sub, facts, now):
        return Step("stop")
    if now < rules.opens(sub.through):
        return Step("sleep", rules.opens(sub.through))
    if facts.order == "processing":
        return Step("sleep", now + HOUR)
    if now >= rules.closes(sub.through):
        return Step("lapse")
    act: Act = "sleep"
    if not facts.blocked and facts.order in {None, "expired", "invalid"}:
        act = "order"
    elif not facts.blocked and facts.order == "pending":
        act = "pay" if facts.sold else "sell"
    return Step(act, wake(sub, now + LOOK_AGAIN, now, rules))


def _renewable(sub: Subscription, facts: Facts, now: datetime) -> bool:
    """Not when another tier runs, when this one has no end any more, or when it was taken away before its end."""
    if facts.tier == sub.tier:
        return facts.end is not None
    return facts.tier == "core" and now >= sub.through


def may_charge(sub: Subscription) -> bool:
    return sub.state in RUNNING and bool(sub.card_order) and sub.attempts <= len(BACK_OFF)


def charging(sub: Subscription, now: datetime, rules: RenewalRules) -> None:
    """Booked before a charge, so that a crash within it cannot make the next one come at once."""
    sub.attempts += 1
    more = sub.attempts <= len(BACK_OFF)
    later = now + BACK_OFF[sub.attempts - 1] if more else rules.closes(sub.through)
    sub.next_at = wake(sub, later, now, rules)


def not_charged(sub: Subscription, at: datetime) -> None:
    """The charge never reached the rail: it does not count."""
    sub.attempts = max(0, sub.attempts - 1)
    sub.next_at = at


def wake(sub: Subscription, at: datetime, now: datetime, rules: RenewalRules) -> datetime:
    """`at`, but no later than the moment the tier ends and the one the grace does."""
    ends = [end for end in (sub.through, rules.closes(sub.through)) if end > now]
    return min([at, *ends])
