"""Zaprite's orders: what they hold and what a read of one shows. No HTTP and no clock."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from relay.testing.sandbox.btcpay_invoices import RATES

METHODS = {"LIGHTNING": "lnd", "BITCOIN": "xpub", "LIQUID": "liquid", "CARD": "stripe", "CASH": "cash"}
"""A transaction's method and its pluginSlug."""
BITCOIN = ("LIGHTNING", "BITCOIN", "LIQUID")
PAID = ("PAID", "COMPLETE", "OVERPAID")
SATS = 100_000_000


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(9)}"


def iso(moment: float | None) -> str | None:
    """As Zaprite writes a time: UTC with milliseconds."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class Transaction:
    """`amount` in the order's smallest unit. `status`: PENDING, CONFIRMED or CANCELED."""

    amount: int
    currency: str
    method: str
    status: str
    created: float
    id: str = field(default_factory=lambda: new_id("tx"))

    def view(self) -> dict[str, Any]:
        paid, unit = self.amount, self.currency
        if self.method in BITCOIN and unit not in ("BTC", "LBTC"):
            cents = 1 if unit == "JPY" else 100
            paid, unit = round(self.amount * SATS / cents / float(RATES.get(unit, RATES["USD"]))), "BTC"
        return {
            "id": self.id,
            "amount": paid,
            "currency": unit,
            "method": self.method,
            "pluginSlug": METHODS[self.method],
            "status": self.status,
            "amountInOrderCurrency": self.amount,
            "orderCurrency": self.currency,
            "externalRef": f"ref_{self.id}",
            "createdAt": iso(self.created),
        }


@dataclass(slots=True)
class Order:
    """`total` in the smallest unit. `discount`: below 0 it is a premium. `before`: what a read showed earlier."""

    id: str
    total: int
    currency: str
    external: str | None
    expires: float | None
    created: float
    asked: dict[str, Any]
    access: str = ""
    status: str = "PENDING"
    paid_at: float | None = None
    updated: float = 0.0
    discount: int = 0
    refunded: int = 0
    transactions: list[Transaction] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)

    @property
    def contact(self) -> str | None:
        return self.asked.get("contactId")

    @property
    def wanted(self) -> int:
        """What the buyer has to pay."""
        return self.total - self.discount

    def sum(self, status: str) -> int:
        return sum(transaction.amount for transaction in self.transactions if transaction.status == status)

    def settle(self, now: float) -> None:
        """The status that follows from the transactions."""
        confirmed = self.sum("CONFIRMED")
        if confirmed >= self.wanted:
            self.status = "OVERPAID" if confirmed > self.wanted else "PAID"
            self.paid_at = self.paid_at or now
        elif self.sum("PENDING"):
            self.status = "PROCESSING"
        else:
            self.status = "UNDERPAID" if confirmed else "PENDING"

    def shown(self) -> dict[str, Any]:
        """The part of a read that changes."""
        paid = self.status in PAID
        return {
            "status": self.status,
            "updatedAt": iso(self.updated),
            "paidAt": iso(self.paid_at),
            "receiptPdfUrl": f"https://pay.zaprite.com/receipt/{self.id}.pdf" if paid else None,
            "appliedDiscount": self.discount or None,
            "transactions": [transaction.view() for transaction in self.transactions],
        }


@dataclass(slots=True)
class Profile:
    """A card that was kept. `unseen`: how many reads of its contact do not show it yet."""

    id: str
    order: Order
    expires: float
    unseen: int

    def view(self) -> dict[str, Any]:
        source = {"id": self.order.id, "externalUniqId": self.order.external}
        return {"id": self.id, "method": "CARD", "expiresAt": iso(self.expires), "sourceOrder": source}


@dataclass(slots=True)
class Contact:
    id: str
    email: str
    name: str
    profiles: list[Profile] = field(default_factory=list)

    def view(self, profiles: list[Profile]) -> dict[str, Any]:
        shown = [profile.view() for profile in profiles]
        return {"id": self.id, "email": self.email, "legalName": self.name, "paymentProfiles": shown}
