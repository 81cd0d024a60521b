"""Settings saved in the dashboard: checked as a whole, stored with an audit line, in force at once where possible."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from relay.books import audit
from relay.books import settings as book
from relay.books.settings import Overrides
from relay.config import Config
from relay.domain.instants import iso
from relay.errors import ConfigError, Conflict, Invalid, NotFound
from relay.ports.inference import TASKS, Task
from relay.ports.storage import Storage, Tx
from relay.services.effective import Layers, blamed
from relay.services.live import LiveSettings, SettingsView
from relay.services.settings_items import pick, presented
from relay.settings import Settings

log = structlog.get_logger("relay.settings")

QUOTAS = frozenset({"monthly_credits", "monthly_gemini", "lifetime_credits", "lifetime_gemini"})
Changes = Mapping[str, Any]


class Saved(NamedTuple):
    version: int
    changed: list[str]
    restart_needed: list[str]


class State(NamedTuple):
    """`next`: what the next start would run with. `kept`: the saved values in it; `problems`: why others are not."""

    overrides: Overrides
    next: Settings
    kept: dict[str, Any]
    problems: dict[str, str]


class SettingsBook:
    """`live` is what everybody reads. `changed` is called after a save, when `live` is new."""

    def __init__(self, storage: Storage, layers: Layers) -> None:
        self._storage = storage
        self._layers = layers
        self._lock = threading.Lock()
        self.changed: Callable[[], None] = lambda: None
        try:
            self._state = self._read(storage.read(book.load))
        except msgspec.ValidationError as exc:
            raise ConfigError(f"settings: what the dashboard saved (key {book.KEY}) cannot be read: {exc}") from None
        self._started = {key: value for key, value in self._state.kept.items() if not layers.items[key].live}
        self.live = LiveSettings(self._state.next)
        for key, problem in self._state.problems.items():
            log.warning(
                "setting_set_aside", key=key, problem=problem, note="the file's value is used; reset or save it"
            )

    def refresh(self) -> None:
        """Adopt what another process has saved in the same storage."""
        self._adopt(self._storage.read(book.load))

    def save(
        self,
        actor: str,
        changes: Changes | Callable[[Settings], Changes],
        *,
        reset: Iterable[str] = (),
        version: int | None = None,
        action: str = "settings.change",
        target: str = "",
        reason: str = "",
    ) -> Saved:
        """One transaction: the version is checked, the whole is checked, the values and the audit line are written.

        `changes` may be worked out from the settings as they are then. `version` None: whatever is there is changed.
        Raises Conflict (stale_settings) and Invalid, whose `path` is the key.
        """
        reset = list(dict.fromkeys(reset))

        def save(tx: Tx) -> tuple[Overrides, list[str]]:
            stored = book.load(tx)
            state = self._read(stored)
            asked = dict(changes(state.next) if callable(changes) else changes)
            if version is not None and version != stored.version:
                raise self._stale(state, asked, reset)
            after = self._after(state, asked, reset)
            touched = sorted(
                key for key in {*asked, *reset} if not _same(stored.values, after, key) or key in state.problems
            )
            if not touched:
                return stored, []
            line = audit.record(
                tx,
                actor,
                action,
                target or ", ".join(touched),
                before={key: self._shown(state.next, key) for key in touched},
                after={key: self._shown(self._read(stored, after).next, key) for key in touched},
                reason=reason,
            )
            number = stored.version + 1
            saved = {key: at for key, at in stored.saved.items() if key in after}
            saved |= {key: number for key in touched if key in after}
            fresh = Overrides(number, after, saved, stored.history)
            book.save(tx, fresh, line)
            return fresh, touched

        overrides, touched = self._storage.transact(save)
        self._adopt(overrides)
        return Saved(overrides.version, touched, self.restart_needed())

    def _after(self, state: State, asked: dict[str, Any], reset: list[str]) -> dict[str, Any]:
        """The values that would be stored. Raises Invalid when they are not fit to be."""
        for key in reset:
            if key not in state.overrides.values and key not in self._layers.items:
                raise Invalid(f"{key}: there is no such setting"[:300], key[:200])
            if key in asked:
                raise Invalid(f"{key}: change it or reset it, not both", key)
        fit = {key: value for key, value in state.kept.items() if key not in reset} | asked
        try:
            self._layers.over(fit)
        except ConfigError as exc:
            # What is reset may leave something behind that does not fit without it.
            raise Invalid(exc.message[:500], blamed(exc, [*asked, *reset])[:200]) from None
        aside = {key: state.overrides.values[key] for key in state.problems if key not in reset}
        return aside | fit

    def _read(self, overrides: Overrides, values: dict[str, Any] | None = None) -> State:
        values = overrides.values if values is None else values
        newest = sorted(values, key=lambda key: -overrides.saved.get(key, 0))
        return State(overrides, *self._layers.fitting(values, newest))

    def _adopt(self, overrides: Overrides) -> None:
        with self._lock:
            if overrides.version <= self._state.overrides.version:
                return
            self._state = state = self._read(overrides)
            running = {key: value for key, value in state.kept.items() if self._layers.items[key].live}
            self.live.now = self._layers.fitting(self._started | running, [*running, *self._started])[0]
        self.changed()

    def _stale(self, state: State, asked: dict[str, Any], reset: list[str]) -> Conflict:
        tree = msgspec.to_builtins(self._layers.file)
        yours = asked | {key: pick(tree, self._layers.items[key].path) for key in reset if key in self._layers.items}
        theirs = {key: self._shown(state.next, key) for key in yours}
        return Conflict(
            "somebody saved settings since you loaded them; look at the difference and save again",
            code="stale_settings",
            details={
                "version": state.overrides.version,
                "difference": {
                    key: {"yours": value, "theirs": theirs[key]} for key, value in yours.items() if value != theirs[key]
                },
            },
        )

    def _shown(self, settings: Settings, key: str) -> Any:
        item = self._layers.items.get(key)
        return None if item is None else presented(item, msgspec.to_builtins(settings))

    def restart_needed(self) -> list[str]:
        """Keys whose saved value waits for the next start."""
        coming, running = msgspec.to_builtins(self._state.next), msgspec.to_builtins(self.live.now)
        return [
            item.key
            for item in self._layers.items.values()
            if not item.live and pick(coming, item.path) != pick(running, item.path)
        ]

    def routes(self) -> dict[Task, Sequence[str]]:
        """Of the tasks whose backends were chosen in the dashboard before this start."""
        routing = self.live.routing
        chosen = ((task, getattr(routing, task)) for task in TASKS if f"routing.{task}" in self._started)
        return {task: names for task, names in chosen if names is not None}

    @property
    def state(self) -> State:
        return self._state

    @property
    def layers(self) -> Layers:
        return self._layers

    def history(self, limit: int) -> list[dict[str, Any]]:
        rows = self._storage.read(lambda tx: book.history(tx, limit))
        return [
            {
                "id": key,
                "at": iso(change.at),
                "actor": change.actor,
                "action": change.action,
                "before": change.before,
                "after": change.after,
                "reason": change.reason,
            }
            for key, change in rows
        ]

    def quotas(self, actor: str, given: Mapping[str, Mapping[str, int | None]], version: int | None) -> Saved:
        """The short form for the limits of tiers; None is unlimited."""
        changes: dict[str, Any] = {}
        for name, limits in given.items():
            if name not in self._layers.file.tiers:
                known = ", ".join(self._layers.file.tiers)
                raise Invalid(f"there is no tier {name!r}; there are: {known}"[:300], f"tiers.{name}"[:200])
            for limit, value in limits.items():
                if limit not in QUOTAS:
                    raise Invalid(f"a quota is one of: {', '.join(sorted(QUOTAS))}", f"tiers.{name}.{limit}"[:200])
                changes[f"tiers.{name}.{limit}"] = value
        return self.save(actor, changes, version=version, action="quotas.change")

    def promote(self, actor: str, name: str, prompt: str, version: int | None) -> Saved:
        """Make a prompt the one that is used from now on."""
        key = f"prompts.{name}"
        if key not in self._layers.items:
            raise NotFound(f"there is no prompt {name!r}; there are: recap, meeting_summary"[:200])
        return self.save(actor, {key: prompt}, version=version, action="prompts.promote")


def in_force(storage: Storage, config: Config) -> SettingsView:
    """The settings for a command that opens the storage by itself. It asks no backend, so it knows of none."""
    return SettingsBook(storage, Layers(config, None)).live


def _same(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> bool:
    """0 and False, or 1 and 1.0, are not the same to a person who reads the log."""
    if key not in before or key not in after:
        return key not in before and key not in after
    return type(before[key]) is type(after[key]) and bool(before[key] == after[key])
