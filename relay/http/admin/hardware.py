"""`GET /admin/hardware-queue`: what each backend works on, who waits for it, and how well it is."""

from __future__ import annotations

from typing import Any

import falcon

from relay.http.answers import answer
from relay.services.core import Core


class HardwareQueue:
    def __init__(self, core: Core) -> None:
        self._core = core

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        infer, health = self._core.infer, self._core.infer.breaker.state()
        backends: list[dict[str, Any]] = [
            {"name": name, "tasks": sorted(backend.tasks)}
            | infer.slots[name].snapshot().view()
            | {"health": health[name]}
            for name, backend in self._core.registry.backends.items()
        ]
        answer(resp, {"ok": True, "backends": backends})
