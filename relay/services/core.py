"""The relay put together: one object that everything served is reached through."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import structlog

from relay.books.spaces import PluginSpace
from relay.config import Config
from relay.domain.tiers import DERIVED
from relay.errors import RelayError, boundary
from relay.loader import Registry, reroute
from relay.ports.storage import COLLECTIONS, STREAMS, Storage
from relay.services.account_admin import AccountAdmin
from relay.services.admin import Admin
from relay.services.audit import AuditLog
from relay.services.books_check import BooksCheck
from relay.services.credits import Credits
from relay.services.effective import Layers
from relay.services.erasing import Erasing
from relay.services.events import Events
from relay.services.hangups import Hangups
from relay.services.housekeeping import Chore, Housekeeping
from relay.services.idempotency import Idempotency
from relay.services.infer import Infer
from relay.services.jobs import Jobs
from relay.services.meetings.service import Meetings
from relay.services.meter import Meter
from relay.services.metrics import Metrics
from relay.services.outbox import Outbox
from relay.services.outputs import Outputs
from relay.services.policy import Policy
from relay.services.receipts import Receipts
from relay.services.settings_book import SettingsBook
from relay.services.tally import Tally
from relay.services.testrun import TestRuns
from relay.services.till import Till
from relay.services.verify import adopt_outside_changes
from relay.services.wipe import Wipe

log = structlog.get_logger("relay")


class Core:
    """Opens the storage, so making one takes the data dir. `close()` leaves it at rest."""

    def __init__(self, config: Config, registry: Registry, data_dir: Path) -> None:
        self.config = config
        self.data_dir = data_dir
        self.spool_dir = data_dir / "spool"
        self.started = time.monotonic()
        self.draining = threading.Event()
        self.tested = threading.Event()
        self.metrics = Metrics()
        self.storage: Storage = registry.storage
        self.storage.open(data_dir, COLLECTIONS, STREAMS)
        self.settings_book = SettingsBook(self.storage, Layers(config, registry.backends))
        self.settings_book.changed = self._adopt
        settings = self.settings = self.settings_book.live
        self.registry = registry = reroute(registry, self.settings_book.routes())
        self.outside: dict[str, tuple[Any, str]] = {}
        """What a flag or the environment said instead of the settings, and which of the two, by dotted key."""
        self.policy = Policy.of(settings)
        self._reindexing = threading.Lock()
        for name, attach in registry.attach.items():
            attach(PluginSpace(self.storage, name))
        self.outbox = Outbox(self.storage)
        self.events = Events(self.storage, self.outbox, settings.events)
        self.meter = Meter(self.storage, self.policy, metrics=self.metrics, events=self.events)
        inference = settings.relay.threads - settings.relay.reserve_threads
        self.outputs = Outputs(self.storage, settings)
        self.infer = Infer(self.meter, registry.backends, registry.routes, inference, self.metrics, self.outputs)
        self.meetings = Meetings(
            self.storage,
            self.infer,
            data_dir,
            settings.relay.max_upload_mb * 2**20,
            settings,
        )
        self.test_runs = TestRuns(
            registry.backends, self.infer.slots, self.spool_dir, float(settings.relay.call_seconds)
        )
        self.hangups = Hangups()
        self.idempotency = Idempotency(self.storage, settings.retention.idempotency_mb * 2**20)
        self.receipts = Receipts(self.storage)
        self.jobs = Jobs(self.storage, self.meter, self.infer, self.outbox, self.receipts, settings, data_dir)
        self.till = Till(self.storage, self.policy, settings, registry.rails, self.events)
        self.credits = Credits(self.storage, self.policy)
        self.account_admin = AccountAdmin(self.storage, self.policy)
        self.erasing = Erasing(self.storage, self.policy, registry.auth, running=self.infer.running.all)
        self.wipe = Wipe(self.storage, self.policy, registry.auth, self.jobs, running=self.infer.running.all)
        self.books_check = BooksCheck(self.storage)
        self.tally = Tally(self.storage, lambda: sum(slots.waiting for slots in self.infer.slots.values()))
        self.admin = Admin(self.storage, settings.relay.admin_password)
        self.audit = AuditLog(self.storage, settings)
        self.housekeeping = Housekeeping(
            self.storage,
            self.meter,
            self.policy,
            settings.retention,
            self.idempotency,
            chores=self._chores(),
        )

    def _chores(self) -> list[Chore]:
        """What housekeeping does for the other services, in its order."""
        return [
            Chore("job-holds", self.jobs.sweep),
            Chore("job-results", self.jobs.prune, every=240),
            Chore("codes", self.till.discounts.sweep),
            Chore("books", self.books_check.round),
            Chore("settings", self.settings_book.refresh),
            Chore("inbox", self.till.prune, every=240),
            Chore("usage", self.tally.round),
            Chore("outputs", self.outputs.prune, every=4),
            Chore("last-uses", self.admin.write_uses, every=4),
            Chore("audit", self.audit.prune, every=240),
        ]

    def start(self) -> None:
        """What `serve` does before its port opens: give back what a dead process held, adopt edits by hand."""
        adopt_outside_changes(self.storage, self.policy)
        swept = self.meter.sweep(lambda owner: owner != self.meter.owner and not owner.startswith("job:"))
        if swept:
            log.warning("holds_given_back", jobs=swept, note="the process that held them is gone")
        self.idempotency.sweep()
        self.jobs.start()
        self.meetings.start()
        self.outbox.start()
        self.till.start()
        self._reindex_if_tiers_changed()
        self.housekeeping.start()

    def _adopt(self) -> None:
        """Settings were saved: what was made of them at the start is made anew. The rest reads them at each use."""
        self.events.settings = self.settings.events
        self.idempotency.max_bytes = self.settings.retention.idempotency_mb * 2**20
        self.housekeeping.retention = self.settings.retention
        self.till.adopt()
        self._reindex_if_tiers_changed()

    def _reindex_if_tiers_changed(self) -> None:
        """Sorted columns depend on the tiers; a change of them recomputes every row, in the background."""
        now = self._tiers_hash()
        before = self.storage.read(lambda tx: tx.get("settings", "tiers"))
        if before is None:
            self.storage.transact(lambda tx: tx.put("settings", "tiers", now))
        elif before != now:
            self.storage.transact(lambda tx: tx.put("settings", "tiers", {"sha256": "being recomputed"}))
            threading.Thread(target=self._reindex, name="reindex", daemon=True).start()

    def _reindex(self) -> None:
        """One pass at a time. Who waited for one may find that it has seen the newest tiers too."""
        with self._reindexing:
            try:
                now = self._tiers_hash()
                if self.storage.read(lambda tx: tx.get("settings", "tiers")) != now:
                    self.housekeeping.reindex()
                    self.storage.transact(lambda tx: tx.put("settings", "tiers", now))
            except RelayError as exc:
                log.warning("reindex_stopped", error=exc.message, note="the next start begins it again")

    def _tiers_hash(self) -> dict[str, str]:
        return {"sha256": hashlib.sha256(msgspec.json.encode([DERIVED, self.policy.tiers], order="sorted")).hexdigest()}

    def close(self) -> None:
        self.jobs.stop()
        self.meetings.stop()
        self.till.stop()
        self.outbox.stop()
        self.books_check.stop()
        self.housekeeping.stop()
        self.hangups.stop()
        try:
            with contextlib.suppress(RelayError):  # a storage that fails now has said so before
                self.admin.write_uses()
            for name, backend in self.registry.backends.items():
                with boundary(name):
                    backend.close()
        finally:
            self.storage.close()
