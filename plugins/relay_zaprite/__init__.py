"""Zaprite: a hosted checkout for cards, Lightning and Bitcoin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.api import ConfigError, Rail, Space, hookimpl, read_settings
from relay_zaprite.rail import ZapriteRail
from relay_zaprite.settings import Settings


class Plugin:
    def __init__(self, table: Mapping[str, Any]) -> None:
        where = getattr(table, "path", "plugins.zaprite")
        settings = read_settings(table, Settings)
        try:
            self._rail = ZapriteRail(settings, where)
        except ValueError as exc:
            raise ConfigError(f"{where}: base_url or api_key: {exc}") from None

    @hookimpl
    def relay_attach(self, space: Space) -> None:
        self._rail.attach(space)

    @hookimpl
    def relay_rails(self) -> list[Rail]:
        return [self._rail]
