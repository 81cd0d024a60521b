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

    A key whose environment variable is unset or empty, or whose file is missing or empty, counts as absent
    for `in` and `get`; asking for it with `[]` raises ConfigError saying what to set. `unread` tells which
    keys nobody asked for, so that the loader can refuse a typo.
    """

    def __init__(self, values: Mapping[str, Any], path: str) -> None:
        self.path = path
        self.plain_secrets: list[str] = []
        self._seen: set[str] = set()
        self._absent: dict[str, str] = {}
        self._values: dict[str, Any] = {}
        for key, value in values.items():
            self._take(key, value)

    def _take(self, key: str, value: Any) -> None:
        where = f"{self.path}.{key}"
        if is_reference(value):
            found, reason = resolve(value, where)
            if found is None:
                self._absent[key] = reason
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
        self._seen.add(key)
        if key in self._absent:
            raise ConfigError(f"{self.path}.{key}: {self._absent[key]}")
        return self._values[key]

    def __contains__(self, key: object) -> bool:
        if isinstance(key, str):
            self._seen.add(key)
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        self._seen |= set(self._values) | set(self._absent)
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str, default: Any = None) -> Any:
        self._seen.add(key)
        return self._values.get(key, default)

    def missing(self) -> dict[str, str]:
        """Dotted path -> what to do, for each secret that is not there, in sub-tables too."""
        found = {f"{self.path}.{key}": reason for key, reason in self._absent.items()}
        for table in self._tables():
            found |= table.missing()
        return found

    def unread(self) -> list[str]:
        """Dotted paths of the keys nobody asked for, in sub-tables too."""
        names = [f"{self.path}.{key}" for key in [*self._values, *self._absent] if key not in self._seen]
        for table in self._tables():
            if table.path not in names:
                names += table.unread()
        return sorted(names)

    def plain(self) -> dict[str, Any]:
        """The values as dicts all the way down."""
        return {key: self[key].plain() if isinstance(self[key], Table) else self[key] for key in self}

    def _tables(self) -> list[Table]:
        return [value for value in self._values.values() if isinstance(value, Table)]


def is_reference(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and set(value) <= {"env", "file"}


def resolve(reference: Mapping[str, Any], where: str) -> tuple[str | None, str]:
    """The secret behind `{ env = "VAR" }` or `{ file = "/path" }`, or None and what to do.

    An empty one counts as none: `VAR=` is how many tools write "not set", and no secret is empty.
    """
    if len(reference) != 1 or not isinstance(next(iter(reference.values())), str):
        raise ConfigError(f'{where}: write {{ env = "VAR" }} or {{ file = "/path" }}, one of them')
    if "env" in reference:
        name = reference["env"]
        value, what = os.environ.get(name), f"the environment variable {name}"
    else:
        path = Path(reference["file"])
        value, what = _read_secret(path, where), f"the file {path}"
    if value is None:
        return None, f"{what} is not set" if "env" in reference else f"{what} does not exist"
    return (value, "") if value.strip() else (None, f"{what} is empty")


def _read_secret(path: Path, where: str) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text, or no file can have this name"
        raise ConfigError(f"{where}: cannot read {path}: {reason}") from None


def convert(values: Any, kind: type[T], path: str, missing: Mapping[str, str] | None = None) -> T:
    """`values` as `kind`; a complaint names its key as a dotted path. `missing`: see `Table.missing`."""
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
        where = f"{where}.{named.group(2)}"
        if named.group(1).startswith("contains"):
            return f"{where}: unknown key"
        return f"{where}: {missing.get(where, 'this key is required')}"
    for word, toml in ((" | null", ""), ("object", "table"), ("array", "list"), ("`", "")):
        message = message.replace(word, toml)
    return f"{where}: {message[0].lower()}{message[1:]}"


def read_settings(table: Mapping[str, Any], kind: type[T]) -> T:
    """A plugin's settings table as its own msgspec Struct (use `forbid_unknown_fields=True`).

    A field with a default is optional: a reference to an unset variable then means "absent".
    Raises ConfigError naming the key.
    """
    if isinstance(table, Table):
        return convert(table.plain(), kind, table.path, table.missing())
    return convert(dict(table), kind, "settings")
