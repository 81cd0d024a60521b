"""The table [plugins.btcpay]."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`url`: where the relay reaches BTCPay, with its path if it has one; empty: the rail is off. `public_url`: where
    buyers and the operator's browser reach it; empty: `url`. `store_id`, `api_key` and `webhook_secret` may come from
    the connect wizard instead; what stands here wins.

    `speed_policy`: confirmations before a payment counts: 1, 2 or 6. BTCPay also has HighSpeed, which sells on a
    transaction that can still be taken back, so it is not offered. `monitoring_minutes`: how long after its end an
    invoice is still watched there.
    """

    url: str = ""
    public_url: str = ""
    store_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = ""
    api_key: str = ""
    webhook_secret: str = ""
    speed_policy: Literal["MediumSpeed", "LowMediumSpeed", "LowSpeed"] = "MediumSpeed"
    monitoring_minutes: Annotated[int, Meta(ge=60, le=43200)] = 1440

    def __post_init__(self) -> None:
        for name, url in (("url", self.url), ("public_url", self.public_url)):
            if url:
                _check(name, url)

    @property
    def base(self) -> str:
        return self.url.rstrip("/")

    @property
    def public(self) -> str:
        return (self.public_url or self.url).rstrip("/")


def _check(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        plain = parts.scheme in {"http", "https"} and parts.hostname and not (parts.query or parts.fragment)
        plain = plain and parts.port != 0 and "@" not in parts.netloc and not any(c.isspace() for c in url)
    except ValueError:
        plain = False
    if not plain:
        raise ValueError(f"{name} must be a plain address like https://btcpay.example, with a path at most")
