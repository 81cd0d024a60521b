"""The list of settings as the operator sees it: what each is, where its value comes from, what is wrong with it."""

from __future__ import annotations

from typing import Any

import msgspec

from relay.services.settings_book import SettingsBook, State
from relay.services.settings_items import Item, has, pick, presented
from relay.settings import Settings

DEFAULTS: dict[str, Any] = msgspec.to_builtins(Settings())


def settings_view(book: SettingsBook) -> dict[str, Any]:
    """`value`: what is in force, or will be after the restart that `restart_needed` tells of."""
    state, raw = book.state, book.layers.raw
    coming, file = msgspec.to_builtins(state.next), msgspec.to_builtins(book.layers.file)
    rows = [_row(item, state, raw, coming, file) for item in book.layers.items.values()]
    rows += [_gone(key, problem) for key, problem in state.problems.items() if key not in book.layers.items]
    return {"version": state.overrides.version, "settings": rows, "restart_needed": book.restart_needed()}


def _row(item: Item, state: State, raw: dict[str, Any], coming: dict[str, Any], file: dict[str, Any]) -> dict[str, Any]:
    in_file = has(raw, item.path)
    return {
        "key": item.key,
        "value": presented(item, coming),
        "default": pick(DEFAULTS, item.path),
        "file": presented(item, file) if in_file else None,
        "source": "dashboard" if item.key in state.kept else "file" if in_file else "default",
        "live": item.live,
        "kind": item.kind,
        "choices": list(item.choices) if item.choices is not None else None,
        "unlimited": item.unlimited,
        "group": item.group,
        "help": item.help,
        "problem": state.problems.get(item.key),
    }


def _gone(key: str, problem: str) -> dict[str, Any]:
    """Saved once, and no setting any more: there is nothing to do with it but to reset it."""
    return {
        "key": key,
        "value": None,
        "default": None,
        "file": None,
        "source": "default",
        "live": True,
        "kind": "text",
        "choices": None,
        "unlimited": True,
        "group": "Server",
        "help": "A setting that is not there any more; reset it.",
        "problem": problem,
    }
