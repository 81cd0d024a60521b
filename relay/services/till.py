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
from relay.services.policy import Policy
from relay.services.reconcile import Reconciler
from relay.services.renewals import Renewals
from relay.services.renewing import Renewing
from relay.services.settle import Settlement
from relay.settings import Settings

BATCH = 200


class Till:
    def __init__(
        self, storage: Storage, policy: Policy, settings: Settings, rails: Mapping[str, Rail], events: Events
    ) -> None:
        rules = settings.reconcile
        self._storage = storage
        self._inbox_days = settings.retention.inbox_days
        self.rails = rails
        self.events = events
        self.discounts = Discounts(storage, settings)
        self.settlement = Settlement(
            storage,
            policy,
            Rules(rules.on_amount_drift, rules.grant_late, rules.accept_marked),
            rules.window_hours,
            self.discounts,
            self.events,
        )
        self.checks = Checks(storage, rails, self.settlement, self.events.outage, self.events.rails_down())
        self.deliveries = Deliveries(storage, rails, self.checks)
        self.checkout = Checkout(storage, policy, settings, rails, self.discounts)
        self.desk = Desk(storage, policy, rails, self.checks, self.discounts, self.settlement)
        offer = RenewalRules(settings.renewals.days_before, settings.renewals.grace_days)
        renewing = Renewing(storage, rails, self.checks, self.settlement, events, offer, settings.relay.public_url)
        self.renewals = Renewals(storage, settings, rails, renewing, events, offer)
        self.settlement.paid = self.renewals.paid
        self.connecting = Connecting(storage, rails, settings.relay.public_url)
        self.reconciler = Reconciler(storage, rails, self.checks, self.settlement, rules.interval_seconds)

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
        until = iso(utcnow() - timedelta(days=self._inbox_days))

        def some(tx: Tx) -> int:
            rows = tx.scan("inbox", "at", None, until, limit=BATCH)
            for key, _ in rows:
                tx.delete("inbox", key)
            return len(rows)

        while self._storage.transact(some):
            pass
