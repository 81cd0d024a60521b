"""The table [plugins.keysat]."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from relay.api import ConfigError
from relay_keysat.pinned import PinnedKeys, read_pem


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """`products`: product UUID -> tier. `entitlements`: entitlement -> tier; the first that a licence has wins over its
    product's. `fingerprint`: this relay's, "" for one that is made once and kept."""

    public_keys: Annotated[tuple[str, ...], Meta(min_length=1)]
    products: Annotated[dict[str, str], Meta(min_length=1)]
    entitlements: dict[str, str] = {}
    grace_hours: Annotated[float, Meta(ge=0, le=8760)] = 0
    url: str = ""
    check_minutes: Annotated[float, Meta(ge=1, le=1440)] = 60
    max_stale_hours: Annotated[float, Meta(ge=0, le=8760)] = 72
    on_unreachable: Literal["offline", "deny"] = "offline"
    trust_server: bool = False
    send_fingerprint: bool = True
    fingerprint: Annotated[str, Meta(max_length=200)] = ""


def read_keys(settings: Settings, where: str) -> PinnedKeys:
    """Raises ConfigError naming the key that is none."""
    keys: list[bytes] = []
    for n, text in enumerate(settings.public_keys):
        try:
            keys.append(read_pem(text))
        except ValueError as exc:
            raise ConfigError(f"{where}.public_keys.{n}: {exc}") from None
    return PinnedKeys(keys)


def read_products(settings: Settings, where: str) -> dict[UUID, str]:
    """Product -> tier. Raises ConfigError naming what is no UUID, or is there twice."""
    products: dict[UUID, str] = {}
    for text, tier in settings.products.items():
        try:
            product = UUID(text)
        except ValueError:
            raise ConfigError(f"{where}.products.{text}: the name must be the UUID of a product") from None
        if product in products:
            raise ConfigError(f"{where}.products.{text}: this product is there twice")
        if not tier:
            raise ConfigError(f"{where}.products.{text}: name the tier that its licences get")
        products[product] = tier
    return products
