"""Zaprite: hosted checkout for cards and Bitcoin. It has no refunds, no cancelling and no signed webhooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from relay.api import (
    Delivery,
    Health,
    Notice,
    PluginError,
    Purchase,
    RailFailed,
    RailOutcomeUnknown,
    Snapshot,
    Space,
)
from relay_zaprite.cards import Contacts, card_is_gone, kept_card
from relay_zaprite.client import Client
from relay_zaprite.orders import read_order, wire_currency
from relay_zaprite.settings import Settings
from relay_zaprite.webhook import read_webhook

log = structlog.get_logger("relay.zaprite")

MAX_PAGES = 50
HEALTH_SECONDS = 4.0
LABEL_CHARACTERS = 200
REFUSED = frozenset({400, 404, 422})


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
        self._client = Client(settings, where)
        self._contacts = Contacts(self._client)

    def attach(self, space: Space) -> None:
        self._contacts.space = space

    def off(self) -> str | None:
        return self._client.off()

    def dedup_key(self, invoice_id: str) -> str:
        return f"zaprite:{invoice_id}"

    def read_webhook(self, delivery: Delivery) -> Notice:
        return read_webhook(delivery, self._settings.webhook_token)

    def create_checkout(self, purchase: Purchase) -> Snapshot:
        """One order. With `save_card` and an email the buyer may keep the card; where Zaprite refuses that, the order
        is made without the offer."""
        if purchase.amount.units <= 0:
            raise RailFailed("an order of nothing cannot be sold through Zaprite")
        wish, secrets = self._wish(purchase), (purchase.email,) if purchase.email else ()
        if purchase.save_card and purchase.email and (contact := self._contacts.contact_for(purchase.email)):
            offer = {**wish, "contactId": contact, "allowSavePaymentProfile": True}
            status, said = self._client.post("/v1/orders", offer, secrets)
            if status not in REFUSED:
                made = self._created(status, said)
                return replace(made, contact=made.contact or contact)
            log.warning("zaprite_card_not_offered", status=status, note="the order is made without keeping a card")
            self._contacts.refused(purchase.email, contact)
        return self._created(*self._client.post("/v1/orders", wish, secrets))

    def fetch(self, invoice_id: str) -> Snapshot | None:
        said = self._client.order(invoice_id)
        return None if said is None else self._order(said)

    def find(self, order_id: str) -> Snapshot | None:
        """Zaprite takes our id in place of its own."""
        snapshot = self.fetch(order_id)
        if snapshot is not None and snapshot.order_id != order_id:
            raise self._client.unusable("GET", "it shows another order than was asked for")
        return snapshot

    def list_recent(self, since: datetime) -> Iterator[Snapshot]:
        """Settled orders made since then. Those still open are asked for too: a payment would otherwise move the
        pages while they are read."""
        seen: set[str] = set()
        for page in range(1, MAX_PAGES + 1):
            items, pages = self._client.orders(page)
            known = len(seen)
            for snapshot in map(self._read, items):
                if snapshot is None or snapshot.invoice_id in seen:
                    continue
                if snapshot.created_at is not None and snapshot.created_at < since:
                    return
                seen.add(snapshot.invoice_id)
                if snapshot.status == "settled":
                    yield snapshot
            if len(seen) == known or page == pages:
                return
        log.warning("zaprite_list_cut", pages=MAX_PAGES, note="older orders were not looked through")

    def saved_card(self, contact: str, order_id: str) -> str | None:
        said = self._client.contact(contact) if contact else None
        return None if said is None else kept_card(said, order_id, self._clock())

    def charge(self, invoice_id: str, card: str) -> Snapshot:
        """Whatever Zaprite answers, the order itself says what came of it. RailFailed with the code `card_declined`
        or `card_gone`: this order was not paid."""
        charge = {"orderId": invoice_id, "paymentProfileId": card}
        status, said = self._client.post("/v1/orders/charge", charge, (card,))
        try:
            snapshot = self.fetch(invoice_id)
        except PluginError as exc:
            raise unclear() from exc
        if snapshot is None:
            raise unclear() if status < 300 else RailFailed("Zaprite has no such order, so no card was charged")
        if status < 300 or snapshot.status in {"settled", "processing"}:
            return snapshot
        if card_is_gone(status, said):
            raise RailFailed("the kept card is not there any more; pay with the link", code="card_gone")
        raise RailFailed("the card was declined; pay with the link or with another card", code="card_declined")

    def health(self) -> Health:
        try:
            items, _ = self._client.orders(1, limit=1, timeout=HEALTH_SECONDS)
        except PluginError as exc:
            return Health(ok=False, detail=exc.message)
        newest = self._read(items[0]) if items else None
        if newest is not None and self.store not in {"", newest.store}:
            return Health(ok=False, detail=f"{self._where}.org_id: the key is of another organisation, {newest.store}")
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

    def _order(self, said: Any) -> Snapshot:
        snapshot = self._read(said)
        if snapshot is None:
            raise self._client.unusable("GET", "it shows no order")
        return snapshot

    def _read(self, said: Any) -> Snapshot | None:
        return read_order(said, self._settings, self._clock()) if isinstance(said, dict) else None


def unclear() -> RailOutcomeUnknown:
    return RailOutcomeUnknown("whether the card was charged is not known; the relay looks at the order later")
