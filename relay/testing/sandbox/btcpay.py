"""BTCPay Server as far as the relay uses it: invoices, webhooks, API keys, and buttons for what people and blocks do.

Its Greenfield API is in `btcpay_api.py` and `btcpay_webhook_api.py`. What happens to a payment is a method here, and an
action over HTTP: `box["btcpay"].pay(invoice)` and `POST /_sandbox/btcpay/pay {"invoice": ...}` are the same.
"""

from __future__ import annotations

import heapq
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from relay.testing.sandbox import btcpay_invoices as rules
from relay.testing.sandbox.btcpay_api import InvoiceApi
from relay.testing.sandbox.btcpay_errors import error_body
from relay.testing.sandbox.btcpay_hooks import Version, Webhook, Webhooks, indented, signature
from relay.testing.sandbox.btcpay_invoices import Invoice, decimal, new_id
from relay.testing.sandbox.btcpay_keys import CREATE, MODIFY, REFUND, SETTINGS, VIEW, WEBHOOKS, Key
from relay.testing.sandbox.btcpay_server_api import ServerApi
from relay.testing.sandbox.btcpay_webhook_api import WebhookApi
from relay.testing.sandbox.clock import Clock
from relay.testing.sandbox.service import Reply, Route, Service

KEY = "5ab7b0c5a3de8cf01f2ea54bba5c9a2b7ac0d1e4"
STORE = "SandboxStoreNumberOne1111"
GRANTED = (CREATE, VIEW, WEBHOOKS, SETTINGS, MODIFY, REFUND)
MAX_INVOICES = 100_000
WATCH_SECONDS = 0.1
VERSION = re.compile(r"\d{1,3}(\.\d{1,3}){1,3}")


class State(msgspec.Struct, forbid_unknown_fields=True):
    """What can be set over `PUT /_sandbox/btcpay`."""

    version: str = "2.4.1"
    speed: Annotated[float, Meta(gt=0)] = 1.0
    synced: bool = True
    network: Literal["mainnet", "testnet", "regtest"] = "regtest"


