"""Settings -> a frozen Registry of plugins. The only file with a PluginManager.

Each mistake is named for the person who made it: the operator (unknown name, two storages), the plugin's
author (no hook, a misspelt hook, a clash of names), or the machine (the module does not import).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from relay.complaints import Complaints
from relay.config import Config
from relay.errors import ConfigError, RelayError
from relay.hookspecs import PROJECT, RelaySpecs
from relay.ports.auth import AuthStrategy
from relay.ports.inference import TASKS, InferenceBackend, Task
from relay.ports.rails import Rail
from relay.ports.space import Space
from relay.ports.storage import Storage
from relay.tables import Table

GROUP = "relay.plugins"
STORAGE_GROUP = "relay.plugins.storage"
"""A storage is named in this group too, so that storages can be counted before anything is imported."""

KINDS: dict[str, tuple[str, type[Any]]] = {
    "relay_storages": ("storage", Storage),
    "relay_auth_strategies": ("auth", AuthStrategy),
    "relay_inference_backends": ("inference", InferenceBackend),
    "relay_rails": ("rail", Rail),
}
"""Hook -> the kind of plugin that has it, and the port of what it returns."""
ATTACH = "relay_attach"


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """`kinds` of a plugin that is off are only known for a storage: it is not imported to ask it.

    `backends`, `rails`, `strategies`: the names of the inference backends, payment rails and auth strategies it
    offers."""

    name: str
    version: str
    origin: str
    kinds: tuple[str, ...]
    enabled: bool
    backends: tuple[str, ...] = ()
    rails: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything the enabled plugins offered."""

    storage: Storage
    auth: tuple[AuthStrategy, ...]
    backends: dict[str, InferenceBackend]
    routes: dict[Task, tuple[InferenceBackend, ...]]
    plugins: tuple[PluginInfo, ...]
    notes: tuple[str, ...] = field(default=())
    attach: dict[str, Callable[[Space], None]] = field(default_factory=dict)
    """Plugins that want a private space in the storage."""
    rails: dict[str, Rail] = field(default_factory=dict)


Offer = tuple[str, Any]
"""The name of a plugin, and one object it offers."""


def load_plugins(config: Config) -> Registry:
    """Import and introduce the enabled plugins. Raises ConfigError; opens and contacts nothing."""
    points = _points(entry_points(group=GROUP))
    storages = {point.name for point in entry_points(group=STORAGE_GROUP)}
    complaints = Complaints()
    with complaints.collected():
        _check_names(config, points)
    with complaints.collected():
        _check_storages([name for name in config.plugins if name in storages], storages)
    complaints.settle()
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(RelaySpecs)
    for name, table in config.plugins.items():
        with complaints.collected():
            _register(manager, points[name], table)
    complaints.settle()
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as exc:
        what = str(exc).partition(" in plugin ")[0]
        name = manager.get_name(exc.plugin) or "?"
        raise ConfigError(f"plugin {name!r}: {what}. The hooks are: {', '.join(KINDS)}") from exc
    return _registry(manager, config, points, storages)


def _points(found: Iterable[EntryPoint]) -> dict[str, EntryPoint]:
    points: dict[str, EntryPoint] = {}
    for point in found:
        other = points.setdefault(point.name, point)
        if other is not point:
            both = f"{_origin(other)} ({other.value}) and {_origin(point)} ({point.value})"
            raise ConfigError(f"plugins.{point.name}: two installed packages claim this name: {both}. Uninstall one")
    return points


def _check_names(config: Config, points: dict[str, EntryPoint]) -> None:
    complaints = Complaints()
    for name in config.plugins:
        with complaints.collected():
            if name not in points:
                installed = ", ".join(sorted(points)) or "none"
                raise ConfigError(f"plugins.{name}: no installed package offers this plugin. Installed: {installed}")
    complaints.settle()


def _check_storages(enabled: Sequence[str], known: Iterable[str]) -> None:
    if len(enabled) != 1:
        what = f"{len(enabled)} storages are enabled: {', '.join(enabled)}" if enabled else "no storage is enabled"
        raise ConfigError(f"plugins: {what}. Enable exactly one of: {', '.join(sorted(known)) or 'none installed'}")


def _register(manager: pluggy.PluginManager, point: EntryPoint, table: Table) -> None:
    name = point.name
    try:
        plugin = point.load()(table)
        manager.register(plugin, name=name)
    except ConfigError:
        raise
    except (Exception, SystemExit) as exc:
        raise ConfigError(f"plugin {name!r} did not load: {type(exc).__name__}: {exc}") from exc
    hooks = {hook.name for hook in manager.get_hookcallers(plugin) or ()}
    for hook in (*KINDS, ATTACH):
        if hook not in hooks and hasattr(plugin, hook):
            raise ConfigError(f"plugin {name!r}: {hook} needs @hookimpl above it")
    if not hooks - {ATTACH}:
        raise ConfigError(
            f"plugin {name!r} offers nothing: it has no @hookimpl method. The hooks are: {', '.join(KINDS)}"
        )
    if unread := table.unread():
        raise ConfigError("\n".join(f"{key}: unknown key" for key in unread))


