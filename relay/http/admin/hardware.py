"""`GET /admin/hardware-queue`: what each backend works on, who waits for it, and how well it is."""

from __future__ import annotations

import falcon

from relay.http.answers import answer
from relay.services.backends_view import backends_view
from relay.services.core import Core


class HardwareQueue:
    def __init__(self, core: Core) -> None:
        self._core = core

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        answer(resp, {"ok": True, "backends": backends_view(self._core)})
