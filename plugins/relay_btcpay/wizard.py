"""Connecting a store: the operator consents at BTCPay, and key, store and webhook fall into place.

The new secret is accepted before BTCPay hears of it, and the old one for a day after, so that no event is refused
in between. What belonged to the old connection is removed last; what cannot be is said.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import structlog
from msgspec.structs import replace

from relay.api import Invalid, RailError, Step
from relay_btcpay import hooks, permissions
from relay_btcpay.credentials import CHOICE, Connection, Credentials, Pending
from relay_btcpay.invoices import is_id, text
from relay_btcpay.server import Server
from relay_btcpay.settings import Settings

log = structlog.get_logger("relay.btcpay")

KEY_FIELDS = ("apiKey", "api-key", "key")
"""Today's name in the form, and those of old servers."""
MAX_KEY = 200
MAX_STORES = 100


class Wizard:
    """`where`: the settings table, for messages."""

    def __init__(self, settings: Settings, credentials: Credentials, where: str, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._credentials = credentials
        self._where = where
        self._clock = clock
        self._lock = threading.Lock()

    def start(self, return_url: str) -> Step:
        """Where the operator's browser is to go. Raises Invalid when the settings leave nothing to connect."""
        self._possible()
        query: list[tuple[str, str]] = [("permissions", name) for name in permissions.NEEDED]
        query += [
            ("applicationName", "Relay"),
            ("applicationIdentifier", "recap-relay"),
            ("strict", "true"),
            ("selectiveStores", "true"),
            ("redirect", return_url),
        ]
        return Step(redirect=f"{self._settings.public}/api-keys/authorize?{urlencode(query)}")

    def finish(self, form: Mapping[str, Sequence[str]], webhook_url: str) -> Step:
        """BTCPay's form brought a key. Raises Invalid (a key that will not do is revoked) or RailError."""
        self._possible()
        key = _key(form)
        with self._lock, closing(self._server(key)) as server:
            stores = self._usable(server)
            now = self._clock()
            secret = self._settings.webhook_secret or secrets.token_urlsafe(32)
            pending = Pending(key, secret, stores, now + CHOICE)
            before = self._credentials.connection()
            self._credentials.replace(lambda stored: replace(stored, pending=pending))
            if before.pending is not None and before.pending.api_key not in {key, before.api_key}:
                self._end_key(before.pending.api_key)
            if len(stores) > 1:
                return Step(choose=stores)
            return self._take(server, next(iter(stores)), webhook_url)

    def choose(self, store: str, webhook_url: str) -> Step:
        with self._lock:
            pending = self._credentials.connection().pending
            if pending is None or pending.until <= self._clock():
                raise Invalid("no store waits to be chosen; begin again with connect")
            if store not in pending.stores:
                raise Invalid("this is none of the stores the key was granted for", "store")
            with closing(self._server(pending.api_key)) as server:
                return self._take(server, store, webhook_url)

    def disconnect(self) -> str:
        with self._lock:
            connection = self._credentials.connection()
            if not connection.api_key:
                return f"no store was connected with the wizard; what stands in {self._where} is removed there"
            failed = self._remove_webhook(connection, keep="") + self._end_key(connection.api_key)
            if connection.pending is not None and connection.pending.api_key != connection.api_key:
                self._end_key(connection.pending.api_key)
            now = self._clock()
            self._credentials.replace(lambda stored: Connection(old=stored.retired(now)))
        log.info("btcpay_disconnected", store=connection.store_id)
        return f"{_name(connection)} is disconnected." + _remains(failed)

    def _possible(self) -> None:
        if not self._settings.url:
            raise Invalid(f"set {self._where}.url to your BTCPay server's address first", f"{self._where}.url")
        if self._settings.api_key:
            setting = f"{self._where}.api_key"
            raise Invalid(f"{setting} is set and wins over the wizard; remove it there to connect here", setting)

    def _usable(self, server: Server) -> dict[str, str]:
        """The stores this key will do for, id -> name. Raises Invalid after revoking a key that will not do at all."""
        granted = server.permissions()
        named = permissions.stores_of(granted)
        # Without a store named, the grants are for all there are.
        complete = [store for store in named or [""] if not permissions.missing(granted, store)]
        if not complete:
            self._spurn(server)
            lacking = ", ".join(permissions.missing(granted, (named or [""])[0]))
            raise Invalid(f"the key lacks permissions; connect again and allow: {lacking}")
        stores = {
            store["id"]: text(store, "name") or store["id"]
            for store in server.listed("stores")
            if is_id(store.get("id")) and store.get("archived") is not True
        }
        wanted = self._settings.store_id
        usable = {
            store: name
            for store, name in stores.items()
            if not permissions.missing(granted, store) and wanted in {"", store}
        }
        if not usable:
            self._spurn(server)
            raise Invalid("the key was granted for no store, or not for the one in the settings; connect again")
        return dict(list(usable.items())[:MAX_STORES])

    def _spurn(self, server: Server) -> None:
        """End a key that will not do; BTCPay may have handed out the present one again, which stays."""
        if server.key != self._credentials.connection().api_key:
            self._end_key(server.key)

    def _take(self, server: Server, store: str, webhook_url: str) -> Step:
        """The pending key and the store become the connection; the lock is held."""
        before = self._credentials.connection()
        assert before.pending is not None
        pending = before.pending
        webhook = hooks.register(server, store, webhook_url, pending.secret)
        now = self._clock()

        def promoted(stored: Connection) -> Connection:
            return Connection(
                pending.api_key,
                store,
                pending.stores[store],
                webhook,
                webhook_url,
                pending.secret,
                now,
                stored.retired(now),
            )

        after = self._credentials.replace(promoted)
        failed: list[str] = []
        if before.api_key:
            failed += self._remove_webhook(before, keep=webhook)
            if before.api_key != pending.api_key:
                failed += self._end_key(before.api_key)
        log.info("btcpay_connected", store=store, webhook=webhook)
        return Step(done=f"{_name(after)} is connected." + _remains(failed))

    def _remove_webhook(self, connection: Connection, keep: str) -> list[str]:
        """What could not be removed, in words."""
        if not connection.webhook_id or connection.webhook_id == keep:
            return []
        try:
            with closing(self._server(connection.api_key)) as server:
                server.delete_webhook(connection.store_id, connection.webhook_id)
        except (RailError, ValueError) as exc:
            log.warning("btcpay_webhook_stays", webhook=connection.webhook_id, reason=str(exc))
            return [f"webhook {connection.webhook_id} of store {connection.store_id}"]
        return []

    def _end_key(self, key: str) -> list[str]:
        try:
            with closing(self._server(key)) as server:
                server.revoke()
        except (RailError, ValueError) as exc:
            log.warning("btcpay_key_stays", reason=str(exc))
            return ["the relay's API key"]
        return []

    def _server(self, key: str) -> Server:
        return Server(self._settings.base, key, self._where)


def _key(form: Mapping[str, Sequence[str]]) -> str:
    found = [value for field in KEY_FIELDS for value in form.get(field, ()) if value]
    key = found[0] if found else ""
    if not key or len(key) > MAX_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise Invalid("BTCPay sent no key; connect again and consent there", "apiKey")
    return key


def _name(connection: Connection) -> str:
    return f"BTCPay store {connection.store_name or connection.store_id}"


def _remains(failed: list[str]) -> str:
    return f" These could not be removed at BTCPay, remove them there: {', '.join(failed)}." if failed else ""


def view(connection: Connection, settings: Settings, now: datetime) -> dict[str, Any]:
    """What the admin page shows; no secret is in it."""
    pending = connection.pending
    return {
        "url": settings.base,
        "public_url": settings.public,
        "store_id": settings.store_id or connection.store_id,
        "store_name": connection.store_name,
        "api_key_from": _origin(settings.api_key, connection.api_key),
        "store_from": _origin(settings.store_id, connection.store_id),
        "webhook_secret_from": _origin(settings.webhook_secret, connection.secret),
        "webhook_id": connection.webhook_id,
        "webhook_url": connection.webhook_url,
        "connected_at": None if connection.connected_at is None else connection.connected_at.isoformat(),
        "choose": None if pending is None or pending.until <= now else dict(pending.stores),
    }


def _origin(setting: str, stored: str) -> str | None:
    return "settings" if setting else "wizard" if stored else None
