"""Every plugin and how it is: what is known without asking, or what it says itself when it is asked to."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import Any, Protocol, runtime_checkable

import structlog

from relay.domain.instants import iso, utcnow
from relay.errors import RelayError
from relay.loader import PluginInfo, Registry
from relay.ports.inference import Health, InferenceBackend
from relay.ports.rails import Rail
from relay.ports.storage import Storage
from relay.services.breaker import Breaker
from relay.services.checks import Checks
from relay.services.secrecy import blotted

log = structlog.get_logger("relay")

ASK_SECONDS = 3.0
MAX_MODELS = 200


@runtime_checkable
class Healthy(Protocol):
    """Whatever a plugin offers that can be asked how it is."""

    name: str

    def health(self) -> Health: ...


class PluginsView:
    """`secrets`: blotted out of what plugins say."""

    def __init__(
        self, registry: Registry, storage: Storage, breaker: Breaker, checks: Checks, secrets: frozenset[str]
    ) -> None:
        self._registry = registry
        self._storage = storage
        self._breaker = breaker
        self._checks = checks
        self._secrets = secrets
        self._strategies = {strategy.name: strategy for strategy in registry.auth}
        self._asking: dict[tuple[str, str], Future[Health]] = {}
        self._lock = threading.Lock()

    def rows(self, *, ask: bool = False) -> list[dict[str, Any]]:
        """`ask`: ask every service now, all at once and for at most ASK_SECONDS. Without it nothing is asked."""
        asked = self._ask_all() if ask else {}
        return [self._row(info, asked) for info in self._registry.plugins]

    def _row(self, info: PluginInfo, asked: dict[tuple[str, str], Health]) -> dict[str, Any]:
        row: dict[str, Any] = {
            "name": info.name,
            "version": info.version,
            "kinds": list(info.kinds),
            "enabled": info.enabled,
            "healthy": None,
            "problem": None,
            "from": info.origin,
            "details": {},
        }
        if not info.enabled:
            return row
        try:
            found = self._known(info)
            row["details"] = self._details(info)
        except Exception as exc:  # noqa: BLE001 - any plugin's code may be behind it
            log.warning("plugin_defect", plugin=info.name, error=type(exc).__name__)
            return row | {"healthy": False, "problem": f"it failed when it was looked at ({type(exc).__name__})"}
        told = [health for key, health in asked.items() if key in _services(info)]
        if told:
            off = [state for state in found if state[0] is None]
            found = off + [
                (health.ok, "" if health.ok else health.detail or "it says that it is not well") for health in told
            ]
        states = [ok for ok, _ in found]
        row["healthy"] = False if False in states else None if None in states else True
        row["problem"] = blotted("; ".join(filter(None, (why for _, why in found))), self._secrets) or None
        if asked:
            row["details"]["checked_at"] = iso(utcnow())
        return row

    def _known(self, info: PluginInfo) -> list[tuple[bool | None, str]]:
        """What the relay knows of each thing the plugin offers, and what is wrong with it."""
        found: list[tuple[bool | None, str]] = []
        if "storage" in info.kinds:
            try:
                self._storage.check()
            except RelayError as exc:
                found.append((False, exc.message))
        breaker = self._breaker.state()
        for name in info.backends:
            circuit = breaker[name]
            if circuit["state"] == "closed":
                continue
            why = f"{name} has been failing ({circuit['last_error']}) and is asked last"
            found.append((False if circuit["state"] == "open" else None, why))
        for name in info.rails:
            rail: Rail = self._registry.rails[name]
            if why_off := rail.off():
                found.append((None, why_off))
            elif self._checks.is_down(name):
                found.append((False, f"{name} does not answer"))
        return found

    def _details(self, info: PluginInfo) -> dict[str, Any]:
        details: dict[str, Any] = {}
        if info.backends:
            state = self._breaker.state()
            details["backends"] = [_backend(self._registry.backends[name], state[name]) for name in info.backends]
        if info.rails:
            details["rails"] = [_rail(self._registry.rails[name]) for name in info.rails]
        if info.strategies:
            details["strategies"] = list(info.strategies)
        return details

    def _ask_all(self) -> dict[tuple[str, str], Health]:
        services: dict[tuple[str, str], Any] = {
            ("rail", name): r for name, r in self._registry.rails.items() if not r.off()
        }
        services |= {("backend", name): backend for name, backend in self._registry.backends.items()}
        services |= {("auth", name): s for name, s in self._strategies.items() if isinstance(s, Healthy)}
        asking = {key: self._ask(key, service) for key, service in services.items()}
        done, _ = wait(asking.values(), timeout=ASK_SECONDS)
        late = Health(ok=False, detail=f"no answer within {ASK_SECONDS:g} seconds")
        return {key: future.result() if future in done else late for key, future in asking.items()}

    def _ask(self, key: tuple[str, str], service: Healthy) -> Future[Health]:
        """One question at a time per service, however many operators look: a service that hangs takes one thread."""
        with self._lock:
            pending = self._asking.get(key)
            if pending is None:
                pending = self._asking[key] = Future()
                threading.Thread(
                    target=self._answer, args=(key, service, pending), name="plugin-health", daemon=True
                ).start()
            return pending

    def _answer(self, key: tuple[str, str], service: Healthy, pending: Future[Health]) -> None:
        try:
            health = service.health()
        except Exception as exc:  # noqa: BLE001 - any plugin's code; its text may hold a secret
            health = Health(ok=False, detail=f"it failed in saying how it is ({type(exc).__name__})")
        with self._lock:
            del self._asking[key]
        pending.set_result(health)


def _services(info: PluginInfo) -> set[tuple[str, str]]:
    return (
        {("backend", name) for name in info.backends}
        | {("rail", name) for name in info.rails}
        | {("auth", name) for name in info.strategies}
    )


def _backend(backend: InferenceBackend, state: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": backend.name,
        "tasks": sorted(backend.tasks),
        "models": {task: list(backend.models(task))[:MAX_MODELS] for task in sorted(backend.tasks)},
        "cost_class": backend.cost_class,
        "max_concurrent": backend.max_concurrent,
        "queue_size": backend.queue_size,
        "health": state,
    }


def _rail(rail: Rail) -> dict[str, Any]:
    currencies = None if rail.currencies is None else sorted(rail.currencies)
    return {"name": rail.name, "currencies": currencies, "selling": rail.off() is None}
