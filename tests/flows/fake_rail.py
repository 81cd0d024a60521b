"""A payment service that does what a test tells it."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from relay.domain.instants import utcnow
from relay.errors import BadRequest, Unauthenticated
from relay.ports.inference import Health
from relay.ports.rails import Delivery, Notice, Purchase, Snapshot

SECRET = "good"


class FakeRail:
    """Invoices by id; `pay` and `change` move them. `fail`: raised by the next calls; `gate`: looks wait for it;
    `lose`: the invoice is made, its answer is lost."""

    id_field = "invoiceId"
    currencies: frozenset[str] | None = None

    def __init__(self, name: str = "fake", *, signed: bool = True) -> None:
        self.name = name
        self.store = f"{name}-store"
        self.signed = signed
        self.invoices: dict[str, Snapshot] = {}
        self.fail: Exception | None = None
        self.lose: Exception | None = None
        self.gate: threading.Event | None = None
        self.why_off: str | None = None
        self.calls: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.sold: list[Purchase] = []

    def off(self) -> str | None:
        return self.why_off

    def dedup_key(self, invoice_id: str) -> str:
        return f"{self.store}|{invoice_id}"

    def create_checkout(self, purchase: Purchase) -> Snapshot:
        self._call("create")
        with self.lock:
            invoice_id = f"inv{len(self.invoices) + 1}"
        now = utcnow()
        made = Snapshot(
            invoice_id,
            purchase.order_id,
            "pending",
            "New",
            purchase.amount,
            self.store,
            f"https://pay.example/{invoice_id}",
            created_at=now,
            expires_at=now + timedelta(minutes=purchase.minutes),
            monitored_until=now + timedelta(days=1),
        )
        self.invoices[invoice_id] = made
        self.sold.append(purchase)
        if self.lose is not None:
            raise self.lose
        return made

    def read_webhook(self, delivery: Delivery) -> Notice:
        if self.signed and delivery.headers.get("x-fake-secret") != SECRET:
            raise Unauthenticated("the signature is wrong", code="bad_signature")
        try:
            data = json.loads(delivery.body)
        except ValueError:
            raise BadRequest("not JSON") from None
        kind = data.get("type", "change")
        return Notice(
            kind, data.get("invoice"), data.get("order"), data.get("delivery", ""), kind != "other", self.signed
        )

    def fetch(self, invoice_id: str) -> Snapshot | None:
        self._call("fetch")
        return self.invoices.get(invoice_id)

    def find(self, order_id: str) -> Snapshot | None:
        self._call("find")
        return next((found for found in self.invoices.values() if found.order_id == order_id), None)

    def list_recent(self, since: datetime) -> Any:
        self._call("list")
        return iter([found for found in self.invoices.values() if found.status == "settled"])

    def health(self) -> Health:
        return Health(ok=True)

    def close(self) -> None: ...

    def change(self, invoice_id: str, **fields: Any) -> None:
        self.invoices[invoice_id] = replace(self.invoices[invoice_id], **fields)

    def pay(self, invoice_id: str) -> None:
        invoice = self.invoices[invoice_id]
        self.change(invoice_id, status="settled", word="Settled", paid=invoice.amount)

    def _call(self, what: str) -> None:
        with self.lock:
            self.calls[what] += 1
        if self.gate is not None:
            self.gate.wait(30)
        if self.fail is not None:
            raise self.fail