def _offers(manager: pluggy.PluginManager, hook: str, order: Iterable[str]) -> list[Offer]:
    """What each plugin returned from `hook`, in the order of the tables in plugins.toml."""
    methods = {impl.plugin_name: impl.function for impl in getattr(manager.hook, hook).get_hookimpls()}
    offers: list[Offer] = []
    for name in order:
        if name not in methods:
            continue
        try:
            found = list(methods[name]())
        except ConfigError:
            raise
        except Exception as exc:
            raise ConfigError(f"plugin {name!r} failed in {hook}: {type(exc).__name__}: {exc}") from exc
        for offer in found:
            _check_port(name, offer, *KINDS[hook])
        offers += [(name, offer) for offer in found]
    return offers


def _check_port(plugin: str, offer: Any, kind: str, port: type[Any]) -> None:
    """Everything the port asks for is there. Looks without asking, because a property may do work."""
    members = {*port.__annotations__, *vars(port)}
    missing = [m for m in sorted(members) if not m.startswith("_") and inspect.getattr_static(offer, m, port) is port]
    if missing:
        raise ConfigError(f"plugin {plugin!r}: its {kind} {type(offer).__name__} lacks {', '.join(missing)}")


def _by_name(offers: Iterable[Offer], what: str, tables: Mapping[str, Table]) -> dict[str, Any]:
    owners: dict[str, str] = {}
    named: dict[str, Any] = {}
    for plugin, offer in offers:
        key = f"plugins.{plugin}.{offer.name}" if offer.name in tables[plugin] else f"plugins.{plugin}"
        if offer.name in named:
            both = " and ".join(dict.fromkeys([owners[offer.name], key]))
            raise ConfigError(f"two {what} are called {offer.name!r} (offered by {both}); rename one")
        owners[offer.name], named[offer.name] = key, offer
    return named


def _registry(
    manager: pluggy.PluginManager, config: Config, points: dict[str, EntryPoint], known_storages: set[str]
) -> Registry:
    offers = {hook: _offers(manager, hook, config.plugins) for hook in KINDS}
    storages = [storage for _, storage in offers["relay_storages"]]
    _check_storages([storage.name for storage in storages], known_storages)
    auth = _by_name(offers["relay_auth_strategies"], "auth strategies", config.plugins)
    backends = _by_name(offers["relay_inference_backends"], "inference backends", config.plugins)
    switched_off = (set(points) | config.instances) - set(config.plugins)
    routes: dict[Task, tuple[InferenceBackend, ...]] = {}
    notes: list[str] = list(config.warnings)
    notes += (f"{key}: {why}" for table in config.plugins.values() for key, why in table.missing().items())
    for task in TASKS:
        routes[task] = _route(task, config, backends, switched_off, notes)
    return Registry(
        storages[0],
        tuple(sorted(auth.values(), key=lambda strategy: strategy.rank)),
        backends,
        routes,
        _infos(config, points, known_storages, offers),
        tuple(notes),
        {impl.plugin_name: _attaching(impl) for impl in manager.hook.relay_attach.get_hookimpls()},
        _by_name(offers["relay_rails"], "payment rails", config.plugins),
    )


def _attaching(impl: Any) -> Callable[[Space], None]:
    def attach(space: Space) -> None:
        try:
            impl.function(space)
        except RelayError:
            raise
        except Exception as exc:
            raise ConfigError(f"plugin {impl.plugin_name!r} failed in {ATTACH}: {type(exc).__name__}: {exc}") from exc

    return attach


def reroute(registry: Registry, wanted: Mapping[Task, Sequence[str]]) -> Registry:
    """The registry with other routes for these tasks; names of backends that are not there are left out."""
    found = {
        task: tuple(registry.backends[n] for n in names if n in registry.backends) for task, names in wanted.items()
    }
    return replace(registry, routes=registry.routes | found)


def _route(
    task: Task, config: Config, backends: dict[str, InferenceBackend], switched_off: set[str], notes: list[str]
) -> tuple[InferenceBackend, ...]:
    wanted = getattr(config.settings.routing, task)
    route: list[InferenceBackend] = []
    for name in backends if wanted is None else wanted:
        if name in backends:
            route.append(backends[name])
        elif name in switched_off:
            notes.append(f"routing.{task}: {name!r} is not enabled and is skipped")
        else:
            raise ConfigError(f"routing.{task}: there is no backend {name!r}. Enabled: {', '.join(backends) or 'none'}")
    return tuple(route)


def _infos(
    config: Config, points: dict[str, EntryPoint], storages: set[str], offers: dict[str, list[Offer]]
) -> tuple[PluginInfo, ...]:
    """The enabled plugins in the order of asking, then the others by name."""
    infos: list[PluginInfo] = []
    for name in [*config.plugins, *sorted(set(points) - set(config.plugins))]:
        enabled = name in config.plugins
        offered = [KINDS[hook][0] for hook, found in offers.items() if any(plugin == name for plugin, _ in found)]
        kinds = tuple(offered) if enabled else ("storage",) if name in storages else ()
        names = {hook: tuple(o.name for plugin, o in found if plugin == name) for hook, found in offers.items()}
        dist = points[name].dist
        infos.append(
            PluginInfo(
                name,
                dist.version if dist else "?",
                _origin(points[name]),
                kinds,
                enabled,
                names["relay_inference_backends"],
                names["relay_rails"],
                names["relay_auth_strategies"],
            )
        )
    return tuple(infos)


def _origin(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value
