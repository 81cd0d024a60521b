"""`relay plugins`."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import msgspec

from relay import logs
from relay.cli import output
from relay.cli.options import Places
from relay.control import ask
from relay.errors import RelayError
from relay.loader import PluginInfo, Registry, load_plugins
from relay.ports.inference import Health


@runtime_checkable
class Healthy(Protocol):
    """Whatever a plugin offers that can be asked how it is."""

    name: str

    def health(self) -> Health: ...


def run(places: Places, *, as_json: bool) -> int:
    logs.configure("warning")
    config = places.load()
    rows = ask(places.data_dir(config), "plugins")
    if rows is None:
        rows = plugin_rows(load_plugins(config), serving=False)
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


def plugin_rows(registry: Registry, *, serving: bool) -> list[dict[str, Any]]:
    """Every plugin. `healthy`: what its backends and, while serving, the storage say; of the rest that it loaded;
    None when it is off."""
    return [
        {
            "name": info.name,
            "version": info.version,
            "kinds": list(info.kinds),
            "enabled": info.enabled,
            "healthy": _healthy(info, registry, serving=serving) if info.enabled else None,
            "origin": info.origin,
        }
        for info in registry.plugins
    ]


def _healthy(info: PluginInfo, registry: Registry, *, serving: bool) -> bool:
    if serving and "storage" in info.kinds:
        try:
            registry.storage.check()
        except RelayError:
            return False
    return all(health_of(registry.backends[name]).ok for name in info.backends)


def health_of(service: Healthy) -> Health:
    """What it says, or that its plugin failed in saying it."""
    try:
        return service.health()
    except Exception as exc:  # noqa: BLE001 - any plugin's code may be behind it
        return Health(ok=False, detail=f"{type(exc).__name__}: {exc}")


def _yes(value: bool | None) -> str:  # noqa: FBT001
    return "-" if value is None else "yes" if value else "no"
