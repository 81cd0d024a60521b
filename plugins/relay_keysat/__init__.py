"""Licences sold with Keysat: the key itself is the identity, verified here, and online where a server is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from relay.api import AuthStrategy, ConfigError, Space, hookimpl, read_settings
from relay_keysat.rules import Rules
from relay_keysat.server import LicenceServer
from relay_keysat.settings import Settings, read_keys, read_products
from relay_keysat.strategy import Keysat, utcnow


class Plugin:
    def __init__(self, table: Mapping[str, Any], clock: Callable[[], datetime] = utcnow) -> None:
        where = getattr(table, "path", "plugins.keysat")
        settings = read_settings(table, Settings)
        pinned, products = read_keys(settings, where), read_products(settings, where)
        try:
            server = LicenceServer(settings.url) if settings.url else None
        except ValueError as exc:
            raise ConfigError(f"{where}.url: {exc}") from None
        self._strategy = Keysat(
            Rules(settings, products, pinned.names),
            pinned,
            server,
            fingerprint=settings.fingerprint.strip(),
            send_fingerprint=settings.send_fingerprint,
            clock=clock,
        )

    @hookimpl
    def relay_auth_strategies(self) -> list[AuthStrategy]:
        return [self._strategy]

    @hookimpl
    def relay_attach(self, space: Space) -> None:
        self._strategy.attach(space)
