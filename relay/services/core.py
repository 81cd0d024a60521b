"""The relay put together: one object that everything served is reached through."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import msgspec
import structlog

from relay.books.spaces import PluginSpace
from relay.config import Config
from relay.errors import RelayError, boundary
from relay.loader import Registry
from relay.ports.storage import COLLECTIONS, STREAMS, Storage
from relay.services.admin import Admin
from relay.services.credits import Credits
from relay.services.events import Events
from relay.services.hangups import Hangups
from relay.services.housekeeping import Chore, Housekeeping
from relay.services.idempotency import Idempotency
from relay.services.infer import Infer
from relay.services.jobs import Jobs
from relay.services.meter import Meter
from relay.services.metrics import Metrics
from relay.services.outbox import Outbox
from relay.services.policy import Policy
from relay.services.receipts import Receipts
from relay.services.testrun import TestRuns
from relay.services.till import Till
from relay.services.verify import adopt_outside_changes

log = structlog.get_logger("relay")


class Core:
    """Opens the storage, so making one takes the data dir. `close()` leaves it at rest."""

    def __init__(self, config: Config, registry: Registry, data_dir: Path) -> None:
        settings = config.settings
        self.config = config
        self.settings = settings
        self.registry = registry
        self.data_dir = data_dir
        self.spool_dir = data_dir / "spool"
        self.started = time.monotonic()
        self.draining = threading.Event()
        self.tested = threading.Event()
        self.policy = Policy.of(settings)
        self.metrics = Metrics()
        self.storage: Storage = registry.storage
        self.storage.open(data_dir, COLLECTIONS, STREAMS)
        for name, attach in registry.attach.items():
            attach(PluginSpace(self.storage, name))
        self.outbox = Outbox(self.storage)
        self.events = Events(self.storage, self.outbox, settings.events)
        self.meter = Meter(self.storage, self.policy, metrics=self.metrics, events=self.events)
        inference = settings.relay.threads - settings.relay.reserve_threads
        self.infer = Infer(self.meter, registry.backends, registry.routes, inference, self.metrics)
        self.test_runs = TestRuns(
            registry.backends, self.infer.slots, self.spool_dir, float(settings.relay.call_seconds)
        )
        self.hangups = Hangups()
        self.idempotency = Idempotency(self.storage, settings.retention.idempotency_mb * 2**20)
        self.receipts = Receipts(self.storage)
        self.jobs = Jobs(self.storage, self.meter, self.infer, self.outbox, self.receipts, settings, data_dir)
        self.till = Till(self.storage, self.policy, settings, registry.rails, self.events)
        self.credits = Credits(self.storage, self.policy)
        self.admin = Admin(self.storage, settings.relay.admin_password)
        self.housekeeping = Housekeeping(
            self.storage,
            self.meter,
            self.policy,
            settings.retention,
            self.idempotency,
            chores=[
                Chore("job-holds", self.jobs.sweep),
                Chore("job-results", self.jobs.prune, every=240),
                Chore("codes", self.till.discounts.sweep),
                Chore("inbox", self.till.prune, every=240),
            ],
        )

    def start(self) -> None:
        """What `serve` does before its port opens: give back what a dead process held, adopt edits by hand."""
        adopt_outside_changes(self.storage, self.policy)
        swept = self.meter.sweep(lambda owner: owner != self.meter.owner and not owner.startswith("job:"))
        if swept:
            log.warning("holds_given_back", jobs=swept, note="the process that held them is gone")
        self.idempotency.sweep()
        self.jobs.start()
        self.outbox.start()
        self.till.start()
        self._reindex_if_tiers_changed()
        self.housekeeping.start()

    def _reindex_if_tiers_changed(self) -> None:
        """Sorted columns depend on the tiers; a change of them recomputes every row, in the background."""
        now = hashlib.sha256(msgspec.json.encode(self.policy.tiers, order="sorted")).hexdigest()
        before = self.storage.read(lambda tx: tx.get("settings", "tiers"))
        if before == {"sha256": now}:
            return

        def reindex() -> None:
            try:
                self.housekeeping.reindex()
                self.storage.transact(lambda tx: tx.put("settings", "tiers", {"sha256": now}))
            except RelayError as exc:
                log.warning("reindex_stopped", error=exc.message, note="the next start begins it again")

        if before is None:
            self.storage.transact(lambda tx: tx.put("settings", "tiers", {"sha256": now}))
        else:
            self.storage.transact(lambda tx: tx.put("settings", "tiers", {"sha256": "being recomputed"}))
            threading.Thread(target=reindex, name="reindex", daemon=True).start()

    def close(self) -> None:
        self.jobs.stop()
        self.till.stop()
        self.outbox.stop()
        self.housekeeping.stop()
        self.hangups.stop()
        try:
            for name, backend in self.registry.backends.items():
                with boundary(name):
                    backend.close()
        finally:
            self.storage.close()
