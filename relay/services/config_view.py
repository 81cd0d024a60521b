"""The settings the relay runs with, as a tree without secrets, and where each value comes from."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from relay.config import Config
from relay.services.secrecy import DOTS, masked, reference
from relay.services.settings_book import SettingsBook
from relay.services.settings_items import has, pick
from relay.tables import is_reference

PATH = re.compile(r"(://[^/?#]*)/.+")
PASSWORD = "RELAY_ADMIN_PASSWORD"  # noqa: S105 - the name of a variable


def config_view(config: Config, book: SettingsBook, outside: Mapping[str, tuple[Any, str]]) -> dict[str, Any]:
    """`outside`: what a flag or the environment said instead of the file, with which of the two, by dotted key."""
    written = copy.deepcopy(config.raw)
    kept = book.state.kept
    for key in kept:
        path = book.layers.items[key].path
        if has(written, path):
            inside = pick(written, path[:-1])
            del inside[path[-1]]
    tree: dict[str, Any] = msgspec.to_builtins(book.live.now)
    sources = {key: _source(key, path, written, kept) for key, path in _leaves(tree)}
    shown = masked(tree, written)
    if isinstance(url := shown["events"]["url"], str):
        # Chat services give out addresses whose path is the secret.
        shown["events"]["url"] = PATH.sub(rf"\1/{DOTS}", url)
    for key, (value, source) in outside.items():
        section, _, name = key.partition(".")
        shown[section][name] = value
        sources[key] = source
    if os.environ.get(PASSWORD):
        shown["relay"]["admin_password"] = reference({"env": PASSWORD})
        sources |= {"relay.admin_password": "env"}
    plugins = written.get("plugins", {})
    shown["plugins"] = masked(plugins, plugins)
    sources |= {f"plugins.{key}": _source(key, path, plugins, {}) for key, path in _leaves(plugins)}
    return {"config": shown, "sources": sources, "file": str(config.path)}


def _source(key: str, path: tuple[str, ...], written: Mapping[str, Any], kept: Mapping[str, Any]) -> str:
    if key in kept:
        return "dashboard"
    found = pick(written, path)
    if is_reference(found):
        return "env" if "env" in found else "file"
    return "file" if has(written, path) else "default"


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every value that is not a table of more of them: its dotted key and its path."""
    for name, value in tree.items():
        here = (*path, str(name))
        if isinstance(value, Mapping) and value and not is_reference(value):
            yield from _leaves(value, here)
        else:
            yield ".".join(here), here
