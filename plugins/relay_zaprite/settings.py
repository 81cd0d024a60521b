"""The table [plugins.zaprite]."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from relay_zaprite.words import UNPAID

Text = Annotated[str, Meta(min_length=1, max_length=200)]
Token = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._~-]{1,200}\Z")]
"""It is a part of a URL's path."""
Currency = Annotated[str, Meta(pattern="^[A-Z]{3,5}$")]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`org_id` empty: not checked. `paid_statuses`: Zaprite's words that count as paid. `amount_fields`: where an
    order says what it asks, the first that is there counts. `currencies` empty: whatever Zaprite takes.
    """

    base_url: str = "https://api.zaprite.com"
    api_key: str | None = None
    org_id: str = ""
    webhook_token: Token | None = None
    custom_checkout_id: str = ""
    paid_statuses: Annotated[tuple[Text, ...], Meta(min_length=1)] = ("PAID", "COMPLETE", "OVERPAID")
    amount_fields: Annotated[tuple[Text, ...], Meta(min_length=1)] = ("totalAmount", "amount")
    currencies: tuple[Currency, ...] = ()

    def __post_init__(self) -> None:
        if wrong := sorted(UNPAID & set(self.paid_statuses)):
            raise ValueError(f"paid_statuses must not hold {wrong[0]}, which Zaprite says of orders that are not paid")
