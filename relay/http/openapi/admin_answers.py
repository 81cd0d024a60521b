"""Shapes of the answers under `/admin/`: accounts, money, and who may come in."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from relay.domain.ledger import Entry
from relay.http.openapi.account_answers import Invoice
from relay.http.openapi.answers import Counts, Ok


class LoggedIn(Ok):
    """`csrf_token`: what everything that is not a GET sends as X-CSRF-Token."""

    authenticated: bool
    csrf_token: str
    expires_at: datetime
    version: str


class AdminStatus(Ok):
    """`scopes` for a scoped key, `csrf_token` and `expires_at` for a session."""

    authenticated: bool
    version: str
    csrf_token: str | UnsetType = UNSET
    expires_at: datetime | UnsetType = UNSET
    actor: str | UnsetType = UNSET
    scopes: list[str] | UnsetType = UNSET


class LoggedOut(Ok):
    authenticated: bool


class OpenSession(Struct):
    id: str
    current: bool
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime
    address: str


class SessionsAnswer(Ok):
    sessions: list[OpenSession]


class EndedAnswer(Ok):
    id: str


class AdminKey(Struct):
    id: str
    label: str
    role: str
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None
    created_by: str


class AdminKeysAnswer(Ok):
    keys: list[AdminKey]
    roles: dict[str, list[str]]


class AdminKeyMade(Ok):
    """`key`: shown this once."""

    id: str
    key: str
    role: str
    label: str
    scopes: list[str]


class AuditRow(Struct):
    id: str
    at: datetime
    actor: str
    action: str
    target: str
    before: Any
    after: Any
    reason: str
    address: str


class AuditAnswer(Ok):
    rows: list[AuditRow]
    next: str | None


# Accounts


class AccountRow(Struct):
    """Whole credits; null is unlimited. `used`: of the allowance of the present period."""

    credit_key: str
    type: Literal["cloud", "license", "install"]
    tier_snapshot: str
    remaining: int | None
    purchased: int
    total: int | None
    used: int
    capped: Counts
    gemini_remaining: int | None
    lifetime_consumed: int
    lifetime_gemini_consumed: int
    monthly_consumed: int
    monthly_gemini_consumed: int
    purchased_balance: int
    purchased_total_ever: int
    held: int
    owed: int
    blocked: bool
    subscription_expires_at: datetime | None
    created_at: datetime | None
    last_active_at: datetime | None


class AccountsAnswer(Ok):
    """`count_capped`: there are at least `count`."""

    count: int
    count_capped: bool
    rows: list[AccountRow]


class AccountAnswer(Ok):
    account: AccountRow


class DebitedAnswer(AccountAnswer, kw_only=True):
    debited: int


class MovedAnswer(AccountAnswer, kw_only=True):
    """`to`: the account that got them."""

    to: AccountRow
    moved: int


class ErasedAnswer(Ok):
    erased: bool


class WipedAnswer(Ok):
    wiped: dict[str, int]


class AccountHistory(Ok):
    entries: list[Entry]
    next: int | None


class GrantedAnswer(Ok):
    credit_key: str
    granted: int
    purchased_balance: int


# Money


class Payment(Invoice, kw_only=True):
    """An order with everything that is known of it. `review`: why a person must look."""

    credit_key: str
    title: str
    credits: int
    tier: str | None
    period_days: int | None
    code: str | None
    list_units: int
    email: str | None
    invoice_id: str | None
    word: str
    marked: bool
    paid_units: int | None
    review: dict[str, Any] | None
    reversed: int
    reversed_at: datetime | None
    owed: int
    ledger_entry: int | None
    checks: int
    answered_at: datetime | None
    next_check_at: datetime | None
    monitored_until: datetime | None


class PaymentAnswer(Ok):
    payment: Payment


class PaymentsAnswer(Ok):
    payments: list[Payment]
    next: int | None


class InboxRow(Struct):
    """One delivery of a payment service and what became of it."""

    id: str
    at: str
    rail: str
    event: str
    verdict: str


class InboxAnswer(Ok):
    deliveries: list[InboxRow]
    next: str | None


class ReconcileAnswer(Ok):
    """`ok` is false when a payment service could not be asked."""

    asked: int
    granted: int
    failed: int
    left: int


class RailConnection(Struct):
    connected: bool


class ConnectionAnswer(Ok):
    connection: RailConnection


class RedirectAnswer(Ok):
    """`redirect`: where the operator gives consent."""

    redirect: str


class StepAnswer(Ok):
    """`choose`: stores by id, when one must be chosen."""

    done: str | None
    choose: dict[str, str] | None


class DisconnectedAnswer(Ok):
    done: str


class CodeView(Struct):
    """`amount`: `value` as a decimal, where it is money."""

    code: str
    kind: str
    value: int
    amount: str | None
    currency: str | None
    max_uses: int | None
    used: int
    reserved: int
    over_used: int
    products: list[str]
    tiers: list[str]
    starts_at: datetime | None
    expires_at: datetime | None
    active: bool
    label: str
    created_at: datetime


class CodeAnswer(Ok):
    code: CodeView


class CodeDeleted(Ok):
    code: str


class CodesAnswer(Ok):
    count: int
    rows: list[CodeView]


class PackageRow(Struct):
    id: str
    credits: int
    price: str
    currency: str


class PackagesAnswer(Ok):
    packages: list[PackageRow]
    version: int


class LicenceVerdicts(Ok):
    """`enabled`: licences are checked online at all."""

    enabled: bool
    count: int
    verdicts: list[dict[str, Any]]


class AskedAgain(Ok):
    licence: str


class DeliveryRow(Struct):
    id: str
    kind: str
    reference: str
    url: str
    created_at: datetime
    due_at: datetime | None
    dead_at: datetime | None
    tries: int
    error: str | None


class DeliveryPage(Struct):
    count: int
    rows: list[DeliveryRow]


class CallbacksAnswer(Ok):
    """`pending`: to be sent. `dead`: given up."""

    pending: DeliveryPage
    dead: DeliveryPage
