"""Renewals: a tier sold for a period is asked for again before its end, once per period, by card where one was kept.

Every step is written down before the network hears of it, so that a crash, a restart or days of silence lead to one and
the same order. Whether anything was paid is decided by the settlement alone.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

from relay.books import accounts, orders, subscriptions
from relay.crash import crash_point
from relay.domain import subscriptions as rule
from relay.domain import tiers
from relay.domain.instants import iso, utcnow
from relay.domain.jobs import account_at
from relay.domain.money import money
from relay.domain.orders import Order
from relay.domain.subscriptions import LOOK_AGAIN, RUNNING, Facts, RenewalRules, Subscription
from relay.domain.sweep import first_check
from relay.errors import NotFound, RelayError
from relay.ports.rails import Rail, SavedCards
from relay.ports.storage import ReadTx, Storage, Tx
from relay.services.events import Events
from relay.services.live import SettingsView
from relay.services.renewing import Renewing, Work

log = structlog.get_logger("relay.money")

PER_TICK = 100
TICK_SECONDS = 60.0
LEASE = timedelta(minutes=10)
"""While somebody works on a subscription, nobody else begins to."""
STEPS = 3
"""Of one subscription in a row: an order is made, sold and paid in one go."""


class Renewals:
    def __init__(
        self,
        storage: Storage,
        settings: SettingsView,
        rails: Mapping[str, Rail],
        renewing: Renewing,
        events: Events,
        rules: RenewalRules,
        clock: Callable[[], datetime] = utcnow,
    ) -> None:
        self._storage = storage
        self._settings = settings
        self._rails = rails
        self._renewing = renewing
        self._events = events
        self.rules = rules
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renewals", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def paid(self, tx: Tx, order_id: str, order: Order) -> None:
        """A tier was bought or renewed: begin or go on with its subscription, within the settlement's transaction.

        Who cancelled and then pays the renewal gets the period and stays cancelled; buying the tier anew begins anew.
        """
        account = accounts.get(tx, order.account)
        end = account.subscription_expires_at if account else None
        sub = subscriptions.get(tx, order.account)
        if order.kind == "package" or end is None or (order.kind == "renewal" and sub is None):
            return
        if order.kind == "tier" or sub is None:
            kept = sub if sub is not None and sub.tier == order.tier else None
            sub = Subscription(order.tier, order.rail, order.period_days, end, email=order.email)
            if order.contact and isinstance(self._rails.get(order.rail), SavedCards):
                sub.contact, sub.card_order = order.contact, order_id
            elif kept is not None and kept.rail == order.rail and kept.state in RUNNING:
                sub.contact, sub.card_order, sub.email = kept.contact, kept.card_order, sub.email or kept.email
        elif sub.state == "lapsed":
            sub.state = "active"
        rule.start_period(sub, end, self.rules)
        subscriptions.put(tx, order.account, sub)

    def cancel(self, account: str) -> dict[str, Any]:
        """No more renewals; the tier stays to its end. Raises NotFound."""

        def cancel(tx: Tx) -> Subscription:
            sub = _known(tx, account)
            if sub.state in RUNNING:
                sub.state, sub.next_at = "cancelled", None
                subscriptions.put(tx, account, sub)
            return sub

        return view(self._storage.transact(cancel))

    def forget_card(self, account: str) -> dict[str, Any]:
        """The card is charged no more; the next period is paid with a link. Raises NotFound."""

        def forget(tx: Tx) -> Subscription:
            sub = _known(tx, account)
            sub.contact = sub.card_order = ""
            subscriptions.put(tx, account, sub)
            return sub

        return view(self._storage.transact(forget))

    def of(self, account: str) -> dict[str, Any]:
        """Raises NotFound."""
        return view(self._storage.read(lambda tx: _known(tx, account)))

    def tick(self) -> int:
        """Do what is due, the oldest first, at most PER_TICK subscriptions; returns how many were looked at."""
        due = self._storage.read(lambda tx: subscriptions.due(tx, self._clock(), PER_TICK))
        for account in due:
            if self._stop.is_set():
                break
            try:
                self._work(account)
            except RelayError as exc:
                log.warning("renewal_waits", account=account, error=exc.message)
        return len(due)

    def _run(self) -> None:
        while not self._stop.wait(TICK_SECONDS):
            try:
                self.tick()
            except Exception:
                log.exception("renewals_failed", note="the next tick tries again")

    def _work(self, account: str) -> None:
        for _ in range(STEPS):
            work = self._storage.transact(lambda tx: self._plan(tx, account))
            crash_point("renewals.planned")
            if work is None or not self._renewing.do(work):
                return

    # Deciding: one transaction, no network.

    def _plan(self, tx: Tx, account: str) -> Work | None:
        """Book what needs no rail; what does is leased and returned."""
        sub, now = subscriptions.get(tx, account), self._clock()
        if sub is None or sub.next_at is None or sub.next_at > now:
            return None
        facts = self._facts(tx, account, sub, now)
        if rule.moved(sub, facts) and facts.end is not None:
            rule.start_period(sub, facts.end, self.rules)
        elif now >= sub.through and sub.state == "active":
            sub.state = "past_due"
        step = rule.next_step(sub, facts, now, self.rules)
        sub.next_at = step.at
        work = None
        if step.act == "stop":
            sub.state = "cancelled"
        elif step.act == "lapse":
            sub.state = "lapsed"
            data = {"account": account, "tier": sub.tier, "ended": iso(sub.through)}
            self._events.emit(tx, "subscription.lapsed", data, account)
        elif step.act != "sleep":
            work = self._lease(tx, account, sub, step.act, now)
        subscriptions.put(tx, account, sub)
        return work

    def _facts(self, tx: ReadTx, account: str, sub: Subscription, now: datetime) -> Facts:
        row = accounts.get(tx, account)
        running = row is not None and not tiers.lapsed(row, now)
        tier, end = (row.tier_snapshot, row.subscription_expires_at) if row is not None and running else ("core", None)
        order = orders.get(tx, sub.order) if sub.order else None
        blocked = row is not None and row.blocked
        if order is None:
            return Facts(tier, end, blocked=blocked)
        return Facts(tier, end, order.state, order.invoice is not None, blocked)

    def _lease(self, tx: Tx, account: str, sub: Subscription, act: str, now: datetime) -> Work | None:
        sub.next_at = now + LEASE
        if act == "order":
            sub.order, sub.offered = f"ord_{secrets.token_hex(16)}", False
            order = self._order(account, sub, now)
            if order is None:
                sub.order, sub.next_at = "", rule.wake(sub, now + LOOK_AGAIN, now, self.rules)
                return None
        else:
            found = orders.get(tx, sub.order)
            assert found is not None
            order = found
        token = secrets.token_urlsafe(16)
        if act != "pay":
            order.pay = orders.token_key(token)
            orders.put(tx, sub.order, order)
        return Work("pay" if act == "pay" else "sell", account, sub, sub.order, order, token, act == "order")

    def _order(self, account: str, sub: Subscription, now: datetime) -> Order | None:
        """The price of the day the first order of the period is made counts for all of it."""
        if not sub.currency:
            tier = self._settings.tiers.get(sub.tier)
            if tier is None or tier.price is None:
                log.warning("renewal_not_on_sale", account=account, tier=sub.tier, note="give the tier a price again")
                return None
            price = money(tier.price, tier.currency)
            sub.units, sub.currency, sub.period_days = price.units, price.currency, tier.period_days
        title = f"tier {sub.tier}, {sub.period_days} more days"
        order = Order(account, "renewal", sub.tier, title, sub.units, sub.currency, sub.rail, now, "")
        order.account_at = f"{account_at(account, now)} {sub.order}"
        order.tier, order.period_days, order.email, order.list_units = sub.tier, sub.period_days, sub.email, sub.units
        order.next_check_at = first_check(now, self._settings.reconcile.initial_delay_seconds)
        return order


def _known(tx: ReadTx, account: str) -> Subscription:
    sub = subscriptions.get(tx, account)
    if sub is None:
        raise NotFound("this account has no subscription")
    return sub


def view(sub: Subscription) -> dict[str, Any]:
    """What its owner may see; never where the card is kept."""
    return {
        "tier": sub.tier,
        "rail": sub.rail,
        "state": sub.state,
        "paid_until": iso(sub.through),
        "card": bool(sub.card_order),
        "renewal_order": sub.order or None,
        "attempts": sub.attempts,
    }
