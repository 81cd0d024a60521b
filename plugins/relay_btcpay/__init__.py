"""BTCPay Server: sells for Bitcoin and Lightning through the operator's own store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.api import ConfigError, Rail, Space, hookimpl, read_settings
from relay_btcpay.rail import BTCPayRail
from relay_btcpay.settings import Settings


class Plugin:
    def __init__(self, table: Mapping[str, Any]) -> None:
        where = getattr(table, "path", "plugins.btcpay")
        settings = read_settings(table, Settings)
        try:
            self._rail = BTCPayRail(settings, where)
        except ValueError as exc:
            raise ConfigError(f"{where}: url or api_key: {exc}") from None

    @hookimpl
    def relay_rails(self) -> list[Rail]:
        return [self._rail]

    @hookimpl
    def relay_attach(self, space: Space) -> None:
        self._rail.attach(space)
