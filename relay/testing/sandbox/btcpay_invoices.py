"""BTCPay's invoices: what they hold and how their status moves. No HTTP and no clock: the caller says what time it is.

The rules are those of BTCPay Server 2.4 (`InvoiceWatcher`): a status follows from the payments and the time.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, ROUND_UP, Decimal, InvalidOperation
from typing import Any

CONFIRMATIONS = {"HighSpeed": 0, "MediumSpeed": 1, "LowMediumSpeed": 2, "LowSpeed": 6}
RATES = {
    "BTC": "1",
    "SATS": "100000000",
    "USD": "65000",
    "EUR": "60000",
    "GBP": "52000",
    "CHF": "58000",
    "JPY": "9750000",
}
"""Units of the currency for one bitcoin. Others are unknown."""
DIGITS = {"BTC": 8, "SATS": 0, "JPY": 0}
METHODS = ("BTC-CHAIN", "BTC-LN", "BTC-LNURL")
CHAIN = "BTC-CHAIN"
DUST = Decimal("0.00000546")
OVER = Decimal("0.000001")
"""In bitcoin: what is paid above the price up to this is no overpayment."""
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

Emit = Callable[..., None]
"""`emit(type, **extra fields)`: an event."""


def new_id(length: int = 22) -> str:
    """Random, of the letters BTCPay uses."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def rounded(amount: Decimal, currency: str) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-DIGITS.get(currency, 2)), ROUND_HALF_UP)


def decimal(value: Any) -> Decimal:
    """Of a text or a number. Raises ValueError."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is not an amount") from None
    if isinstance(value, bool) or not number.is_finite():
        raise ValueError(f"{value!r} is not an amount")
    return number


def plain(number: Decimal) -> str:
    """Without an exponent."""
    return f"{number:f}"


@dataclass(slots=True)
class Payment:
    """`amount` in the invoice's currency, `value` in bitcoin. `status`: Processing, Settled or Invalid."""

    id: str
    method: str
    amount: Decimal
    value: Decimal
    received: float
    destination: str
    confirmations: int
    rbf: bool
    status: str = "Processing"

    def view(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "receivedDate": int(self.received),
            "value": plain(self.value),
            "fee": "0",
            "status": self.status,
            "destination": self.destination,
        }


@dataclass(slots=True)
class Invoice:
    """`top_up`: settled by any payment; `amount` is None until then. `tolerance`: how many percent may be missing.

    `before`: what a read showed before the last change of the status, for a read that comes too early.
    """

    id: str
    store: str
    amount: Decimal | None
    currency: str
    created: float
    expires: float
    monitored: float
    speed: str
    tolerance: Decimal
    methods: tuple[str, ...]
    metadata: dict[str, Any]
    checkout: dict[str, Any]
    receipt: dict[str, Any]
    terms: tuple[str, ...] = ()
    status: str = "New"
    additional: str = "None"
    archived: bool = False
    payments: list[Payment] = field(default_factory=list)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    top_up: bool = False

    @property
    def type(self) -> str:
        return "TopUp" if self.top_up else "Standard"

    @property
    def rate(self) -> Decimal:
        return Decimal(RATES[self.currency])

    @property
    def paid(self) -> Decimal:
        """Everything that arrived and was not replaced, confirmed or not, in the invoice's currency."""
        return sum((payment.amount for payment in self.payments if payment.status != "Invalid"), Decimal(0))

    @property
    def confirmed(self) -> Decimal:
        return sum((payment.amount for payment in self.payments if payment.status == "Settled"), Decimal(0))

    @property
    def least(self) -> Decimal:
        """What must be paid, at least."""
        if self.amount is None:
            return Decimal(1).scaleb(-18)
        return self.amount * (100 - self.tolerance) / 100

    @property
    def over(self) -> bool:
        return self.amount is not None and (self.paid - self.amount) / self.rate > OVER

    def due(self) -> Decimal:
        return max(Decimal(0), (self.amount or Decimal(0)) - self.paid)

    def markable(self) -> list[str]:
        """Which status a person may set now."""
        if self.status == "Settled":
            return ["Invalid"] if self.additional == "Marked" else []
        return ["Settled"] if self.status == "Invalid" else ["Settled", "Invalid"]

    def shown(self) -> dict[str, Any]:
        """The part of a read that changes."""
        amount = self.amount
        if amount is None:
            late = self.status == "Expired"
            amount = Decimal(0) if late else rounded(self.paid, self.currency)
        return {
            "amount": plain(amount),
            "paidAmount": plain(rounded(self.paid, self.currency)),
            "status": self.status,
            "additionalStatus": self.additional,
            "availableStatusesForManualMarking": self.markable(),
        }

    def needed(self, payment: Payment) -> int:
        """Confirmations until the payment counts as settled."""
        if payment.method != CHAIN:
            return 0
        asked = CONFIRMATIONS[self.speed]
        return max(asked, 1) if payment.rbf else asked


