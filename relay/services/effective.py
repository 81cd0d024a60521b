"""The settings in layers: defaults, the file, and on top of them what was saved in the dashboard."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from relay.config import Config, checked
from relay.errors import ConfigError
from relay.services.secrecy import DOTS
from relay.services.settings_items import has, items, pick
from relay.settings import Settings

USERINFO = re.compile(r"://[^/?#\s]*@")
LIMITS = ("_credits", "_gemini")
"""How the names of a tier's limits end."""
MAX_ENTRIES = 200
MAX_TEXT = 2048


class Layers:
    """`backends`: the names of the enabled ones, which routing may name; None: that is not checked."""

    def __init__(self, config: Config, backends: Iterable[str] | None) -> None:
        self.file = config.settings
        self.raw = config.raw
        self._backends = None if backends is None else tuple(backends)
        self.items = items(self.file, self._backends or ())
        self._tree: dict[str, Any] = msgspec.to_builtins(self.file)
        self._reserve_given = has(self.raw, ("relay", "reserve_threads"))

    def over(self, values: Mapping[str, Any]) -> Settings:
        """The file's settings with `values` (by dotted key) over them, checked as the file is as a whole.

        Raises ConfigError, each line naming its key."""
        tree: dict[str, Any] = msgspec.to_builtins(self._tree)
        if not self._reserve_given and "relay.reserve_threads" not in values:
            # Nobody has said it: it follows from `threads`.
            del tree["relay"]["reserve_threads"]
        for key, value in values.items():
            item = self.items.get(key)
            if item is None:
                raise ConfigError(f"{key}: there is no such setting, or it is set in the file only")
            _check(key, value)
            pick(tree, item.path[:-1])[item.path[-1]] = value
        settings = checked(tree)
        if self._backends is not None:
            _check_routing(settings, values, self._backends)
        return settings

    def fitting(
        self, values: Mapping[str, Any], newest_first: Iterable[str]
    ) -> tuple[Settings, dict[str, Any], dict[str, str]]:
        """What fits, however the file has changed since it was saved: the settings, the values in them, and of each
        value that was set aside why. Where two contradict each other, the newer one stays."""
        try:
            return self.over(values), dict(values), {}
        except ConfigError:
            pass
        settings, kept = self.file, dict[str, Any]()
        problems: dict[str, str] = dict.fromkeys(newest_first, "")
        progress = True
        while progress:
            progress = False
            for key in list(problems):
                try:
                    settings = self.over({**kept, key: values[key]})
                except ConfigError as exc:
                    problems[key] = exc.message
                else:
                    kept[key] = values[key]
                    del problems[key]
                    progress = True
        halves = {other: key for key in problems for other in _lifted(kept, key)}
        for other, key in halves.items():
            problems[other] = f"{other}: set aside with {key}; without that one it would lift a limit"
            del kept[other]
        return self.over(kept) if halves else settings, kept, problems


def _lifted(kept: Mapping[str, Any], aside: str) -> list[str]:
    """The kept limits of a tier that has lost one of its own: all of them, when one is "unlimited". It was made so
    because of the other, and nobody meant a tier without any limit."""
    tier, _, name = aside.rpartition(".")
    if not tier.startswith("tiers.") or not name.endswith(LIMITS):
        return []
    limits = [key for key in kept if key.rpartition(".")[0] == tier and key.endswith(LIMITS)]
    return limits if any(kept[key] is None for key in limits) else []


def _check_routing(settings: Settings, values: Mapping[str, Any], backends: tuple[str, ...]) -> None:
    for task, names in msgspec.structs.asdict(settings.routing).items():
        for name in names or () if f"routing.{task}" in values else ():
            if name not in backends:
                enabled = ", ".join(backends) or "none"
                raise ConfigError(f"routing.{task}: there is no backend {name!r}. Enabled: {enabled}")


def _check(key: str, value: Any) -> None:
    """What the file is trusted with and a form is not."""
    if isinstance(value, list) and len(value) > MAX_ENTRIES:
        raise ConfigError(f"{key}: at most {MAX_ENTRIES} entries")
    for text in value if isinstance(value, list) else [value]:
        if not isinstance(text, str) or key.startswith("prompts."):
            continue
        if len(text) > MAX_TEXT or USERINFO.search(text):
            raise ConfigError(f"{key}: at most {MAX_TEXT} characters, and no user or password in a URL")
        if not text.isprintable():
            raise ConfigError(f"{key}: no line breaks and no other signs that cannot be seen")
        if DOTS in text:
            raise ConfigError(f"{key}: the dots stand for something secret; write the whole value, or leave it alone")


def blamed(error: ConfigError, keys: Iterable[str]) -> str:
    """Which of `keys` the complaint is about."""
    where = error.message.partition(":")[0]
    known = list(keys)
    near = [key for key in known if where == key or where.startswith(f"{key}.")]
    near += [key for key in known if key.startswith(f"{where}.") and key.rpartition(".")[2] in error.message]
    near += [key for key in known if key.startswith(f"{where}.")]
    return (near or known or [where])[0]
