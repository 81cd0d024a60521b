"""Discount codes: what one takes off a price, and whether it may be used."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Literal

from msgspec import Struct

from relay.domain.money import Money

Kind = Literal["percent", "fixed", "set_price", "free"]
Reason = Literal["unknown_code", "disabled", "expired", "not_yet", "wrong_product", "exhausted", "wrong_currency"]
WHOLE = 10_000
"""All of a price in basis points."""
MAX_TYPED = 200
"""Characters of what somebody typed that are looked at; a few of them can unfold into many."""
NAME = re.compile(r"[A-Za-z0-9_-]{3,40}")


class Code(Struct, omit_defaults=True, gc=False):
    """One code under its name. `used` and `reserved` count orders that are paid and that may still be.

    `value`: basis points for `percent` (2500 is a quarter), smallest units of `currency` for `fixed` (what is taken
    off) and `set_price` (what it then costs), nothing for `free`. `currency`: needed by those two; with one, the code
    is for prices in it only. `max_uses` None: no limit. `products`, `tiers`: ids of packages and names of tiers it is
    for; both empty: all. Valid from `starts_at` until before `expires_at`. `over_used`: paid after their reservation
    had been given back, when no use was left.
    """

    kind: Kind
    created_at: datetime
    value: int = 0
    currency: str = ""
    max_uses: int | None = None
    used: int = 0
    reserved: int = 0
    over_used: int = 0
    products: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    starts_at: datetime | None = None
    expires_at: datetime | None = None
    active: bool = True
    label: str = ""


class Redemption(Struct, omit_defaults=True, gc=False):
    """The use of a code by one order, under the order's id. `due_at`: when a reservation is given back."""

    code: str
    state: Literal["reserved", "redeemed", "cancelled"]
    created_at: datetime
    due_at: datetime | None = None


def normalised(typed: str) -> str | None:
    """The code that somebody means: letter case, spaces around it and the width of letters do not matter.

    None when no code can be meant. Letters that only look like ours (a Cyrillic A, a dotless i) are refused before
    upper case could make them ours.
    """
    name = unicodedata.normalize("NFKC", typed[:MAX_TYPED]).strip()
    return name.upper() if NAME.fullmatch(name) else None


def price_after(code: Code, price: Money) -> Money:
    """What is left to pay, never below 0 nor above `price`. What `percent` takes off is rounded down to whole units."""
    if code.kind == "free":
        units = 0
    elif code.kind == "percent":
        units = price.units - price.units * code.value // WHOLE
    elif code.kind == "fixed":
        units = price.units - code.value
    else:
        units = min(price.units, code.value)
    return Money(max(0, units), price.currency)


def refusal(code: Code, product: str, price: Money, now: datetime) -> Reason | None:
    """Why the code cannot be used for `product` now; None when it can. `product`: `package:<id>` or `tier:<name>`."""
    if not code.active:
        return "disabled"
    if code.expires_at is not None and now >= code.expires_at:
        return "expired"
    if code.starts_at is not None and now < code.starts_at:
        return "not_yet"
    if not covers(code, product):
        return "wrong_product"
    if code.currency and code.currency != price.currency:
        return "wrong_currency"
    return None if has_room(code) else "exhausted"


def covers(code: Code, product: str) -> bool:
    """Is it for this product? A renewal is of the tier it renews."""
    if not code.products and not code.tiers:
        return True
    kind, _, name = product.partition(":")
    return name in (code.products if kind == "package" else code.tiers)


def has_room(code: Code) -> bool:
    """Is there a use left that nobody has reserved?"""
    return code.max_uses is None or code.used + code.reserved < code.max_uses


def gives_all(code: Code) -> bool:
    """Does it make some price 0 whatever that price is?"""
    return (
        code.kind == "free"
        or (code.kind == "percent" and code.value == WHOLE)
        or (code.kind == "set_price" and code.value == 0)
    )
