"""Caller keys: a caller makes `rk_…` keys for its apps, and each is the account it was made for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from relay.api import AuthStrategy, Space, hookimpl, read_settings
from relay_api_key.strategy import ApiKeys


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to set."""


class Plugin:
    def __init__(self, table: Mapping[str, Any]) -> None:
        read_settings(table, Settings)
        self._keys = ApiKeys()

    @hookimpl
    def relay_auth_strategies(self) -> list[AuthStrategy]:
        return [self._keys]

    @hookimpl
    def relay_attach(self, space: Space) -> None:
        self._keys.attach(space)
