"""Zaprite's API under `/v1`: orders, contacts, charges, webhooks; and the page where an order is paid."""

from __future__ import annotations

import hmac
import html
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from relay.testing.sandbox.btcpay_keys import page
from relay.testing.sandbox.problems import answering
from relay.testing.sandbox.service import Call, Refusal, Reply, Route, json_reply
from relay.testing.sandbox.zaprite_orders import Contact, Order, iso, new_id

if TYPE_CHECKING:
    from relay.testing.sandbox.zaprite import Zaprite

CODES = (
    "AED ARS AUD BGN BHD BRL CAD CHF CLP CNY COP CZK DKK EUR GBP HKD HUF IDR ILS INR ISK JPY KES KRW KWD MXN MYR NGN "
    "NOK NZD PEN PHP PLN RON SAR SEK SGD THB TRY TWD UAH USD VND ZAR BTC LBTC"
)
CURRENCIES = frozenset(CODES.split())
MOST_PER_PAGE = 100
MAX_PAIRS = 50
MAX_VALUE = 1000
ECHOED = ("label", "customCheckoutId", "metadata", "customerData", "contactId")
WRONG = {
    "wrong_amount": ("totalAmount", 1),
    "wrong_currency": ("currency", "XMR"),
    "wrong_id": ("id", "od_somebodyelse"),
    "wrong_order": ("externalUniqId", "some-other-order"),
    "wrong_org": ("orgId", "org_other"),
    "unknown_status": ("status", "REFUNDED_PARTIAL"),
    "foreign_checkout": ("checkoutUrl", "https://pay.zaprite.com.evil.example/order/1"),
}


