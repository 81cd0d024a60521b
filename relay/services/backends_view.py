"""What each backend works on, who waits for it, and how well it is."""

from __future__ import annotations

from typing import Any

from relay.services.core import Core


def backends_view(core: Core) -> list[dict[str, Any]]:
    infer, health = core.infer, core.infer.breaker.state()
    return [
        {"name": name, "tasks": sorted(backend.tasks)} | infer.slots[name].snapshot().view() | {"health": health[name]}
        for name, backend in core.registry.backends.items()
    ]
