"""An order as Zaprite shows it, read into a Snapshot. Nothing is trusted to be there, or to be what it should."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from relay.api import Money, Snapshot
from relay_zaprite.settings import Settings
from relay_zaprite.words import status_of

MAX_ID = 128
MAX_UNITS = 2**53
ZAPRITE = "zaprite.com"


def read_order(order: Mapping[str, Any], settings: Settings, now: datetime) -> Snapshot | None:
    """None: without an id or a status it is no order."""
    invoice_id, word = id_like(order.get("id")), order.get("status")
    if invoice_id is None or not isinstance(word, str) or not word:
        return None
    expires_at = instant(order.get("expiresAt"))
    currency = _currency(order)
    return Snapshot(
        invoice_id=invoice_id,
        order_id=_text(order.get("externalUniqId")) or None,
        status=status_of(word, expires_at, now, settings.paid_statuses),
        word=word[:64],
        amount=_asked(order, settings.amount_fields, currency),
        paid=_received(order, currency),
        store=_text(order.get("orgId")) or settings.org_id,
        checkout_url=checkout_url(order.get("checkoutUrl"), settings.base_url),
        over=word == "OVERPAID",
        created_at=instant(order.get("createdAt")),
        expires_at=expires_at,
        monitored_until=expires_at,
        contact=_text(_object(order.get("contact")).get("id")) or _text(order.get("contactId")),
    )


def wire_currency(currency: str) -> str:
    """What Zaprite calls it: satoshis are the smallest unit of BTC there."""
    return "BTC" if currency == "SATS" else currency


def id_like(value: Any) -> str | None:
    """The value if it can be an id: text that fits into one part of a path."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID or value in {".", ".."}:
        return None
    return value if value.isprintable() and not set(value) & set("/ ") else None


def checkout_url(value: Any, base_url: str) -> str:
    """The link a buyer may be sent to, whole; "" for any other.

    https on zaprite.com or a sub-domain; or the very server of `base_url`, for tests against another one.
    """
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or set(value) & set(' "<>\\'):
        return ""
    try:
        url, own = urlsplit(value), urlsplit(base_url)
        place = (url.scheme, url.hostname, url.port)
        ours = (own.scheme, own.hostname, own.port)
    except ValueError:
        return ""
    host = url.hostname or ""
    theirs = url.scheme == "https" and (host == ZAPRITE or host.endswith(f".{ZAPRITE}"))
    return value if host and "@" not in url.netloc and (theirs or place == ours) else ""


def instant(value: Any) -> datetime | None:
    """ISO 8601, as UTC when it names no zone."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        return None


def _currency(order: Mapping[str, Any]) -> str:
    """In our word. Zaprite knows BTC only; whether we had said SATS or BTC is in what we gave along, and both count
    satoshis."""
    currency = _text(order.get("currency"))
    if currency == "BTC" and _object(order.get("metadata")).get("currency") != "BTC":
        return "SATS"
    return currency


def _asked(order: Mapping[str, Any], fields: tuple[str, ...], currency: str) -> Money | None:
    for field in fields:
        if (value := order.get(field)) is not None:
            return _money(value, currency)
    return None


def _received(order: Mapping[str, Any], currency: str) -> Money | None:
    """The sum of what is CONFIRMED, in the order's currency; None when it cannot be told."""
    transactions = order.get("transactions")
    if not isinstance(transactions, list) or not transactions:
        return None
    total = 0
    for transaction in map(_object, transactions):
        if transaction.get("status") != "CONFIRMED":
            continue
        said = _text(transaction.get("orderCurrency")) or order.get("currency")
        part = _money(transaction.get("amountInOrderCurrency"), currency)
        if part is None or said != order.get("currency"):
            return None
        total += part.units
    return _money(total, currency)


def _money(units: Any, currency: str) -> Money | None:
    """A whole number of smallest units, or nothing: `true`, 10.5 and "1000" are no amounts."""
    if isinstance(units, bool) or not isinstance(units, int) or not 0 <= units <= MAX_UNITS or not currency:
        return None
    return Money(units, currency)


def _text(value: Any) -> str:
    return value[:MAX_ID] if isinstance(value, str) else ""


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
