"""A Zaprite on loopback that remembers orders and contacts, and the rail set up for it."""

import threading
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from relay_zaprite import Plugin

from relay.api import Money, Purchase
from relay.books.spaces import PluginSpace
from relay.ports.storage import COLLECTIONS, STREAMS
from relay.tables import Table
from relay.testing.memory import MemoryStorage
from relay.testing.sandbox.box import sandbox
from relay.testing.sandbox.zaprite import Zaprite as SandboxZaprite
from tests.loopback import Server, json_reply

KEY = "zaprite-key-0123456789"


class Zaprite(Server):
    """Answers as it should, except where `says` has another answer for a method and path."""

    def __init__(self):
        super().__init__(self._answer)
        self.says = {}
        self.orders = {}  # id to order, oldest first
        self.contacts = {}
        self.shown = {}  # merged into every order that is shown
        self._lock = threading.Lock()

    def _answer(self, request):
        url = urlsplit(request.path)
        with self._lock:
            if (said := self.says.get(f"{request.method} {url.path}")) is not None:
                return said(request) if callable(said) else said
            if request.headers.get("authorization") != f"Bearer {KEY}":
                return refusal(401, "UNAUTHORIZED", "Invalid API key")
            head, _, tail = unquote(url.path).removeprefix("/v1/").partition("/")
            usual = {"orders": self._orders, "contacts": self._contacts}[head]
            return usual(request, tail, parse_qs(url.query))

    def _orders(self, request, tail, query):
        if request.method == "GET" and tail:
            return self._shown(next((o for o in self.orders.values() if tail in {o["id"], o["externalUniqId"]}), None))
        if request.method == "GET":
            page, limit = int(query["page"][0]), int(query["limit"][0])
            newest = list(self.orders.values())[::-1]
            items = [{**order, **self.shown} for order in newest[(page - 1) * limit : page * limit]]
            return json_reply({"items": items, "meta": {"pagesCount": -(-len(newest) // limit), "itemsCount": 1}})
        wish = request.json()
        if tail == "charge":
            return self._shown(self.orders.get(wish["orderId"]))
        if wish.get("allowSavePaymentProfile") and wish.get("contactId") not in self.contacts:
            return refusal(400, "BAD_REQUEST", "contactId is required")
        return self._shown(self.add(**wish), 201)

    def _contacts(self, request, tail, query):
        if request.method == "GET":
            found = self.contacts.get(tail)
            return json_reply(found) if found else refusal(404, "NOT_FOUND", "Contact not found")
        contact = {"id": f"ct_{len(self.contacts)}", **request.json(), "paymentProfiles": []}
        self.contacts[contact["id"]] = contact
        return json_reply(contact, 201)

    def _shown(self, order, status=200):
        return refusal(404, "NOT_FOUND", "Order not found") if order is None else json_reply(order | self.shown, status)

    def add(self, amount=1000, currency="USD", externalUniqId="ord_1", **more):  # noqa: N803 - theirs
        """An order as the service keeps it; settings of a wish that it does not echo are dropped."""
        key = f"od_{len(self.orders)}"
        self.orders[key] = {
            "id": key,
            "checkoutUrl": f"https://pay.zaprite.com/order/{key}",
            "status": "PENDING",
            "totalAmount": amount,
            "currency": currency,
            "orgId": "org_1",
            "externalUniqId": externalUniqId,
            "expiresAt": "2026-09-01T12:30:00.000Z",
            "createdAt": "2026-09-01T12:00:00.000Z",
            "paidAt": None,
            "transactions": [],
            **{name: value for name, value in more.items() if name not in {"redirectUrl", "customerData", "label"}},
        }
        return self.orders[key]

    def asked(self, method, path):
        return [request for request in self.requests if (request.method, urlsplit(request.path).path) == (method, path)]


def refusal(status, code, message):
    return json_reply({"code": code, "message": message, "issues": [{"message": message}]}, status)


class Clock:
    def __init__(self):
        self.now = datetime(2026, 9, 1, 12, 5, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def zaprite():
    with Zaprite() as server:
        yield server


@pytest.fixture
def rail_for(tmp_path, clock):
    """A rail with these settings and a private space of its own."""
    storage = MemoryStorage()
    storage.open(tmp_path, COLLECTIONS, STREAMS)
    made = []

    def make(url, clock=clock, **settings):
        plugin = Plugin(Table({"base_url": url, "api_key": KEY, **settings}, "plugins.zaprite"))
        plugin.relay_attach(PluginSpace(storage, "zaprite"))
        (rail,) = plugin.relay_rails()
        rail._clock = clock
        made.append(rail)
        return rail

    yield make
    for rail in made:
        rail.close()
    storage.close()


@pytest.fixture
def rail(zaprite, rail_for):
    return rail_for(zaprite.url)


@pytest.fixture
def purchase():
    def make(units=1000, currency="USD", order_id="ord_1", **more):
        title, back = "Relay credits", "https://relay.example/pay/t0ken"
        return Purchase(order_id, Money(units, currency), title, back, 30, **more)

    return make


@pytest.fixture
def box():
    """The sandbox with its Zaprite, which keeps its own clock."""
    with sandbox([SandboxZaprite()]) as box:
        yield box
