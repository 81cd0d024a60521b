"""`relay plugins`."""

from __future__ import annotations

from typing import Any

import msgspec

from relay.cli import output
from relay.cli.options import Places
from relay.control import ask
from relay.loader import Registry, load_plugins


def run(places: Places, *, as_json: bool) -> int:
    config = places.load()
    rows = ask(places.data_dir(config), "plugins")
    if rows is None:
        rows = plugin_rows(load_plugins(config))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return 0
    table = [
        [
            row["name"],
            row["version"],
            ", ".join(row["kinds"]),
            _yes(row["enabled"]),
            _yes(row["healthy"]),
            row["origin"],
        ]
        for row in rows
    ]
    output.table(["plugin", "version", "kind", "enabled", "healthy", "from"], table)
    return 0


def plugin_rows(registry: Registry) -> list[dict[str, Any]]:
    """Every plugin with its health: of its backends as they say it, of the rest that it loaded; None when off."""
    rows = []
    for info in registry.plugins:
        backend = registry.backends.get(info.name)
        healthy = None if not info.enabled else backend.health().ok if backend is not None else True
        rows.append(
            {
                "name": info.name,
                "version": info.version,
                "kinds": list(info.kinds),
                "enabled": info.enabled,
                "healthy": healthy,
                "origin": info.origin,
            }
        )
    return rows


def _yes(value: bool | None) -> str:  # noqa: FBT001
    return "-" if value is None else "yes" if value else "no"
