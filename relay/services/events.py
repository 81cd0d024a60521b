"""What happens, told to the operator's own server: stored with the change it tells of, sent by the outbox.

Everything is stored in the caller's transaction, so nothing is told that did not happen and nothing that did is lost.
Nothing costs anything while no `[events] url` is set.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import structlog

from relay.domain import tiers
from relay.domain.accounts import Account
from relay.domain.events import EventKind, crosses_down
from relay.domain.instants import iso, utcnow
from relay.domain.tiers import Tier
from relay.ports.storage import Storage, Tx
from relay.services.outbox import Outbox
from relay.settings import EventSettings

log = structlog.get_logger("relay.events")

MAX_WAITING = 10_000
"""Messages that wait in the outbox. While there are more, the operator's server has been away for long, and events
are dropped: they must not fill the disk."""
OUTAGES = "rail-outages"


class Events:
    def __init__(
        self, storage: Storage, outbox: Outbox, settings: EventSettings, clock: Callable[[], datetime] = utcnow
    ) -> None:
        self._storage = storage
        self._outbox = outbox
        self.settings = settings
        self._clock = clock
        self._dropping = False

    def emit(self, tx: Tx, kind: EventKind, data: dict[str, Any], reference: str) -> str | None:
        """Store one event within `tx`; its id, or None when nobody wants it. `data`: a small JSON object without
        secrets. `reference`: what it is about, for the operator's list. It leaves within 15 s of the commit, at once
        after `nudge`."""
        url, secret, kinds = self.settings.url, self.settings.secret, self.settings.kinds
        if url is None or secret is None or (kinds and kind not in kinds):
            return None
        if self._outbox.waiting(tx) >= MAX_WAITING:
            self._tell_dropping(kind)
            return None
        self._dropping = False
        key = f"evt_{secrets.token_hex(12)}"
        body = msgspec.json.encode({"id": key, "event": kind, "at": iso(self._clock()), "data": data})
        self._outbox.add(tx, url=url, body=body, secret=secret, kind=kind, reference=reference, key=key, trusted=True)
        return key

    def nudge(self) -> None:
        """After the commit, for an event that should leave at once."""
        self._outbox.nudge()

    def spent(self, tx: Tx, account: str, row: Account, tier: Tier, amount: int, reference: str) -> None:
        """`credits.low`, if this spending of `amount` took the account to the threshold or below.

        Credits of open holds count as not spent yet: they may come back. `row` is as it is after the spending.
        """
        left = tiers.spendable(row, tier) if self.settings.url is not None else None
        if left is None:
            return
        threshold, after = self.settings.low_credits, left + row.held
        if crosses_down(after + amount, after, threshold):
            data = {"account": account, "tier": tier.name, "left": after, "threshold": threshold}
            self.emit(tx, "credits.low", data, reference)

    def rails_down(self) -> set[str]:
        """The rails whose `rail.down` has had no `rail.up` yet: who watches them goes on from there after a start."""
        outages = self._storage.read(lambda tx: tx.get("settings", OUTAGES))
        return set(outages or {})

    def outage(self, rail: str, down: bool) -> None:  # noqa: FBT001 - a callback with one meaning
        """`rail.down` when a rail stops answering, `rail.up` when it answers again: each once, also if the relay is
        started again in between."""
        if self._storage.transact(lambda tx: self._outage(tx, rail, down=down)):
            self.nudge()

    def _outage(self, tx: Tx, rail: str, *, down: bool) -> bool:
        outages = tx.get("settings", OUTAGES) or {}
        if down == (rail in outages):
            return False
        now = iso(self._clock())
        if down:
            outages[rail] = now
            self.emit(tx, "rail.down", {"rail": rail, "since": now}, rail)
        else:
            self.emit(tx, "rail.up", {"rail": rail, "since": now, "down_since": outages.pop(rail)}, rail)
        tx.put("settings", OUTAGES, outages)
        return True

    def _tell_dropping(self, kind: EventKind) -> None:
        if not self._dropping:
            self._dropping = True
            log.error("events_dropped", first=kind, note=f"{MAX_WAITING} messages wait; is [events] url reachable?")
