"""Settings tables with references to secrets, and how a plugin reads its own into a typed Struct."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from relay.errors import ConfigError

T = TypeVar("T")
SECRET_NAME = re.compile(r"(?:^|_)(key|token|secret|password|dsn)$")


class Table(Mapping[str, Any]):
    """One table of plugins.toml with its secrets resolved.

    A key whose environment variable is unset, or whose file is missing, counts as absent for `in` and
    `get`; asking for it with `[]` raises ConfigError saying which variable to set. `seen` remembers what
    was asked for, so that the loader can refuse a key nobody reads.
    """

    def __init__(self, values: Mapping[str, Any], path: str) -> None:
        self.path = path
        self.seen: set[str] = set()
        self.missing: dict[str, str] = {}
        self.plain_secrets: list[str] = []
        self._values: dict[str, Any] = {}
        for key, value in values.items():
            self._take(key, value)

    def _take(self, key: str, value: Any) -> None:
        where = f"{self.path}.{key}"
        if isinstance(value, dict) and value and set(value) <= {"env", "file"}:
            found, reason = resolve(value, where)
            if found is None:
                self.missing[key] = reason
            else:
                self._values[key] = found
        elif isinstance(value, dict):
            table = Table(value, where)
            self.plain_secrets += table.plain_secrets
            self._values[key] = table
        else:
            if isinstance(value, str) and value and SECRET_NAME.search(key):
                self.plain_secrets.append(where)
            self._values[key] = value

    def __getitem__(self, key: str) -> Any:
        self.seen.add(key)
        if key in self.missing:
            raise ConfigError(f"{self.path}.{key}: {self.missing[key]}")
        return self._values[key]

    def __contains__(self, key: object) -> bool:
        if isinstance(key, str):
            self.seen.add(key)
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        self.seen |= set(self._values) | set(self.missing)
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str, default: Any = None) -> Any:
        self.seen.add(key)
        return self._values.get(key, default)

    def unread(self) -> list[str]:
        """Keys nobody asked for, as dotted paths."""
        names = [k for k in [*self._values, *self.missing] if k not in self.seen]
        return [f"{self.path}.{k}" for k in names]

    def plain(self) -> dict[str, Any]:
        """The values as dicts all the way down."""
        return {k: self[k].plain() if isinstance(self[k], Table) else self[k] for k in self}


def resolve(reference: Mapping[str, Any], where: str) -> tuple[str | None, str]:
    """The secret behind `{ env = "VAR" }` or `{ file = "/path" }`, or None and what to do."""
    if len(reference) != 1 or not isinstance(next(iter(reference.values())), str):
        raise ConfigError(f'{where}: write {{ env = "VAR" }} or {{ file = "/path" }}, one of them')
    if "env" in reference:
        name = reference["env"]
        return os.environ.get(name), f"the environment variable {name} is not set"
    path = Path(reference["file"])
    try:
        return path.read_text(encoding="utf-8").strip(), ""
    except FileNotFoundError:
        return None, f"the file {path} does not exist"
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{where}: cannot read {path}: {exc}") from exc


def convert(values: Any, kind: type[T], path: str, missing: Mapping[str, str] | None = None) -> T:
    """`values` as `kind`; a complaint names its key as a dotted path."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as exc:
        raise ConfigError(complaint(str(exc), path, missing or {})) from None


def complaint(text: str, path: str, missing: Mapping[str, str]) -> str:
    """msgspec's "Expected `int`, got `str` - at `$.threads`" as "relay.threads: expected int, got str"."""
    message, _, tail = text.partition(" - at `$")
    where = path + re.sub(r"\[(\d+)\]", r".\1", tail.rstrip("`")).replace("[...]", "")
    named = re.match(r"Object (contains unknown field|missing required field) `(.+?)`", message)
    if named:
        key = named.group(2)
        if named.group(1).startswith("contains"):
            return f"{where}.{key}: unknown key"
        return f"{where}.{key}: {missing.get(key, 'this key is required')}"
    return f"{where}: {message.replace('`', '')}"


def read_settings(table: Mapping[str, Any], kind: type[T]) -> T:
    """A plugin's settings table as its own msgspec Struct (use `forbid_unknown_fields=True`).

    A field with a default is optional: a reference to an unset variable then means "absent".
    Raises ConfigError naming the key.
    """
    if isinstance(table, Table):
        return convert(table.plain(), kind, table.path, table.missing)
    return convert(dict(table), kind, "settings")
