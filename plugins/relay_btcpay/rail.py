"""The rail: sells through a BTCPay store, and says what became of each invoice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from relay.api import (
    Delivery,
    Health,
    Invalid,
    Notice,
    Purchase,
    RailError,
    RailUnavailable,
    Snapshot,
    Space,
    Step,
    StorageFull,
    StorageUnavailable,
)
from relay_btcpay import wizard
from relay_btcpay.credentials import Credentials
from relay_btcpay.events import REFUND, read_event
from relay_btcpay.health import Checkup
from relay_btcpay.invoices import best, is_id, read_invoice, text, wish
from relay_btcpay.server import PAGE, Server
from relay_btcpay.settings import Settings

log = structlog.get_logger("relay.btcpay")

MAX_PAGES = 50
FOR_ONE_ORDER = 50
"""Invoices with one order id that are looked at; there is one, or a few after lost answers."""


def utcnow() -> datetime:
    return datetime.now(UTC)


class BTCPayRail:
    """`where`: the settings table, for messages. Raises ValueError for an address or a key that cannot be used."""

    name = "btcpay"
    currencies: frozenset[str] | None = None
    id_field = "invoiceId"

    def __init__(self, settings: Settings, where: str, clock: Callable[[], datetime] = utcnow) -> None:
        self._settings = settings
        self._where = where
        self._clock = clock
        self._credentials = Credentials(settings, clock)
        self._lock = threading.Lock()
        self._server = Server(settings.base, settings.api_key, where) if settings.url else None
        self._wizard = wizard.Wizard(settings, self._credentials, where, clock)
        self._checkup = Checkup(settings, self._credentials, self._ready)
        self._problem = ""
        self.store = settings.store_id

    def attach(self, space: Space) -> None:
        self._credentials.attach(space)
        self.store = self._credentials.store

    def off(self) -> str | None:
        if not self._settings.url:
            return f"{self._where}.url is not set; set it to your BTCPay server's address"
        if not self._credentials.key:
            return f"no store is connected; connect one in the dashboard, or set {self._where}.api_key"
        if not self._credentials.store:
            return f"{self._where}.store_id is not set"
        return None

    def dedup_key(self, invoice_id: str) -> str:
        # Asked inside the core's transaction, so nothing may be read from the storage here.
        return f"{self.store}|{invoice_id}"

    def create_checkout(self, purchase: Purchase) -> Snapshot:
        body = wish(purchase, self._settings)
        server, store = self._ready(), self._credentials.store
        made = self._read(server.create(store, body), store)
        if made is None:
            raise server.client.unusable("POST", "an invoice was to be made, and this is none")
        return made

    def read_webhook(self, delivery: Delivery) -> Notice:
        notice, event = read_event(delivery, self._credentials.secrets())
        own_store = text(event, "storeId") in {"", self._credentials.store}
        if notice.event == REFUND and notice.invoice_id is not None and own_store:
            self._credentials.note_refund(notice.invoice_id)
        return notice

    def fetch(self, invoice_id: str) -> Snapshot | None:
        if not is_id(invoice_id):
            return None
        server, store = self._ready(), self._credentials.store
        said = server.invoice(store, invoice_id)
        if said is None:
            return None
        found = self._read(said, store)
        if found is None or found.invoice_id != invoice_id:
            raise server.client.unusable("GET", "an invoice was asked for, and this is not it")
        return _sure(server, store, found)

    def find(self, order_id: str) -> Snapshot | None:
        server, store = self._ready(), self._credentials.store
        said = server.invoices(store, take=FOR_ONE_ORDER, orderId=order_id)
        found = [snapshot for item in said if (snapshot := self._read(item, store)) is not None]
        chosen = best([snapshot for snapshot in found if snapshot.order_id == order_id])
        return None if chosen is None else _sure(server, store, chosen)

    def list_recent(self, since: datetime) -> Iterator[Snapshot]:
        """By the time they were made. What is paid meanwhile moves the pages, so one may be seen twice, none missed."""
        server, store = self._ready(), self._credentials.store
        seen: set[str] = set()
        start = str(max(0, int(since.timestamp())))
        for page in range(MAX_PAGES):
            said = server.invoices(store, skip=page * PAGE, status="Settled", startDate=start)
            for item in said:
                snapshot = self._read(item, store)
                if snapshot is None:
                    log.warning("btcpay_invoice_unreadable", store=store)
                elif snapshot.status == "settled" and snapshot.invoice_id not in seen:
                    seen.add(snapshot.invoice_id)
                    yield snapshot
            if len(said) < PAGE:
                return
        log.warning("btcpay_list_cut", pages=MAX_PAGES, note="older invoices were not looked through")

    def health(self) -> Health:
        try:
            why = self.off()
            return Health(False, why) if why else self._checkup.run()
        except (StorageFull, StorageUnavailable) as exc:
            return Health(False, exc.message)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def connect_start(self, return_url: str) -> Step:
        return self._wizard.start(return_url)

    def connect_finish(self, form: Mapping[str, Sequence[str]], webhook_url: str) -> Step:
        try:
            step = self._wizard.finish(form, webhook_url)
        except (Invalid, RailError) as exc:
            # The operator's browser is sent on without it, so it is kept for the admin page.
            self._problem = exc.message
            log.warning("btcpay_not_connected", reason=exc.message)
            raise
        return self._changed(step)

    def connect_choose(self, store: str, webhook_url: str) -> Step:
        return self._changed(self._wizard.choose(store, webhook_url))

    def disconnect(self) -> str:
        said = self._wizard.disconnect()
        self._changed(Step())
        return said

    def connection(self) -> Mapping[str, object]:
        off = self.off()
        shown = wizard.view(self._credentials.connection(), self._settings, self._clock())
        return {"connected": off is None, "off": off, "problem": self._problem or None, **shown}

    def _changed(self, step: Step) -> Step:
        self._problem = ""
        self.store = self._credentials.store
        self._checkup.look_again()
        return step

    def _ready(self) -> Server:
        """The server with the key that counts now. Raises RailUnavailable when the rail is off."""
        if why := self.off():
            raise RailUnavailable(f"BTCPay is not connected: {why}")
        key = self._credentials.key
        with self._lock:
            if self._server is None or self._server.key != key:
                if self._server is not None:
                    self._server.close()
                self._server = Server(self._settings.base, key, self._where)
            self.store = self._credentials.store
            return self._server

    def _read(self, said: object, store: str) -> Snapshot | None:
        snapshot = read_invoice(said, store, self._settings)
        if snapshot is not None and self._credentials.is_refunded(snapshot.invoice_id):
            return replace(snapshot, refunded=True)
        return snapshot


def _sure(server: Server, store: str, snapshot: Snapshot) -> Snapshot:
    """BTCPay calls a late payment that as soon as it is seen. Until it is confirmed it is none for us."""
    if snapshot.status == "late" and not server.all_confirmed(store, snapshot.invoice_id):
        return replace(snapshot, status="processing")
    return snapshot
