"""Money as whole numbers of a currency's smallest unit. Floats never meet it."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from msgspec import Struct

NO_DIGITS = frozenset("SATS BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split())  # noqa: SIM905
THREE_DIGITS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
MAX_DIGITS = 17
BITCOIN = frozenset({"BTC", "LBTC"})


class Money(Struct, frozen=True, order=False):
    """`units`: cents for USD, yen for JPY, satoshis for BTC and SATS alike (ISO 4217 exponents)."""

    units: int
    currency: str

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"

    @property
    def amount(self) -> str:
        """The plain decimal, `5.00`."""
        shift = digits(self.currency)
        return f"{Decimal(self.units).scaleb(-shift):.{shift}f}"


def digits(currency: str) -> int:
    """How many decimal places the currency has."""
    if currency in NO_DIGITS:
        return 0
    if currency in BITCOIN:
        return 8
    return 3 if currency in THREE_DIGITS else 2


def money(amount: str | int | Decimal, currency: str) -> Money:
    """`money("5.00", "USD")`. Raises ValueError for what is not exactly a number of units, or is no number."""
    if isinstance(amount, bool):
        raise ValueError("an amount must be a number")  # noqa: TRY004 - callers catch one error
    try:
        units = Decimal(amount).scaleb(digits(currency))
    except InvalidOperation:
        raise ValueError(f"{amount!r} is not an amount"[:80]) from None
    # The exponent is looked at before the number is written out, which could take for ever.
    if not units.is_finite() or units.adjusted() > MAX_DIGITS or units != units.to_integral_value():
        raise ValueError(f"{str(amount)[:40]} {currency} is not a whole number of the smallest unit")
    return Money(int(units), currency)
