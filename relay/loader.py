"""Settings -> a frozen Registry of plugins. The only file with a PluginManager.

Each mistake is named for the person who made it: the operator (unknown name, two storages), the plugin's
author (no hook, a misspelt hook, a clash of names), or the machine (the module does not import).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from relay.config import Config
from relay.errors import ConfigError
from relay.hookspecs import PROJECT, RelaySpecs
from relay.ports.auth import AuthStrategy
from relay.ports.inference import TASKS, InferenceBackend, Task
from relay.ports.storage import Storage
from relay.tables import Table

GROUP = "relay.plugins"
STORAGE_GROUP = "relay.plugins.storage"
"""A storage is named in this group too, so that storages can be counted before anything is imported."""


@dataclass(frozen=True, slots=True)
class PluginInfo:
    name: str
    version: str
    origin: str
    kinds: tuple[str, ...] = ()
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything the enabled plugins offered."""

    storage: Storage
    auth: tuple[AuthStrategy, ...]
    backends: dict[str, InferenceBackend]
    routes: dict[Task, tuple[InferenceBackend, ...]]
    plugins: tuple[PluginInfo, ...]
    notes: tuple[str, ...] = field(default=())


def load_plugins(config: Config, found: Sequence[EntryPoint] | None = None) -> Registry:
    """Import and introduce the enabled plugins. Raises ConfigError; opens and contacts nothing."""
    points = _points(entry_points(group=GROUP) if found is None else found)
    storages = {point.name for point in entry_points(group=STORAGE_GROUP)}
    _check_names(config, points)
    _check_storages([name for name in config.plugins if name in storages], sorted(storages))
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(RelaySpecs)
    infos = [_register(manager, points[name], table) for name, table in config.plugins.items()]
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as exc:
        raise ConfigError(f"plugin {manager.get_name(exc.plugin)!r}: {exc}") from exc
    infos += [_info(points[name], enabled=False) for name in sorted(set(points) - set(config.plugins))]
    return _registry(manager, config, infos, set(points))


def _points(found: Iterable[EntryPoint]) -> dict[str, EntryPoint]:
    points: dict[str, EntryPoint] = {}
    for point in found:
        other = points.setdefault(point.name, point)
        if other.value != point.value:
            raise ConfigError(
                f"two installed plugins claim the name {point.name!r}: {other.value} and {point.value}. Uninstall one"
            )
    return points


def _check_names(config: Config, points: dict[str, EntryPoint]) -> None:
    for name in config.plugins:
        if name not in points:
            installed = ", ".join(sorted(points)) or "none"
            raise ConfigError(f"plugins.{name}: no installed package offers this plugin. Installed: {installed}")


def _check_storages(enabled: Sequence[str], known: Sequence[str]) -> None:
    if len(enabled) != 1:
        what = f"{len(enabled)} storages are enabled: {', '.join(enabled)}" if enabled else "no storage is enabled"
        raise ConfigError(f"plugins: {what}. Enable exactly one of: {', '.join(known)}")


def _register(manager: pluggy.PluginManager, point: EntryPoint, table: Table) -> PluginInfo:
    name = point.name
    try:
        plugin = point.load()(table)
        manager.register(plugin, name=name)
    except ConfigError:
        raise
    except Exception as exc:
        raise ConfigError(f"plugin {name!r} did not load: {type(exc).__name__}: {exc}") from exc
    hooks = manager.get_hookcallers(plugin) or []
    if not hooks:
        raise ConfigError(f"plugin {name!r} offers nothing: it has no @hookimpl method (forgotten?)")
    if unread := table.unread():
        raise ConfigError(f"{unread[0]}: unknown key")
    return _info(point, kinds=tuple(sorted(KINDS[hook.name] for hook in hooks if hook.name in KINDS)))


KINDS = {
    "relay_storages": "storage",
    "relay_auth_strategies": "auth",
    "relay_inference_backends": "inference",
}


def _info(point: EntryPoint, *, kinds: tuple[str, ...] = (), enabled: bool = True) -> PluginInfo:
    dist = point.dist
    return PluginInfo(point.name, dist.version if dist else "?", dist.name if dist else point.value, kinds, enabled)


def _offers(manager: pluggy.PluginManager, hook: str, order: Iterable[str]) -> list[Any]:
    """What each plugin returned from `hook`, in the order of the tables in plugins.toml."""
    offers: list[Any] = []
    for name in order:
        method = getattr(manager.get_plugin(name), hook, None)
        if method is None:
            continue
        try:
            offers += list(method())
        except ConfigError:
            raise
        except Exception as exc:
            raise ConfigError(f"plugin {name!r} failed in {hook}: {type(exc).__name__}: {exc}") from exc
    return offers


def _registry(manager: pluggy.PluginManager, config: Config, infos: list[PluginInfo], installed: set[str]) -> Registry:
    order = list(config.plugins)
    storages = _offers(manager, "relay_storages", order)
    _check_storages([storage.name for storage in storages], [storage.name for storage in storages])
    auth = sorted(_offers(manager, "relay_auth_strategies", order), key=lambda strategy: strategy.rank)
    backends: dict[str, InferenceBackend] = {}
    for backend in _offers(manager, "relay_inference_backends", order):
        if backend.name in backends:
            raise ConfigError(f"two inference backends are called {backend.name!r}; rename one")
        backends[backend.name] = backend
    known = installed | config.instances | set(backends)
    routes: dict[Task, tuple[InferenceBackend, ...]] = {}
    notes: list[str] = list(config.warnings)
    for task in TASKS:
        routes[task] = _route(task, config, backends, known, notes)
    return Registry(storages[0], tuple(auth), backends, routes, tuple(infos), tuple(notes))


def _route(
    task: Task, config: Config, backends: dict[str, InferenceBackend], known: set[str], notes: list[str]
) -> tuple[InferenceBackend, ...]:
    wanted = getattr(config.settings.routing, task)
    route: list[InferenceBackend] = []
    for name in backends if wanted is None else wanted:
        if name in backends:
            route.append(backends[name])
        elif name in known:
            notes.append(f"routing.{task}: {name!r} is not enabled and is skipped")
        else:
            raise ConfigError(f"routing.{task}: there is no backend {name!r}. Enabled: {', '.join(backends) or 'none'}")
    return tuple(route)
