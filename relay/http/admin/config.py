"""`GET /admin/config`: what the relay runs with, and from where, without a secret."""

from __future__ import annotations

import falcon

from relay.http.answers import answer
from relay.services.config_view import config_view
from relay.services.core import Core


class AdminConfig:
    def __init__(self, core: Core) -> None:
        self._core = core

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        view = config_view(self._core.config, self._core.settings_book, self._core.outside)
        answer(resp, {"ok": True} | view)
