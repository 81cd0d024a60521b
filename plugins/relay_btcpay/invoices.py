"""An invoice: what is asked for, and how BTCPay's answer reads in our words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from relay.api import Money, Purchase, RailFailed, Snapshot, Status, money
from relay_btcpay.settings import Settings

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
PLAIN_NUMBER = re.compile(r"\d{1,16}(?:\.\d{1,12})?", re.ASCII)
"""At most 28 digits, the precision of decimal arithmetic."""
TITLE_CHARACTERS = 200
LAST_SECOND = 253402300799  # of the year 9999

# The first word is `status`, legacy names included; `additionalStatus` decides where it is listed.
SIMPLE: dict[str, Status] = {"New": "pending", "Processing": "processing", "Paid": "processing", "Invalid": "invalid"}
SETTLED = frozenset({"Settled", "Complete", "Confirmed"})
SETTLED_MORE = frozenset({"", "None", "PaidOver", "Marked"})
EXPIRED: dict[str, Status] = {
    "": "expired",
    "None": "expired",
    "PaidPartial": "underpaid",
    "PaidLate": "late",
    "PaidOver": "late",
}
PREFERRED: tuple[Status, ...] = ("settled", "processing", "pending", "late", "underpaid", "unknown", "expired")
"""Of several invoices for one order, the one that says most about money."""


def is_id(text: object) -> bool:
    return isinstance(text, str) and ID.fullmatch(text) is not None


def wish(purchase: Purchase, settings: Settings) -> dict[str, Any]:
    """The body that creates an invoice. Raises RailFailed for an amount that must never reach BTCPay: without one it
    sells for any payment, and for 0 it counts as paid at once."""
    if purchase.amount.units <= 0:
        raise RailFailed("BTCPay is not asked for an amount of nothing")
    metadata: dict[str, Any] = {"orderId": purchase.order_id, "itemDesc": purchase.title[:TITLE_CHARACTERS]}
    if purchase.email:
        metadata["buyerEmail"] = purchase.email
    return {
        "amount": purchase.amount.amount,
        "currency": purchase.amount.currency,
        "metadata": metadata,
        "checkout": {
            "speedPolicy": settings.speed_policy,
            "expirationMinutes": purchase.minutes,
            "monitoringMinutes": settings.monitoring_minutes,
            # The store's own default could sell for less.
            "paymentTolerance": 0,
            "redirectURL": purchase.return_url,
            "redirectAutomatically": True,
        },
        "receipt": {"enabled": True},
    }


def read_invoice(said: Any, store: str, settings: Settings) -> Snapshot | None:
    """None: this is no invoice. A field that makes no sense counts as absent; without an amount nothing is granted."""
    if not isinstance(said, dict) or not is_id(said.get("id")) or not isinstance(said.get("status"), str):
        return None
    word, more = said["status"], text(said, "additionalStatus")
    currency = text(said, "currency").upper()
    metadata = said.get("metadata")
    invoice_id: str = said["id"]
    return Snapshot(
        invoice_id=invoice_id,
        order_id=(text(metadata, "orderId") if isinstance(metadata, dict) else "") or None,
        status=status_of(word, more),
        word=word if more in {"", "None"} else f"{word}/{more}",
        amount=_money(said.get("amount"), currency),
        store=text(said, "storeId") or store,
        checkout_url=checkout_url(said.get("checkoutLink"), invoice_id, settings),
        paid=_money(said.get("paidAmount"), currency),
        marked=more == "Marked",
        over=more == "PaidOver",
        created_at=_instant(said.get("createdTime")),
        expires_at=_instant(said.get("expirationTime")),
        monitored_until=_instant(said.get("monitoringExpiration")),
    )


def status_of(word: str, more: str) -> Status:
    """A pair that is not known here is `unknown`: it grants nothing and closes nothing."""
    if word in SETTLED:
        return "settled" if more in SETTLED_MORE else "unknown"
    if word == "Expired":
        return EXPIRED.get(more, "unknown")
    return SIMPLE.get(word, "unknown")


def checkout_url(link: object, invoice_id: str, settings: Settings) -> str:
    """BTCPay builds its link from the address it was called at. Buyers get the public one, with the link's own path."""
    default = f"{settings.public}/i/{invoice_id}"
    if not isinstance(link, str):
        return default
    try:
        parts = urlsplit(link)
    except ValueError:
        return default
    if parts.scheme not in {"http", "https"} or not parts.path.startswith("/"):
        return default
    path = parts.path
    for own in (urlsplit(settings.base).path, urlsplit(settings.public).path):
        if own and path.startswith(f"{own}/"):
            path = path.removeprefix(own)
            break
    return settings.public + path + (f"?{parts.query}" if parts.query else "")


def best(found: list[Snapshot]) -> Snapshot | None:
    """Of the invoices for one order: a live one before a dead one, then the newest, which comes first."""
    order = {status: rank for rank, status in enumerate(PREFERRED)}
    return min(found, key=lambda snapshot: order.get(snapshot.status, len(order)), default=None)


def _money(value: object, currency: str) -> Money | None:
    """Decimals come as strings, from old servers as numbers."""
    text = str(value)
    if isinstance(value, bool) or not currency or PLAIN_NUMBER.fullmatch(text) is None:
        return None
    try:
        return money(text, currency)
    except ValueError:
        return None


def _instant(value: object) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LAST_SECOND:
        return None
    return datetime.fromtimestamp(value, UTC)


def text(doc: dict[str, Any], name: str) -> str:
    value = doc.get(name)
    return value if isinstance(value, str) else ""
