"""Everything that has to do with money coming in, put together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from relay.domain.instants import iso, utcnow
from relay.domain.orders import Rules
from relay.domain.subscriptions import RenewalRules
from relay.errors import boundary
from relay.ports.rails import Rail
from relay.ports.storage import Storage, Tx
from relay.services.checkout import Checkout
from relay.services.checks import Checks
from relay.services.connect import Connecting
from relay.services.deliveries import Deliveries
from relay.services.desk import Desk
from relay.services.discounts import Discounts
from relay.services.events import Events
from relay.services.live import SettingsView
from relay.services.policy import Policy
from relay.services.reconcile import Reconciler
from relay.services.renewals import Renewals
from relay.services.renewing import Renewing
from relay.services.settle import Settlement

BATCH = 200


class Till:
    def __init__(
        self, storage: Storage, policy: Policy, settings: SettingsView, rails: Mapping[str, Rail], events: Events
    ) -> None:
        self._storage = storage
        self._settings = settings
        self.rails = rails
        self.events = events
        self.discounts = Discounts(storage, settings)
        self.settlement = Settlement(
            storage,
            policy,
            _rules(settings),
            settings.reconcile.window_hours,
            self.discounts,
            self.events,
        )
        self.checks = Checks(storage, rails, self.settlement, self.events.outage, self.events.rails_down())
        self.deliveries = Deliveries(storage, rails, self.checks)
        self.checkout = Checkout(storage, policy, settings, rails, self.discounts)
        self.desk = Desk(storage, policy, rails, self.checks, self.discounts, self.settlement)
        offer, public_url = _offer(settings), settings.relay.public_url
        self.renewing = Renewing(storage, rails, self.checks, self.settlement, events, offer, public_url)
        self.renewals = Renewals(storage, settings, rails, self.renewing, events, offer)
        self.settlement.paid = self.renewals.paid
        self.connecting = Connecting(storage, rails, public_url)
        interval = settings.reconcile.interval_seconds
        self.reconciler = Reconciler(storage, rails, self.checks, self.settlement, interval)

    def adopt(self) -> None:
        """The settings were saved: what was made of them at the start is made anew."""
        self.settlement.rules = _rules(self._settings)
        self.settlement.window_hours = self._settings.reconcile.window_hours
        self.renewing.rules = self.renewals.rules = _offer(self._settings)
        self.reconciler.interval = self._settings.reconcile.interval_seconds

    def start(self) -> None:
        self.reconciler.start()
        self.renewals.start()

    def stop(self) -> None:
        self.reconciler.stop()
        self.renewals.stop()
        self.checks.close()
        for name, rail in self.rails.items():
            with boundary(name):
                rail.close()

    def prune(self) -> None:
        """Drop deliveries past `inbox_days`. Orders stay: they are the books."""
        until = iso(utcnow() - timedelta(days=self._settings.retention.inbox_days))

        def some(tx: Tx) -> int:
            rows = tx.scan("inbox", "at", None, until, limit=BATCH)
            for key, _ in rows:
                tx.delete("inbox", key)
            return len(rows)

        while self._storage.transact(some):
            pass


def _rules(settings: SettingsView) -> Rules:
    given = settings.reconcile
    return Rules(given.on_amount_drift, given.grant_late, given.accept_marked)


def _offer(settings: SettingsView) -> RenewalRules:
    return RenewalRules(settings.renewals.days_before, settings.renewals.grace_days)
