"""Key, store and webhook secrets: those in the settings first, else what the connect wizard obtained.

What the wizard obtained is one document of the plugin's private space, so that each step of it is one transaction.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from relay.api import Space, SpaceReadTx, SpaceTx, StorageUnavailable
from relay_btcpay.settings import Settings

DOC = "connection"
FRESH_SECONDS = 1.0
"""How long another process that shares the storage may go on with what was changed here."""
GRACE = timedelta(hours=24)
CHOICE = timedelta(hours=1)
"""How long a key may wait for the choice of a store."""


class OldSecret(msgspec.Struct, omit_defaults=True):
    secret: str
    until: datetime


class Pending(msgspec.Struct, omit_defaults=True):
    """A key that was granted and is not in use yet. `stores`: id -> name, those it may be used with."""

    api_key: str
    secret: str
    stores: dict[str, str]
    until: datetime


class Connection(msgspec.Struct, omit_defaults=True):
    """`secret` signs the webhook `webhook_id` at `webhook_url`. `old`: secrets of webhooks that were replaced."""

    api_key: str = ""
    store_id: str = ""
    store_name: str = ""
    webhook_id: str = ""
    webhook_url: str = ""
    secret: str = ""
    connected_at: datetime | None = None
    old: list[OldSecret] = msgspec.field(default_factory=list)
    pending: Pending | None = None

    def retired(self, now: datetime) -> list[OldSecret]:
        """The old secrets still in their grace, the present one among them from now on."""
        live = [old for old in self.old if old.until > now]
        return [*live, OldSecret(self.secret, now + GRACE)] if self.secret else live


class Credentials:
    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._space: Space | None = None
        self._cached: tuple[float, Connection] | None = None
        self._lock = threading.Lock()

    def attach(self, space: Space) -> None:
        self._space = space
        self._cached = None

    def connection(self) -> Connection:
        """As it is in the storage, at most a second old. Not to be changed."""
        cached = self._cached
        if cached is not None and time.monotonic() < cached[0]:
            return cached[1]
        if self._space is None:
            return Connection()
        with self._lock:
            found = self._space.read(_stored)
            self._cached = (time.monotonic() + FRESH_SECONDS, found)
        return found

    def replace(self, change: Callable[[Connection], Connection]) -> Connection:
        """Put what `change` makes of the stored connection in its place, durably."""
        if self._space is None:
            raise StorageUnavailable("the storage of the credentials is not open yet; try again")

        def write(tx: SpaceTx) -> Connection:
            changed = change(_stored(tx))
            tx.put(DOC, changed)
            return changed

        with self._lock:
            stored = self._space.transact(write)
            self._cached = (time.monotonic() + FRESH_SECONDS, stored)
        return stored

    @property
    def key(self) -> str:
        return self._settings.api_key or self.connection().api_key

    @property
    def store(self) -> str:
        return self._settings.store_id or self.connection().store_id

    def secrets(self) -> list[str]:
        """All that may have signed a webhook now, during a change of the connection more than one."""
        now, connection = self._clock(), self.connection()
        found = [self._settings.webhook_secret, connection.secret]
        found += [old.secret for old in connection.old if old.until > now]
        if connection.pending is not None and connection.pending.until > now:
            found.append(connection.pending.secret)
        return list(dict.fromkeys(filter(None, found)))

    def note_refund(self, invoice_id: str) -> None:
        """A refund does not change an invoice at BTCPay; only its event tells, so it is kept."""
        if self._space is not None and not self.is_refunded(invoice_id):
            self._space.transact(lambda tx: tx.put(f"refund/{invoice_id}", {"at": self._clock().isoformat()}))

    def is_refunded(self, invoice_id: str) -> bool:
        if self._space is None:
            return False
        return self._space.read(lambda tx: tx.get(f"refund/{invoice_id}")) is not None


def _stored(tx: SpaceReadTx) -> Connection:
    doc = tx.get(DOC)
    return Connection() if doc is None else msgspec.convert(doc, Connection)