def receive(invoice: Invoice, payment: Payment, now: float, emit: Emit) -> None:
    """Money arrives. Nothing is seen after the end of monitoring."""
    if now >= invoice.monitored:
        return
    invoice.payments.append(payment)
    told = {"afterExpiration": now >= invoice.expires, "paymentMethodId": payment.method}
    status = "Settled" if payment.confirmations >= invoice.needed(payment) else "Processing"
    emit("InvoiceReceivedPayment", **told, payment={**payment.view(), "status": status})
    _confirm(invoice, payment, now, emit)


def confirm(invoice: Invoice, blocks: int, now: float, emit: Emit) -> None:
    """So many blocks are found on top of every payment."""
    for payment in invoice.payments:
        payment.confirmations += blocks
        _confirm(invoice, payment, now, emit)


def _confirm(invoice: Invoice, payment: Payment, now: float, emit: Emit) -> None:
    if payment.status != "Processing" or payment.confirmations < invoice.needed(payment) or now >= invoice.monitored:
        return
    payment.status = "Settled"
    told = {"afterExpiration": payment.received >= invoice.expires, "paymentMethodId": payment.method}
    emit("InvoicePaymentSettled", **told, payment=payment.view())


def update(invoice: Invoice, now: float, emit: Emit, shown: dict[str, Any] | None = None) -> None:
    """Bring the status up to the payments and the time. `shown`: what a read showed before, if the payments changed."""
    before, status, additional = shown or invoice.shown(), invoice.status, invoice.additional
    _expire(invoice, now, emit)
    if invoice.status in ("New", "Expired"):
        _count(invoice, emit)
    if invoice.status == "Processing":
        _settle(invoice, now, emit)
    if (invoice.status, invoice.additional) != (status, additional):
        invoice.before = before


def _expire(invoice: Invoice, now: float, emit: Emit) -> None:
    if invoice.status != "New" or now < invoice.expires:
        return
    in_time = [payment for payment in invoice.payments if payment.received < invoice.expires]
    if sum((p.amount for p in in_time if p.status != "Invalid"), Decimal(0)) >= invoice.least:
        return
    invoice.status = "Expired"
    partial = invoice.additional == "PaidPartial"
    emit("InvoiceExpired", partiallyPaid=partial)
    if partial:
        emit("InvoiceExpiredPaidPartial")


def _count(invoice: Invoice, emit: Emit) -> None:
    """New or Expired: is it enough by now?"""
    if invoice.paid >= invoice.least:
        if invoice.status == "New":
            invoice.status = "Processing"
            invoice.additional = "PaidOver" if invoice.over else "None"
            emit("InvoiceProcessing", overPaid=invoice.over)
        elif invoice.additional != "PaidLate":
            invoice.additional = "PaidLate"
            emit("InvoicePaidAfterExpiration")
    elif invoice.paid > 0 and invoice.additional != "PaidPartial":
        invoice.additional = "PaidPartial"
        if invoice.status == "Expired":
            emit("InvoiceExpiredPaidPartial")
    elif invoice.paid == 0 and invoice.additional == "PaidPartial":
        invoice.additional = "None"


