"""Zaprite as far as the relay uses it: orders, saved cards, unsigned webhooks, and buttons for what buyers do.

Its API is in `zaprite_api.py`. What happens to an order is a method here, and an action over HTTP:
`box["zaprite"].pay(order)` and `POST /_sandbox/zaprite/pay {"order": ...}` are the same.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from relay.testing.sandbox.clock import Clock
from relay.testing.sandbox.deliveries import Attempt, Outgoing, Parcel, post
from relay.testing.sandbox.service import Reply, Route, Service, json_reply
from relay.testing.sandbox.zaprite_api import Api
from relay.testing.sandbox.zaprite_orders import METHODS, Contact, Order, Profile, Transaction, new_id

KEY = "sandbox-zaprite-key"
ORG = "org_sandbox"
EVENT = "order.change"
TIMEOUT_SECONDS = 30.0
CARD_SECONDS = 3 * 365 * 86_400.0
MAX_ORDERS = 100_000
MAX_DELIVERIES = 5000
CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    402: "PAYMENT_REQUIRED",
    404: "NOT_FOUND",
    429: "TOO_MANY_REQUESTS",
}


class State(msgspec.Struct, forbid_unknown_fields=True):
    """What can be set over `PUT /_sandbox/zaprite`."""

    api_key: str = KEY
    org_id: str = ORG
    webhook_url: str = ""
    shape: Literal["A", "B"] = "A"
    created_status: Literal[200, 201] = 201
    amount_field: Literal["totalAmount", "amount", "none"] = "totalAmount"
    discount_in_total: bool = False
    expired_status: str = "PENDING"
    profile_reads: Annotated[int, Meta(ge=0)] = 0
    twin: Literal["first", "last"] = "first"
    same_email: Literal["new", "same", "refuse"] = "new"
    protected: bool = False
    checkout: str = "{url}"


class Zaprite(Service):
    name: ClassVar[str] = "zaprite"
    title: ClassVar[str] = "Zaprite: orders, saved cards, unsigned webhooks"
    settings: ClassVar[str] = f'[plugins.zaprite]\nbase_url = "{{url}}"\napi_key = "{KEY}"'
    faults: ClassVar[Mapping[str, str]] = {
        "stale": "shows orders as they were before their last change",
        "wrong_amount": "answers with another total: `value` (1)",
        "wrong_currency": "answers with another currency: `value` (XMR)",
        "wrong_id": "answers with another order's id: `value` (od_somebodyelse)",
        "wrong_order": "answers with another externalUniqId: `value` (some-other-order)",
        "wrong_org": "answers with another orgId: `value` (org_other)",
        "unknown_status": "answers with a status nobody knows: `value` (REFUNDED_PARTIAL)",
        "foreign_checkout": "names a checkoutUrl that is not Zaprite's: `value`",
        "lost_answer": "does what was asked and closes the connection without a word",
        "declined": "402: the card was declined (charge)",
        "charge_processing": "the charge is taken and stays PROCESSING",
    }

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._routes = Api(self).routes()
        self._fresh()

    def _fresh(self) -> None:
        self.now = State()
        self.clock = Clock()
        self.orders: dict[str, Order] = {}
        self.contacts: dict[str, Contact] = {}
        self.webhooks: dict[str, str] = {}
        self._outgoing = Outgoing(self.clock)
        self._sent: deque[dict[str, Any]] = deque(maxlen=MAX_DELIVERIES)

    def routes(self) -> Sequence[Route]:
        return self._routes

    def error(self, status: int, message: str) -> Reply:
        code = CODES.get(status, "INTERNAL_SERVER_ERROR")
        return json_reply({"code": code, "message": message, "issues": [{"message": message}]}, status)

    def state(self) -> dict[str, Any]:
        """The settings, the clock, and what there is: webhooks, contacts, the last 100 orders."""
        with self.lock:
            return {
                **msgspec.structs.asdict(self.now),
                "clock": self.clock.now(),
                "webhooks": dict(self.webhooks),
                "contacts": [contact.view(contact.profiles) for contact in self.contacts.values()],
                "orders": [self._told(order) for order in list(self.orders.values())[-100:]],
            }

    def configure(self, changes: Mapping[str, Any]) -> None:
        try:
            self.now = msgspec.convert({**msgspec.to_builtins(self.now), **changes}, State)
        except msgspec.ValidationError as exc:
            raise ValueError(str(exc)) from None

    def reset(self) -> None:
        with self.lock:
            self.close()
            self._fresh()

    def close(self) -> None:
        self._outgoing.close()

    def actions(self) -> Mapping[str, Callable[..., Any]]:
        found = (self.pay, self.processing, self.cancel, self.complete, self.expire, self.set_status, self.refund)
        cards = (self.forget_card, self.forward, self.add_webhook)
        hooks = (self.notify, self.forge, self.disturb, self.restart, self.wait, self.deliveries)
        return {action.__name__: action for action in (*found, *cards, *hooks)}

    # What a buyer and the merchant do.

    def pay(
        self,
        order: str,
        amount: int | None = None,
        method: str = "LIGHTNING",
        keep_card: bool = True,  # noqa: FBT001, FBT002 - named in a call over HTTP
        discount: int = 0,
    ) -> dict[str, Any]:
        """A buyer pays: what is under way is confirmed, or all that is due or `amount` arrives. Smallest units."""
        with self.lock:
            found = self._find(order)
            pending = [transaction for transaction in found.transactions if transaction.status == "PENDING"]
            before = found.shown()
            if pending and amount is None:
                for transaction in pending:
                    transaction.status = "CONFIRMED"
            else:
                self._open(found)
                found.discount = discount or found.discount
                due = max(0, found.wanted - found.sum("CONFIRMED")) or found.wanted
                self._add(found, due if amount is None else amount, method, "CONFIRMED")
            if keep_card and any(t.method == "CARD" and t.status == "CONFIRMED" for t in found.transactions):
                self._keep_card(found)
            return self._settled(found, before)

    def processing(self, order: str, amount: int | None = None, method: str = "BITCOIN") -> dict[str, Any]:
        """A payment is seen that is not final: a later `pay` confirms it, `cancel` undoes it."""
        with self.lock:
            found = self._find(order)
            self._open(found)
            before = found.shown()
            self._add(found, found.wanted if amount is None else amount, method, "PENDING")
            return self._settled(found, before)

    def cancel(self, order: str) -> dict[str, Any]:
        """What is not final never becomes so."""
        with self.lock:
            found = self._find(order)
            before = found.shown()
            for transaction in found.transactions:
                if transaction.status == "PENDING":
                    transaction.status = "CANCELED"
            return self._settled(found, before)

    def complete(self, order: str) -> dict[str, Any]:
        """The merchant closes the order."""
        return self.set_status(order, "COMPLETE")

    def expire(self, order: str, status: str = "EXPIRED") -> dict[str, Any]:
        """The order's time is over now, and it says so; `forward` moves the clock, and says nothing."""
        with self.lock:
            found = self._find(order)
            found.expires = min(found.expires or self.clock.now(), self.clock.now())
            return self.set_status(order, status) if found.status == "PENDING" else self._told(found)

    def set_status(self, order: str, status: str) -> dict[str, Any]:
        """The order has any status, also a word that nobody knows."""
        with self.lock:
            found = self._find(order)
            before = found.shown()
            found.status = str(status)
            return self._changed(found, before)

    def refund(self, order: str) -> dict[str, Any]:
        """The merchant pays back at Stripe or by hand: Zaprite knows nothing of it, and says nothing."""
        with self.lock:
            found = self._find(order)
            found.refunded = found.sum("CONFIRMED")
            return {**self._told(found), "refunded": found.refunded}

    def forget_card(self, profile: str) -> None:
        """A saved card vanishes."""
        with self.lock:
            for contact in self.contacts.values():
                contact.profiles = [kept for kept in contact.profiles if kept.id != profile]

    # What happens to the service, and on the way to the webhooks.

    def forward(self, seconds: float) -> dict[str, Any]:
        """The clock moves forward: orders and cards expire."""
        self.clock.forward(seconds)
        return {"clock": self.clock.now()}

    def add_webhook(self, url: str) -> dict[str, Any]:
        """One more receiver, beside `webhook_url`."""
        with self.lock:
            ident = new_id("wh")
            self.webhooks[ident] = url
            return {"id": ident, "url": url}

    def notify(self, order: str) -> None:
        """Tell of the order as it is now, once more."""
        with self.lock:
            self._tell(self._find(order))

    def forge(
        self, order: str, status: str = "PAID", fields: Mapping[str, Any] | None = None, body: str | None = None
    ) -> list[dict[str, Any]]:
        """A webhook Zaprite never sent: says `status` of any order. Answers with what was said to it."""
        with self.lock:
            known = self.orders.get(order)
            external = known.external if known else None
            made = {"event": EVENT, "data": {"id": order, "status": status, "externalUniqId": external}}
            raw = json.dumps({**made, **(fields or {})}).encode() if body is None else body.encode()
            urls = self._urls()
        tried = [(url, self._post(url, raw)) for url in urls]
        return [{"url": url, "status": attempt.status, "error": attempt.error} for url, attempt in tried]

    def disturb(self, way: str, times: int = 1, seconds: float = 1.0) -> dict[str, Any]:
        """What goes wrong with the next webhooks: drop, duplicate, reorder or delay."""
        return self._outgoing.disturb(way, times=times, seconds=seconds)

    def restart(self) -> None:
        """Webhooks that wait are lost."""
        self._outgoing.restart()

    def wait(self, seconds: float = 10.0) -> None:
        """Until every webhook is sent."""
        self._outgoing.wait(seconds)

    def deliveries(self) -> list[dict[str, Any]]:
        """All webhooks so far, oldest first, with what was sent."""
        return list(self._sent)

    # For the API.

    def status(self, order: Order) -> str:
        """The status a read shows: nobody is told when an order's time is over."""
        over = order.expires is not None and order.expires <= self.clock.now()
        return self.now.expired_status if over and order.status == "PENDING" else order.status

    def add(self, order: Order) -> None:
        if len(self.orders) >= MAX_ORDERS:
            raise ValueError(f"the sandbox keeps {MAX_ORDERS} orders: reset it")
        self.orders[order.id] = order

    def profile(self, ident: str) -> Profile | None:
        kept = (profile for contact in self.contacts.values() for profile in contact.profiles)
        return next((profile for profile in kept if profile.id == ident), None)

    def seen(self, contact: Contact) -> list[Profile]:
        """What this read of the contact shows; a new card is shown after `profile_reads` reads without it."""
        shown = [profile for profile in contact.profiles if profile.unseen == 0]
        for profile in contact.profiles:
            profile.unseen = max(0, profile.unseen - 1)
        return shown

    def _find(self, order: str) -> Order:
        if order not in self.orders:
            raise ValueError(f"zaprite has no order {order!r}")
        return self.orders[order]

    def _open(self, order: Order) -> None:
        """Raises ValueError when the order can no longer be paid: its time is over and nothing is under way."""
        over = order.expires is not None and order.expires <= self.clock.now()
        if over and all(transaction.status == "CANCELED" for transaction in order.transactions):
            raise ValueError("the order has expired and cannot be paid")

    def _add(self, order: Order, amount: int, method: str, status: str) -> None:
        if type(amount) is not int or amount <= 0 or method not in METHODS:
            raise ValueError(f"amount is a whole number from 1, method one of {', '.join(METHODS)}")
        order.transactions.append(Transaction(amount, order.currency, method, status, self.clock.now()))

    def _keep_card(self, order: Order) -> None:
        contact = self.contacts.get(order.contact or "")
        if contact is None or not order.asked.get("allowSavePaymentProfile"):
            return
        if all(profile.order is not order for profile in contact.profiles):
            expires = self.clock.now() + CARD_SECONDS
            contact.profiles.append(Profile(new_id("pp"), order, expires, self.now.profile_reads))

    def _settled(self, order: Order, before: dict[str, Any]) -> dict[str, Any]:
        order.settle(self.clock.now())
        return self._changed(order, before)

    def _changed(self, order: Order, before: dict[str, Any]) -> dict[str, Any]:
        order.before, order.updated = before, self.clock.now()
        if order.status != before["status"]:
            self._tell(order)
        return self._told(order)

    def _told(self, order: Order) -> dict[str, Any]:
        paid = {"paid": order.sum("CONFIRMED"), "total": order.total, "currency": order.currency}
        return {"id": order.id, "externalUniqId": order.external, "status": self.status(order), **paid}

    def _urls(self) -> list[str]:
        return [*([self.now.webhook_url] if self.now.webhook_url else []), *self.webhooks.values()]

    def _tell(self, order: Order) -> None:
        body: dict[str, Any] = {"eventType": EVENT, "orderId": order.id, "orgId": self.now.org_id}
        if self.now.shape == "B":
            data = {"id": order.id, "status": order.status, "externalUniqId": order.external}
            body = {"event": EVENT, "data": data}
        raw = json.dumps(body).encode()
        for url in self._urls():
            self._outgoing.send(url, Parcel(EVENT, lambda _number, url=url: self._deliver(url, body, raw)))  # type: ignore[misc]

    def _deliver(self, url: str, body: dict[str, Any], raw: bytes) -> None:
        attempt = self._post(url, raw)
        self._sent.append({"url": url, "status": attempt.status, "error": attempt.error, "request": body})

    def _post(self, url: str, raw: bytes) -> Attempt:
        headers = {"content-type": "application/json", "user-agent": "Zaprite-Webhooks/1.0"}
        return post(url, raw, headers, TIMEOUT_SECONDS)
