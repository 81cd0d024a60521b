"""Zaprite: hosted checkout for cards and Bitcoin. It has no refunds, no cancelling and no signed webhooks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import structlog

from relay.api import (
    Delivery,
    Health,
    Notice,
    PluginError,
    Purchase,
    RailClient,
    RailFailed,
    RailOutcomeUnknown,
    RailUnavailable,
    Snapshot,
    Space,
)
from relay_zaprite.cards import Contacts, contact_path, kept_card
from relay_zaprite.orders import id_like, read_order, wire_currency
from relay_zaprite.settings import Settings
from relay_zaprite.webhook import read_webhook

log = structlog.get_logger("relay.zaprite")

PAGE = 100
MAX_PAGES = 50
HEALTH_SECONDS = 4.0
LABEL_CHARACTERS = 200


def utcnow() -> datetime:
    return datetime.now(UTC)


class ZapriteRail:
    """`where`: the path of the settings table, for messages. Raises ValueError for an address or a key that cannot
    work."""

    name = "zaprite"
    id_field = "orderId"

    def __init__(self, settings: Settings, where: str, clock: Callable[[], datetime] = utcnow) -> None:
        self.currencies = frozenset(settings.currencies) or None
        self.store = settings.org_id
        self._settings = settings
        self._where = where
        self._clock = clock
        key = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        self._client = RailClient(settings.base_url, name="Zaprite", headers=key)
        self._contacts = Contacts(self._client)

    def attach(self, space: Space) -> None:
        self._contacts.space = space

    def off(self) -> str | None:
        if self._settings.api_key:
            return None
        return f"{self._where}.api_key is not set; make a key at Zaprite under Settings, API"

    def dedup_key(self, invoice_id: str) -> str:
        return f"zaprite:{invoice_id}"

    def read_webhook(self, delivery: Delivery) -> Notice:
        return read_webhook(delivery, self._settings.webhook_token)

    def create_checkout(self, purchase: Purchase) -> Snapshot:
        """One order. With `save_card` and an email the buyer may keep the card; where Zaprite refuses that, the order
        is made without the offer."""
        self._ready()
        if purchase.amount.units <= 0:
            raise RailFailed("an order of nothing cannot be sold through Zaprite")
        wish = self._wish(purchase)
        contact = self._contacts.contact_for(purchase.email) if purchase.save_card and purchase.email else None
        if contact is not None and purchase.email is not None:
            offer = {**wish, "contactId": contact, "allowSavePaymentProfile": True}
            status, said = self._client.ask("POST", "/v1/orders", json=offer)
            if status not in {400, 404, 422}:
                return self._created(status, said)
            log.warning("zaprite_card_not_offered", status=status, note="the order is made without keeping a card")
            self._contacts.check(purchase.email, contact)
        return self._created(*self._client.ask("POST", "/v1/orders", json=wish))

    def fetch(self, invoice_id: str) -> Snapshot | None:
        said = self._get(order_path(invoice_id))
        return None if said is None else self._order(said)

    def find(self, order_id: str) -> Snapshot | None:
        """Zaprite takes our id in place of its own."""
        said = self._get(order_path(order_id))
        if said is None:
            return None
        snapshot = self._order(said)
        if snapshot.order_id != order_id:
            raise self._client.unusable("GET", "it shows another order than was asked for")
        return snapshot

    def list_recent(self, since: datetime) -> Iterator[Snapshot]:
        """Settled orders made since then. Those that are open are asked for too: a payment would otherwise move the
        pages while they are read."""
        seen: set[str] = set()
        for page in range(1, MAX_PAGES + 1):
            items = self._page(page)
            snapshots = [self._read(item) for item in items]
            for snapshot in snapshots:
                if snapshot is None or snapshot.invoice_id in seen:
                    continue
                if snapshot.created_at is not None and snapshot.created_at < since:
                    return
                seen.add(snapshot.invoice_id)
                if snapshot.status == "settled":
                    yield snapshot
            if len(items) < PAGE:
                return
        log.warning("zaprite_list_cut", pages=MAX_PAGES, note="older orders were not looked through")

    def saved_card(self, contact: str, order_id: str) -> str | None:
        said = self._get(contact_path(contact)) if contact else None
        if said is None:
            return None
        if not isinstance(said, dict):
            raise self._client.unusable("GET", "it shows no contact")
        return kept_card(said, order_id, self._clock())

    def charge(self, invoice_id: str, card: str) -> Snapshot:
        """Whatever Zaprite answers, the order itself says what came of it. RailFailed with the code `card_declined`
        or `card_gone`: this order was not paid."""
        self._ready()
        status, said = self._client.ask(
            "POST", "/v1/orders/charge", json={"orderId": invoice_id, "paymentProfileId": card}, secrets=[card]
        )
        self._key_works(status)
        try:
            snapshot = self.fetch(invoice_id)
        except PluginError as exc:
            raise RailOutcomeUnknown(
                "whether the card was charged is not known; the relay looks at the order later"
            ) from exc
        if status < 300 and snapshot is None:
            raise RailOutcomeUnknown("a card was charged for an order that Zaprite does not show")
        if snapshot is not None and (status < 300 or snapshot.status in {"settled", "processing"}):
            return snapshot
        if card_is_gone(status, said):
            raise RailFailed("the kept card is not there any more; pay with the link", code="card_gone")
        raise RailFailed("the card was declined; pay with the link or with another card", code="card_declined")

    def health(self) -> Health:
        if reason := self.off():
            return Health(ok=False, detail=reason)
        try:
            status, said = self._client.ask("GET", "/v1/orders", params={"limit": "1"}, timeout=HEALTH_SECONDS)
            self._key_works(status)
        except PluginError as exc:
            return Health(ok=False, detail=exc.message)
        if status >= 300 or not isinstance(said, dict):
            return Health(ok=False, detail=f"{self._where}.base_url: Zaprite's list of orders is not there ({status})")
        first = next((self._read(item) for item in _items(said) or ()), None)
        if first is not None and self.store not in {"", first.store}:
            return Health(ok=False, detail=f"{self._where}.org_id: the key is of another organisation, {first.store}")
        return Health(ok=True)

    def close(self) -> None:
        self._client.close()

    def _wish(self, purchase: Purchase) -> dict[str, Any]:
        amount = purchase.amount
        expires_at = self._clock() + timedelta(minutes=purchase.minutes)
        wish: dict[str, Any] = {
            "amount": amount.units,
            "currency": wire_currency(amount.currency),
            "externalUniqId": purchase.order_id,
            "redirectUrl": purchase.return_url,
            "expiresAt": expires_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "label": purchase.title[:LABEL_CHARACTERS],
            "metadata": {"order": purchase.order_id, "currency": amount.currency},
        }
        if purchase.email:
            wish["customerData"] = {"email": purchase.email}
        if self._settings.custom_checkout_id:
            wish["customCheckoutId"] = self._settings.custom_checkout_id
        return wish

    def _created(self, status: int, said: Any) -> Snapshot:
        self._key_works(status)
        if status >= 300:
            raise RailFailed("Zaprite refused this order; the operator finds its reason in the log")
        snapshot = self._read(said)
        if snapshot is None:
            raise self._client.unusable("POST", "it shows no order")
        if self.store not in {"", snapshot.store}:
            raise RailFailed(f"the Zaprite key is of another organisation; the operator must set {self._where}.org_id")
        if not snapshot.checkout_url:
            raise RailFailed("Zaprite sent a checkout link that does not lead to Zaprite, so nobody is sent there")
        return snapshot

    def _get(self, path: str) -> Any:
        """None: it is not there, for certain."""
        self._ready()
        status, said = self._client.ask("GET", path)
        if status == 404:
            return None
        self._key_works(status)
        if status >= 300:
            raise self._client.unusable("GET", f"it answered {status}")
        return said

    def _page(self, number: int) -> list[Any]:
        query = {"page": str(number), "limit": str(PAGE), "sortBy": "createdAt", "sortOrder": "desc"}
        self._ready()
        status, said = self._client.ask("GET", "/v1/orders", params={**query, "includePending": "true"})
        self._key_works(status)
        items = _items(said)
        if status >= 300 or items is None:
            raise self._client.unusable("GET", "it shows no list of orders")
        return items

    def _order(self, said: Any) -> Snapshot:
        snapshot = self._read(said)
        if snapshot is None:
            raise self._client.unusable("GET", "it shows no order")
        return snapshot

    def _read(self, said: Any) -> Snapshot | None:
        return read_order(said, self._settings, self._clock()) if isinstance(said, dict) else None

    def _ready(self) -> None:
        if reason := self.off():
            raise RailUnavailable(reason)

    def _key_works(self, status: int) -> None:
        if status in {401, 403}:
            raise RailUnavailable(f"Zaprite does not accept the key; the operator must renew {self._where}.api_key")


def order_path(order_id: str) -> str:
    return f"/v1/orders/{quote(order_id, safe='')}"


def card_is_gone(status: int, said: Any) -> bool:
    """A refusal that is about the card's being kept, not about its paying. Zaprite does not document the two."""
    if status == 402:
        return False
    text = str(said.get("message") or "") if isinstance(said, dict) else ""
    return status == 404 or bool(re.search(r"payment ?profile", text, re.I) and not re.search("declin", text, re.I))


def _items(said: Any) -> list[Any] | None:
    items = said.get("items") if isinstance(said, dict) else None
    return items if isinstance(items, list) else None