def _settle(invoice: Invoice, now: float, emit: Emit) -> None:
    """Processing: back to New when a payment was replaced, on to Settled when all is confirmed."""
    if invoice.paid < invoice.least:
        invoice.status = "New"
        invoice.additional = "PaidPartial" if invoice.paid > 0 else "None"
        _expire(invoice, now, emit)
        return
    invoice.additional = "PaidOver" if invoice.over else "None"
    if invoice.confirmed >= invoice.least:
        invoice.status = "Settled"
        if invoice.amount is None:
            invoice.amount = rounded(invoice.paid, invoice.currency)
        emit("InvoiceSettled", manuallyMarked=False, overPaid=invoice.over)
    elif now >= invoice.monitored:
        invoice.status = "Invalid"
        emit("InvoiceInvalid", manuallyMarked=False)


def mark(invoice: Invoice, status: str, emit: Emit) -> None:
    """A person sets the status. Raises ValueError when that is not possible now."""
    if status not in invoice.markable():
        raise ValueError(f"Invoice with status {invoice.status} cannot be marked as {status}")
    invoice.before = invoice.shown()
    over = invoice.additional == "PaidOver"
    invoice.status, invoice.additional = status, "Marked"
    if status == "Settled":
        emit("InvoiceSettled", manuallyMarked=True, overPaid=over)
    else:
        emit("InvoiceInvalid", manuallyMarked=True)


def payment_of(invoice: Invoice, amount: Decimal, method: str, now: float, confirmations: int, *, rbf: bool) -> Payment:
    """A payment of so much in the invoice's currency: in whole satoshis on the chain, in millisatoshis off it."""
    digits = 8 if method == CHAIN else 11
    value = (amount / invoice.rate).quantize(Decimal(1).scaleb(-digits), ROUND_UP)
    name = secrets.token_hex(32)
    ident = f"{name}-0" if method == CHAIN else name
    return Payment(ident, method, amount, value, now, destination(invoice, method), confirmations, rbf)


def destination(invoice: Invoice, method: str) -> str:
    """The address or the lightning invoice; the same on every read."""
    return f"bcrt1q{invoice.id.lower()}" if method == CHAIN else f"lnbcrt1{invoice.id.lower()}"


def method_view(invoice: Invoice, method: str, *, accounted: bool) -> dict[str, Any]:
    """One entry of `payment-methods`, in bitcoin. `accounted`: without replaced payments."""
    own = [payment for payment in invoice.payments if payment.method == method]
    here = sum((payment.value for payment in own if payment.status != "Invalid"), Decimal(0))
    total = sum((payment.value for payment in invoice.payments if payment.status != "Invalid"), Decimal(0))
    asked = ((invoice.amount or Decimal(0)) / invoice.rate).quantize(Decimal("0.00000001"), ROUND_UP)
    where = destination(invoice, method)
    return {
        "paymentMethodId": method,
        "currency": "BTC",
        "destination": where,
        "paymentLink": f"{'bitcoin' if method == CHAIN else 'lightning'}:{where}",
        "rate": plain(invoice.rate),
        "paymentMethodPaid": plain(here),
        "totalPaid": plain(total),
        "due": plain(asked - total),
        "amount": plain(asked),
        "paymentMethodFee": "0",
        "payments": [payment.view() for payment in own if payment.status != "Invalid" or not accounted],
        "activated": True,
        "additionalData": {},
    }


def available(amount: Decimal | None, currency: str, asked: tuple[str, ...]) -> tuple[str, ...]:
    """The methods this price can be paid with: too little for the chain's dust limit leaves lightning."""
    if amount == 0:
        return ()
    small = amount is not None and amount / Decimal(RATES[currency]) < DUST
    return tuple(method for method in asked if not (small and method == CHAIN))


def read_metadata(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