class BTCPay(Service):
    name: ClassVar[str] = "btcpay"
    title: ClassVar[str] = "BTCPay Server: invoices, webhooks, API keys"
    settings: ClassVar[str] = (
        f'[plugins.btcpay]\nurl = "{{url}}"\napi_key = "{KEY}"\nstore_id = "{STORE}"\nwebhook_secret = "sandbox"'
    )
    faults: ClassVar[Mapping[str, str]] = {
        "stale": "shows invoices as they were before the last change of their status",
        "wrong_amount": "answers with another amount: `value` (1)",
        "wrong_currency": "answers with another currency: `value` (XMR)",
        "wrong_store": "answers with another store: `value` (SomeOtherStore)",
        "wrong_id": "answers with another invoice's id: `value` (SomeOtherInvoice)",
        "wrong_order": "answers with another orderId in the metadata: `value` (some-other-order)",
        "unknown_status": "answers with a status nobody knows: `value` (Frozen)",
        "internal_host": "names an internal host in checkoutLink: `host` (btcpay.embassy:23000)",
        "lost_answer": "does what was asked and closes the connection without a word",
        "not_synced": "400 generic-error: the node is not synced; `message`",
        "missing_permission": "403 for every key",
        "revoked_key": "401 for every key",
        "pruned": "409: the delivery's body is gone",
    }

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._stop = threading.Event()
        self._fresh()
        self._api = InvoiceApi(self)
        self._routes = [*ServerApi(self).routes(), *self._api.routes(), *WebhookApi(self).routes()]

    def _fresh(self) -> None:
        self.now = State()
        self.clock = Clock()
        self.webhooks = Webhooks(self.clock, lambda: self.version, lambda: self.now.speed)
        self.stores = {STORE: "Sandbox shop"}
        self.keys = {KEY: Key(KEY, GRANTED)}
        self.invoices: dict[str, Invoice] = {}
        self._due: list[tuple[float, str]] = []
        self._watching = False

    @property
    def version(self) -> Version:
        return tuple(int(part) for part in self.now.version.split("."))

    def routes(self) -> Sequence[Route]:
        return self._routes

    def error(self, status: int, message: str) -> Reply:
        return error_body(status, message)

    def state(self) -> dict[str, Any]:
        """The settings, the clock, and what there is: keys with their permissions, stores, the last 100 invoices."""
        with self.lock:
            self.tick()
            return {
                **msgspec.structs.asdict(self.now),
                "clock": self.clock.now(),
                "stores": dict(self.stores),
                "keys": {key.key: list(key.permissions) for key in self.keys.values()},
                "invoices": [self.told(invoice) for invoice in list(self.invoices.values())[-100:]],
                "webhooks": [self._webhook_told(webhook) for webhook in self.webhooks.by_id.values()],
            }

    def configure(self, changes: Mapping[str, Any]) -> None:
        try:
            wanted = msgspec.convert({**msgspec.to_builtins(self.now), **changes}, State)
        except msgspec.ValidationError as exc:
            raise ValueError(str(exc)) from None
        if not VERSION.fullmatch(wanted.version):
            raise ValueError('version is a number such as "2.4.1" or "1.11.7"')
        self.now = wanted

    def reset(self) -> None:
        with self.lock:
            self.close()
            self._stop = threading.Event()
            self._fresh()

    def close(self) -> None:
        self._stop.set()
        self.webhooks.outgoing.close()

    def actions(self) -> Mapping[str, Callable[..., Any]]:
        found = (self.create, self.pay, self.confirm, self.double_spend, self.expire, self.mark, self.refund, self.fill)
        more = (self.forward, self.restart, self.disturb, self.forge, self.wait, self.deliveries)
        keys = (self.add_store, self.add_key, self.revoke_key)
        return {action.__name__: action for action in (*found, *more, *keys)}

    # What a buyer, a person in the shop, and the chain do.

    def create(
        self,
        amount: str | float | None = "10",
        currency: str = "USD",
        metadata: Mapping[str, Any] | None = None,
        store: str = STORE,
    ) -> dict[str, Any]:
        """Someone else sells something in the same store; amount null is a top-up."""
        asked = {"amount": None if amount is None else str(amount), "currency": currency, "metadata": metadata or {}}
        with self.lock:
            return self.told(self.add(self._api.made(store, asked)))

    def pay(
        self,
        invoice: str,
        amount: str | float | Decimal | None = None,
        method: str | None = None,
        confirmations: int = 0,
        rbf: bool = False,  # noqa: FBT001, FBT002 - named in a call over HTTP
    ) -> dict[str, Any]:
        """A buyer pays: all that is due or `amount`, over lightning, or over the chain when the invoice has expired."""
        with self.lock:
            found, now = self.find(invoice), self.clock.now()
            self.tick()
            late = now >= found.expires
            method = method or (rules.CHAIN if late else "BTC-LN")
            if method not in rules.METHODS:
                raise ValueError(f"method is one of {', '.join(rules.METHODS)}")
            if late and method != rules.CHAIN:
                raise ValueError("the lightning node refuses: the invoice has expired; pay over BTC-CHAIN")
            wanted = found.due() or found.amount or Decimal(0) if amount is None else decimal(amount)
            if wanted <= 0 or type(confirmations) is not int or confirmations < 0:
                raise ValueError("amount is more than 0, confirmations a whole number from 0")
            emit, shown = self._emitter(found), found.shown()
            rules.receive(found, rules.payment_of(found, wanted, method, now, confirmations, rbf=rbf), now, emit)
            rules.update(found, now, emit, shown)
            return self.told(found)

    def confirm(self, invoice: str, blocks: int = 1) -> dict[str, Any]:
        """So many blocks are found: every payment of the invoice has so many confirmations more."""
        if type(blocks) is not int or blocks < 1:
            raise ValueError("blocks is a whole number from 1")
        with self.lock:
            found, now = self.find(invoice), self.clock.now()
            self.tick()
            rules.confirm(found, blocks, now, self._emitter(found))
            return self._updated(found)

    def double_spend(self, invoice: str) -> dict[str, Any]:
        """The last payment that is not confirmed is replaced by another transaction: it never happened."""
        with self.lock:
            found = self.find(invoice)
            self.tick()
            open_ones = [payment for payment in found.payments if payment.confirmations == 0]
            open_ones = [
                payment for payment in open_ones if payment.method == rules.CHAIN and payment.status != "Invalid"
            ]
            if not open_ones:
                raise ValueError("the invoice has no unconfirmed payment on the chain")
            open_ones[-1].status = "Invalid"
            return self._updated(found)

    def expire(self, invoice: str) -> dict[str, Any]:
        """The invoice's time is over now; `forward` moves the clock for all."""
        with self.lock:
            found, now = self.find(invoice), self.clock.now()
            lasts = found.monitored - found.expires
            found.expires = min(found.expires, now)
            found.monitored = min(found.monitored, now + lasts)
            self._remind(found)
            return self._updated(found)

    def mark(self, invoice: str, status: str = "Settled") -> dict[str, Any]:
        """A person in the shop marks the invoice Settled or Invalid."""
        with self.lock:
            found = self.find(invoice)
            self.tick()
            rules.mark(found, status, self._emitter(found))
            return self.told(found)

    def refund(self, invoice: str, amount: str | float | None = None) -> dict[str, Any]:
        """A person in the shop makes a refund: all that was paid, or `amount`. The status stays what it is."""
        with self.lock:
            found = self.find(invoice)
            self.tick()
            wanted = found.paid if amount is None else decimal(amount)
            return self.add_refund(found, {"name": f"Refund {found.id}", "currency": found.currency, "amount": wanted})

    def fill(self, count: int = 1000, status: str = "Settled", store: str = STORE) -> dict[str, Any]:
        """So many invoices of others are in the store, with no webhooks."""
        if type(count) is not int or not 1 <= count <= MAX_INVOICES or status not in ("New", "Settled", "Expired"):
            raise ValueError(f"count is a whole number from 1 to {MAX_INVOICES}, status New, Settled or Expired")
        with self.lock:
            for number in range(count):
                asked = {"amount": "1", "currency": "USD", "metadata": {"orderId": f"shop-{number}"}}
                invoice = self._api.made(store, asked)
                invoice.status = status
                self._keep(invoice)
        return {"invoices": len(self.invoices)}

    # What happens to the server, and on the way to the webhooks.

    def forward(self, seconds: float) -> dict[str, Any]:
        """The clock moves forward: invoices expire, retries become due."""
        self.clock.forward(seconds)
        self.tick()
        return {"clock": self.clock.now()}

    def restart(self) -> None:
        """The server restarts: deliveries that wait, also for another try, are lost."""
        self.webhooks.outgoing.restart()

    def disturb(self, way: str, event: str | None = None, times: int = 1, seconds: float = 1.0) -> dict[str, Any]:
        """What goes wrong with the next deliveries: drop, duplicate, reorder or delay."""
        return self.webhooks.outgoing.disturb(way, event=event, times=times, seconds=seconds)

    def forge(
        self,
        invoice: str,
        event: str = "InvoiceSettled",
        signed: str = "wrong",
        fields: Mapping[str, Any] | None = None,
        body: str | None = None,
    ) -> list[dict[str, Any]]:
        """A delivery BTCPay never sent; signed "right", "wrong", "missing" or as given. Answers with what was said."""
        with self.lock:
            known = self.invoices.get(invoice)
            metadata = known.metadata if known else {}
            extra = {"manuallyMarked": False, "overPaid": False} if event == "InvoiceSettled" else {}
            sent = []
            for webhook in self.webhooks.by_id.values():
                made = self.webhooks.body(webhook, event, webhook.store, invoice, metadata, extra)
                raw = indented({**made, **(fields or {})}) if body is None else body.encode()
                sent.append((webhook, raw, _signed(webhook, raw, signed)))
        tried = [(webhook, self.webhooks.post(webhook, raw, header)) for webhook, raw, header in sent]
        return [{"webhook": hook.id, "status": attempt.status, "error": attempt.error} for hook, attempt in tried]

    def wait(self, seconds: float = 10.0) -> None:
        """Until every delivery is done."""
        self.webhooks.outgoing.wait(seconds)

    def deliveries(self) -> list[dict[str, Any]]:
        """All tries so far, oldest first, with what was sent."""
        with self.lock:
            return [
                {"webhook": webhook.id, **delivery.view(), "request": delivery.request}
                for webhook in self.webhooks.by_id.values()
                for delivery in list(webhook.deliveries)
            ]

    def add_store(self, name: str = "Another shop") -> dict[str, Any]:
        """One more store."""
        with self.lock:
            ident = new_id(25)
            self.stores[ident] = name
            return {"id": ident, "name": name}

    def add_key(self, permissions: Sequence[str] = GRANTED) -> dict[str, Any]:
        """One more API key: each permission as `permission` or `permission:store`."""
        with self.lock:
            made = Key(secrets.token_hex(20), tuple(str(permission) for permission in permissions))
            self.keys[made.key] = made
            return {"key": made.key, "permissions": list(made.permissions)}

    def revoke_key(self, key: str = KEY) -> None:
        """The key is worth nothing any more."""
        with self.lock:
            if self.keys.pop(key, None) is None:
                raise ValueError("there is no such key")

    # For the API.

    def find(self, invoice: str) -> Invoice:
        """Raises ValueError."""
        if invoice not in self.invoices:
            raise ValueError(f"btcpay has no invoice {invoice!r}")
        return self.invoices[invoice]

    def add(self, invoice: Invoice) -> Invoice:
        """A new invoice begins."""
        self._keep(invoice)
        emit = self._emitter(invoice)
        emit("InvoiceCreated")
        rules.update(invoice, self.clock.now(), emit)
        return invoice

    def add_refund(self, invoice: Invoice, about: Mapping[str, Any]) -> dict[str, Any]:
        """A pull payment the buyer can claim from. `amount` is a Decimal."""
        made = {**about, "id": new_id(), "amount": rules.plain(about["amount"])}
        invoice.refunds.append(made)
        self._emitter(invoice)("InvoiceRefund", pullPaymentId=made["id"])
        return made

    def tick(self) -> None:
        """Bring every invoice whose time has come up to date."""
        with self.lock:
            now = self.clock.now()
            while self._due and self._due[0][0] <= now:
                _, ident = heapq.heappop(self._due)
                if (invoice := self.invoices.get(ident)) is not None:
                    rules.update(invoice, now, self._emitter(invoice))

    def told(self, invoice: Invoice) -> dict[str, Any]:
        """An invoice in short, for actions."""
        return {"id": invoice.id, "currency": invoice.currency, **invoice.shown(), "metadata": invoice.metadata}

    def _updated(self, invoice: Invoice) -> dict[str, Any]:
        rules.update(invoice, self.clock.now(), self._emitter(invoice))
        return self.told(invoice)

    def _keep(self, invoice: Invoice) -> None:
        if len(self.invoices) >= MAX_INVOICES:
            raise ValueError(f"the sandbox keeps {MAX_INVOICES} invoices: reset it")
        self.invoices[invoice.id] = invoice
        self._remind(invoice)

    def _remind(self, invoice: Invoice) -> None:
        for moment in (invoice.expires, invoice.monitored):
            heapq.heappush(self._due, (moment, invoice.id))
        if not self._watching:
            self._watching = True
            threading.Thread(target=self._watch, args=(self._stop,), name="sandbox-btcpay", daemon=True).start()

    def _watch(self, stop: threading.Event) -> None:
        """Invoices expire also when nobody looks."""
        while not stop.wait(WATCH_SECONDS):
            self.tick()

    def _emitter(self, invoice: Invoice) -> rules.Emit:
        def emit(event: str, **extra: Any) -> None:
            self.webhooks.emit(invoice.store, event, invoice.id, invoice.metadata, extra)

        return emit

    def _webhook_told(self, webhook: Webhook) -> dict[str, Any]:
        return {**webhook.view(), "store": webhook.store, "deliveries": len(webhook.deliveries)}


def _signed(webhook: Webhook, raw: bytes, how: str) -> str | None:
    if how == "missing":
        return None
    made = {"right": webhook.secret, "wrong": f"not {webhook.secret}"}
    return signature(made[how], raw) if how in made else how
