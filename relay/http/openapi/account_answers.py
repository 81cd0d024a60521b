"""Shapes of the answers about credits, keys, users and buying."""

from __future__ import annotations

from datetime import datetime

from msgspec import UNSET, Struct, UnsetType

from relay.domain.ledger import Entry
from relay.domain.orders import Kind, State
from relay.http.openapi.answers import Credits, Ok, OnSale, OwnCredits


class CreditsAnswer(Ok):
    credits: OwnCredits


class HistoryAnswer(Ok):
    entries: list[Entry]
    next: int | None


class KeyMade(Ok):
    """`key`: the secret, shown this once."""

    id: str
    key: str
    label: str


class KeyRotated(KeyMade, kw_only=True):
    previous_until: datetime | None


class KeyView(Struct):
    id: str
    label: str
    created_at: datetime
    rotated_at: datetime | None
    last_used_at: datetime | None
    previous_until: datetime | None


class KeysAnswer(Ok):
    keys: list[KeyView]


class Deleted(Ok):
    id: str


class User(Struct):
    user_id: str
    credit_key: str
    tier: str
    subscription_expires_at: datetime | None
    credits: Credits


class UserAnswer(Ok):
    user: User


# Money


class SoldPackage(OnSale, kw_only=True):
    rails: list[str]


class PackagesAnswer(Ok):
    packages: list[SoldPackage]
    rails: list[str]


class Invoice(Struct):
    """`amount`: a decimal. `rail` is null when a code made it free."""

    id: str
    rail: str | None
    kind: Kind
    product: str
    status: State
    fulfilled: bool
    amount: str
    currency: str
    checkout_url: str | None
    created_at: datetime
    expires_at: datetime | None
    fulfilled_at: datetime | None


class NewInvoice(Invoice, kw_only=True):
    """`pay_url`: the relay's own page about this payment."""

    pay_url: str


class InvoiceAnswer(Ok):
    invoice: Invoice


class NewInvoiceAnswer(Ok):
    invoice: NewInvoice


class InvoicesAnswer(Ok):
    invoices: list[Invoice]
    next: str | None


class SubscriptionView(Struct):
    tier: str
    rail: str
    state: str
    paid_until: datetime | None
    card: bool
    renewal_order: str | None
    attempts: int


class SubscriptionAnswer(Ok):
    subscription: SubscriptionView


class Discount(Struct):
    """`amount`: what is left to pay; `list_amount`: without the code. Decimals."""

    amount: str
    currency: str
    list_amount: str


class DiscountAnswer(Ok):
    discount: Discount


class WebhookAnswer(Ok):
    """With the rail's own name for the payment's id. `ignored`: why nothing was done."""

    ignored: str | UnsetType = UNSET
