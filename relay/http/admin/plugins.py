"""`GET /admin/plugins`: every plugin, and how it is."""

from __future__ import annotations

import falcon

from relay.http.answers import answer
from relay.services.core import Core
from relay.services.plugins_view import PluginsView
from relay.services.secrecy import known_secrets


class AdminPlugins:
    def __init__(self, core: Core) -> None:
        secrets = known_secrets(core.config.raw)
        self._view = PluginsView(core.registry, core.storage, core.infer.breaker, core.till.checks, secrets)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`?check=1` asks every service now, all at once, for at most three seconds."""
        ask = req.get_param("check") in {"1", "true"}
        answer(resp, {"ok": True, "plugins": self._view.rows(ask=ask)})
