"""`GET /admin/dashboard`: how the house stands, for the first tab and for whoever watches it."""

from __future__ import annotations

import falcon

from relay.http.answers import answer
from relay.services.core import Core
from relay.services.overview import overview


class OverviewPage:
    def __init__(self, core: Core) -> None:
        self._core = core

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        answer(resp, {"ok": True, **overview(self._core)})
