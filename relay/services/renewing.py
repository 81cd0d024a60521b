"""A renewal at the rail: its order is sold, its card charged or its link offered. Deciding is in `renewals.py`.

What is about to happen is written down before the rail hears of it, and only the settlement says that it was paid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from relay.books import orders, subscriptions
from relay.crash import crash_point
from relay.domain import subscriptions as rule
from relay.domain.instants import iso, utcnow, whole
from relay.domain.money import Money
from relay.domain.orders import Order
from relay.domain.subscriptions import HOUR, LOOK_AGAIN, RUNNING, RenewalRules, Subscription
from relay.errors import RailFailed, RailOutcomeUnknown, RailUnavailable, boundary
from relay.ports.rails import Purchase, Rail, SavedCards
from relay.ports.storage import Storage, Tx
from relay.services.checks import Checks
from relay.services.events import Events
from relay.services.settle import Settlement, note

log = structlog.get_logger("relay.money")

SOON = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done: `sell` or `pay`. `token`: for the return page of an order that is to be sold."""

    act: str
    account: str
    sub: Subscription
    order_id: str
    order: Order
    token: str
    fresh: bool


class Renewing:
    def __init__(
        self,
        storage: Storage,
        rails: Mapping[str, Rail],
        checks: Checks,
        settlement: Settlement,
        events: Events,
        rules: RenewalRules,
        public_url: str,
        clock: Callable[[], datetime] = utcnow,
    ) -> None:
        self._storage = storage
        self._rails = rails
        self._checks = checks
        self._settlement = settlement
        self._events = events
        self.rules = rules
        self._public_url = public_url.rstrip("/")
        self._clock = clock

    def do(self, work: Work) -> bool:
        """Whether there is more to do at once. Raises RelayError; the lease runs out and it is done again."""
        return self._sell(work) if work.act == "sell" else self._pay(work)

    def _sell(self, work: Work) -> bool:
        """Bring the order to the rail, under the same id however often it takes."""
        rail = self._rails.get(work.sub.rail)
        if rail is None or rail.off() is not None:
            return self._later(work.account, HOUR)
        try:
            with boundary(rail.name, RailOutcomeUnknown):
                snapshot = None if work.fresh else rail.find(work.order_id)
                snapshot = snapshot or rail.create_checkout(self._purchase(work))
        except RailUnavailable as exc:
            return self._later(work.account, max(SOON, timedelta(seconds=exc.retry_after or 0)))
        except RailFailed:
            return self._later(work.account, LOOK_AGAIN)
        except RailOutcomeUnknown:
            return self._later(work.account, SOON)
        crash_point("renewals.sold")

        def sold(tx: Tx) -> None:
            order = orders.get(tx, work.order_id)
            if order is not None and order.invoice is None:
                note(order, rail, snapshot)
                orders.put(tx, work.order_id, order)
            self._at(tx, work.account, self._clock())

        self._storage.transact(sold)
        return True

    def _purchase(self, work: Work) -> Purchase:
        """To be paid as long as the grace lasts: one order per period."""
        url = f"{self._public_url}/pay/{work.token}"
        open_for = self.rules.closes(work.sub.through) - self._clock()
        minutes = max(30, int(open_for.total_seconds()) // 60)
        price = Money(work.order.units, work.order.currency)
        return Purchase(work.order_id, price, work.order.title, url, minutes, work.order.email or None)

    def _pay(self, work: Work) -> bool:
        """Look at the order; charge the card where there is one, else offer the link."""
        try:
            seen = self._checks.now(work.order_id)
            if seen.fulfilled or seen.state != "pending":
                return self._later(work.account, timedelta(0))
            card = self._card(work)
        except RailUnavailable as exc:
            return self._later(work.account, max(SOON, timedelta(seconds=exc.retry_after or 0)))
        if card is None:
            return self._offer(work, LOOK_AGAIN)
        if not self._storage.transact(lambda tx: self._claim(tx, work)):
            return False
        crash_point("renewals.claimed")
        self._charge(work, card)
        return False

    def _card(self, work: Work) -> str | None:
        rail = self._rails[work.sub.rail]
        if not rule.may_charge(work.sub) or not isinstance(rail, SavedCards):
            return None
        with boundary(rail.name, RailUnavailable):
            return rail.saved_card(work.sub.contact, work.sub.card_order)

    def _claim(self, tx: Tx, work: Work) -> bool:
        """False when the subscription has changed since it was looked at: cancelled, its card forgotten, or paid."""
        sub = subscriptions.get(tx, work.account)
        if sub is None or sub.order != work.order_id or not rule.may_charge(sub):
            return False
        rule.charging(sub, self._clock(), self.rules)
        subscriptions.put(tx, work.account, sub)
        return True

    def _charge(self, work: Work, card: str) -> None:
        rail = self._rails[work.sub.rail]
        assert isinstance(rail, SavedCards)
        try:
            with boundary(rail.name, RailOutcomeUnknown):
                snapshot = rail.charge(work.order.invoice_id or "", card)
        except RailUnavailable as exc:
            self._not_charged(work.account, max(SOON, timedelta(seconds=exc.retry_after or 0)))
        except RailOutcomeUnknown:
            log.warning("renewal_charge_unknown", account=work.account, order=work.order_id)
        except RailFailed as exc:
            log.info("renewal_charge_failed", account=work.account, order=work.order_id, code=exc.code)
            self._declined(work, gone=exc.code == "card_gone")
        else:
            settled = self._settlement.apply(work.order_id, rail, snapshot)
            if settled.fulfilled:
                self._later(work.account, timedelta(0))

    def _declined(self, work: Work, *, gone: bool) -> None:
        def declined(tx: Tx) -> None:
            sub = subscriptions.get(tx, work.account)
            if sub is None or sub.order != work.order_id or sub.state not in RUNNING:
                return
            sub.state = "past_due"
            if gone:
                sub.contact = sub.card_order = ""
            self._tell(tx, work, sub)
            subscriptions.put(tx, work.account, sub)

        self._storage.transact(declined)
        self._events.nudge()

    def _offer(self, work: Work, pause: timedelta) -> bool:
        def offer(tx: Tx) -> None:
            sub = subscriptions.get(tx, work.account)
            if sub is None or sub.order != work.order_id or sub.state not in RUNNING:
                return
            self._tell(tx, work, sub)
            now = self._clock()
            sub.next_at = rule.wake(sub, now + pause, now, self.rules)
            subscriptions.put(tx, work.account, sub)

        self._storage.transact(offer)
        self._events.nudge()
        return False

    def _tell(self, tx: Tx, work: Work, sub: Subscription) -> None:
        """The link to pay with, once per order."""
        order = orders.get(tx, work.order_id)
        if sub.offered or order is None:
            return
        sub.offered = True
        data = {
            "account": work.account,
            "order": work.order_id,
            "tier": sub.tier,
            "amount": order.price.amount,
            "currency": order.currency,
            "due": iso(sub.through),
            "until": iso(self.rules.closes(sub.through)),
            "checkout_url": order.checkout_url,
        }
        self._events.emit(tx, "subscription.renewal_due", data, work.order_id)

    def _not_charged(self, account: str, pause: timedelta) -> None:
        def undo(tx: Tx) -> None:
            sub = subscriptions.get(tx, account)
            if sub is not None and sub.state in RUNNING:
                rule.not_charged(sub, self._clock() + pause)
                subscriptions.put(tx, account, sub)

        self._storage.transact(undo)

    def _later(self, account: str, pause: timedelta) -> bool:
        self._storage.transact(lambda tx: self._at(tx, account, self._clock() + pause))
        return False

    def _at(self, tx: Tx, account: str, at: datetime) -> None:
        sub = subscriptions.get(tx, account)
        if sub is not None and sub.state in RUNNING:
            sub.next_at = whole(rule.wake(sub, at, self._clock(), self.rules))
            subscriptions.put(tx, account, sub)