class Api:
    def __init__(self, zaprite: Zaprite) -> None:
        self._zaprite = zaprite

    def routes(self) -> Sequence[Route]:
        keyed = [
            Route("create", "POST", "/v1/orders", self.create),
            Route("charge", "POST", "/v1/orders/charge", self.charge),
            Route("orders", "GET", "/v1/orders", self.orders),
            Route("order", "GET", "/v1/orders/{id}", self.order),
            Route("contact_create", "POST", "/v1/contacts", self.contact_create),
            Route("contacts", "GET", "/v1/contacts", self.contacts),
            Route("contact", "GET", "/v1/contacts/{id}", self.contact),
            Route("webhook_create", "POST", "/v1/webhooks", self.webhook_create),
            Route("webhooks", "GET", "/v1/webhooks", self.webhooks),
        ]
        found = [Route(route.name, route.method, route.pattern, self._keyed(route.handler)) for route in keyed]
        pages = [
            Route("checkout", "GET", "/order/{id}", self.checkout),
            Route("pay", "POST", "/order/{id}", self.pay),
        ]
        return [*found, *pages]

    def create(self, call: Call) -> Reply:
        zaprite, asked = self._zaprite, _object(call)
        amount, currency = asked.get("amount"), asked.get("currency")
        if type(amount) is not int or amount < 0:
            raise Refusal(400, "amount: expected a whole number of the smallest unit")
        if currency not in CURRENCIES:
            raise Refusal(400, f"currency: {currency!r} is not a currency")
        _check_metadata(asked.get("metadata"))
        contact = asked.get("contactId")
        if asked.get("allowSavePaymentProfile") and not contact:
            raise Refusal(400, "contactId is required when allowSavePaymentProfile is true")
        if contact and contact not in zaprite.contacts:
            raise Refusal(404, "Contact not found")
        now, closed = zaprite.clock.now(), zaprite.now.protected
        external = None if asked.get("externalUniqId") is None else str(asked["externalUniqId"])
        ident = new_id("odp" if closed else "od")
        order = Order(ident, amount, str(currency), external, _moment(asked.get("expiresAt")), now, asked, updated=now)
        order.access = secrets.token_hex(8) if closed else ""
        zaprite.add(order)
        return json_reply(self.view(call, order), zaprite.now.created_status)

    def order(self, call: Call) -> Reply:
        return json_reply(self.view(call, self._find(call.params["id"])))

    def orders(self, call: Call) -> Reply:
        query, zaprite = call.query, self._zaprite
        number, limit = _whole(query, "page", 1), _whole(query, "limit", 25)
        if number < 1 or not 1 <= limit <= MOST_PER_PAGE:
            raise Refusal(400, f"page is a number from 1, limit from 1 to {MOST_PER_PAGE}")
        status, text = query.get("status"), query.get("search", "")
        pending = query.get("includePending") == "true" or status == "PENDING"
        chosen = [
            order
            for order in zaprite.orders.values()
            if (pending or zaprite.status(order) != "PENDING")
            and (not status or zaprite.status(order) == status)
            and (not text or text in (order.id, order.external, order.asked.get("label")))
        ]
        by = "updated" if query.get("sortBy") == "updatedAt" else "created"
        chosen.sort(key=lambda order: float(getattr(order, by)), reverse=query.get("sortOrder", "desc") != "asc")
        items = [self.view(call, order) for order in chosen[(number - 1) * limit : number * limit]]
        meta = {"pagesCount": -(-len(chosen) // limit), "itemsCount": len(chosen)}
        return json_reply({"items": items, "meta": meta})

    def charge(self, call: Call) -> Reply:
        zaprite, asked = self._zaprite, _object(call)
        order = zaprite.orders.get(str(asked.get("orderId")))
        profile = zaprite.profile(str(asked.get("paymentProfileId")))
        if order is None or profile is None:
            raise Refusal(404, "Order not found" if order is None else "Payment profile not found")
        if zaprite.status(order) != "PENDING" or profile.expires <= zaprite.clock.now():
            raise Refusal(
                400, "The order cannot be charged" if profile.expires > zaprite.clock.now() else "Card expired"
            )
        if call.has_fault("declined"):
            raise Refusal(402, "Your card was declined.")
        if call.has_fault("charge_processing"):
            zaprite.processing(order.id, method="CARD")
        else:
            zaprite.pay(order.id, method="CARD", keep_card=False)
        return json_reply(self.view(call, order))

    def contact_create(self, call: Call) -> Reply:
        asked, zaprite = _object(call), self._zaprite
        email, name = asked.get("email"), asked.get("legalName")
        if not isinstance(email, str) or "@" not in email or not isinstance(name, str) or not name:
            raise Refusal(400, "email and legalName are required")
        known = [contact for contact in zaprite.contacts.values() if contact.email == email]
        if known and zaprite.now.same_email == "refuse":
            raise Refusal(400, "A contact with this email exists already")
        contact = known[0] if known and zaprite.now.same_email == "same" else Contact(new_id("ct"), email, name)
        zaprite.contacts[contact.id] = contact
        return json_reply(contact.view([]), zaprite.now.created_status)

    def contact(self, call: Call) -> Reply:
        contact = self._zaprite.contacts.get(call.params["id"])
        if contact is None:
            raise Refusal(404, "Contact not found")
        return json_reply(contact.view(self._zaprite.seen(contact)))

    def contacts(self, call: Call) -> Reply:
        text = call.query.get("contactSearch", "").lower()
        found = [c for c in self._zaprite.contacts.values() if text in c.email.lower() or text in c.name.lower()]
        number = max(1, _whole(call.query, "page", 1))
        items = [contact.view([]) for contact in found[(number - 1) * MOST_PER_PAGE : number * MOST_PER_PAGE]]
        meta = {"pagesCount": -(-len(found) // MOST_PER_PAGE), "itemsCount": len(found)}
        return json_reply({"items": items, "meta": meta})

    def webhook_create(self, call: Call) -> Reply:
        url = str(_object(call).get("url", ""))
        if not urlsplit(url).netloc:
            raise Refusal(400, "url: expected a URL")
        ident = self._zaprite.add_webhook(url)["id"]
        return json_reply({"id": ident, "url": url}, self._zaprite.now.created_status)

    def webhooks(self, _call: Call) -> Reply:
        items = [{"id": ident, "url": url} for ident, url in self._zaprite.webhooks.items()]
        return json_reply({"items": items, "meta": {"pagesCount": 1, "itemsCount": len(items)}})

    def checkout(self, call: Call) -> Reply:
        with self._zaprite.lock:
            order = self._open(call)
            status = self._zaprite.status(order)
            text = f"<h1>{order.wanted} {html.escape(order.currency)} (smallest unit)</h1><p>{html.escape(status)}</p>"
        if status == "PENDING":
            text += '<form method="post"><button>Test payment</button></form>'
        return page(str(order.asked.get("label") or "Checkout"), text)

    def pay(self, call: Call) -> Reply:
        """The button of the page: a test payment, then back to the shop."""
        with self._zaprite.lock:
            order = self._open(call)
            try:
                self._zaprite.pay(order.id)
            except ValueError as exc:
                raise Refusal(400, str(exc)) from None
        back = str(order.asked.get("redirectUrl") or "")
        joint = "&" if urlsplit(back).query else "?"
        return Reply(303, b"", {"location": f"{back}{joint}orderId={order.id}" if back else call.path})

    def view(self, call: Call, order: Order) -> dict[str, Any]:
        """An order as a read shows it."""
        now, asked = self._zaprite.now, order.asked
        access = f"?access={order.access}" if order.access else ""
        view: dict[str, Any] = {
            "id": order.id,
            "orgId": now.org_id,
            "orderType": "CHECKOUT",
            "externalUniqId": order.external,
            "checkoutUrl": f"{now.checkout.replace('{url}', call.base_url)}/order/{order.id}{access}",
            "currency": order.currency,
            "expiresAt": iso(order.expires),
            "createdAt": iso(order.created),
            **{name: asked.get(name) for name in ECHOED},
            **order.shown(),
            "status": self._zaprite.status(order),
        }
        if contact := self._zaprite.contacts.get(order.contact or ""):
            view["contact"] = {"id": contact.id, "displayName": contact.name, "legalName": contact.name}
        if call.has_fault("stale"):
            view.update(order.before)
        total = order.wanted if now.discount_in_total else order.total
        if now.amount_field != "none":
            view[now.amount_field] = total
        if call.fault is not None and call.fault.name in WRONG:
            name, instead = WRONG[call.fault.name]
            name = now.amount_field if name == "totalAmount" else name
            view[name] = call.option("value", instead)
        return view

    def _keyed(self, handler: Callable[[Call], Reply]) -> Callable[[Call], Reply]:
        """Checks the key, and lets one call at a time change things."""
        answer = answering(handler)

        def asked(call: Call) -> Reply:
            given = call.bearer() or ""
            if not hmac.compare_digest(given.encode(), self._zaprite.now.api_key.encode()):
                raise Refusal(401, "Invalid API key")
            with self._zaprite.lock:
                return answer(call)

        return asked

    def _find(self, ident: str) -> Order:
        """By Zaprite's id or by the shop's. Raises Refusal(404)."""
        found = self._zaprite.orders.get(ident)
        if found is None:
            same = [order for order in self._zaprite.orders.values() if order.external == ident]
            if not same:
                raise Refusal(404, "Order not found")
            found = same[0 if self._zaprite.now.twin == "first" else -1]
        return found

    def _open(self, call: Call) -> Order:
        found = self._zaprite.orders.get(call.params["id"])
        if found is None or call.query.get("access", "") != found.access:
            raise Refusal(404, "Order not found")
        return found


def _object(call: Call) -> dict[str, Any]:
    body = call.json()
    if not isinstance(body, dict):
        raise Refusal(400, "expected an object")
    return body


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "") or str(default)
    if not text.isascii() or not text.isdigit():
        raise Refusal(400, f"{name}: expected a whole number")
    return int(text)


def _moment(value: Any) -> float | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise Refusal(400, "expiresAt: expected a time such as 2026-09-01T12:30:00Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _check_metadata(value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, dict) or len(value) > MAX_PAIRS:
        raise Refusal(400, f"metadata: expected an object with up to {MAX_PAIRS} pairs")
    if not all(isinstance(text, str) and len(text) <= MAX_VALUE for text in value.values()):
        raise Refusal(400, f"metadata: expected texts of up to {MAX_VALUE} characters")
