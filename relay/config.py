"""plugins.toml -> frozen Settings and the plugins' tables. Complaints name their key."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import tomli

from relay.errors import ConfigError
from relay.settings import Settings
from relay.tables import Table, convert


@dataclass(frozen=True, slots=True)
class Config:
    """`plugins`: the tables of the enabled plugins in the order of asking; `disabled`: names switched off.

    `instances`: names of sub-tables, which may be the names of backends."""

    settings: Settings
    plugins: dict[str, Table]
    disabled: tuple[str, ...]
    instances: frozenset[str]
    warnings: tuple[str, ...]
    path: Path


def load_config(path: Path) -> Config:
    """Read and check the file. Raises ConfigError that names the key, or the line of a syntax error."""
    raw = _parse(path)
    tables = raw.pop("plugins", {})
    if not isinstance(tables, dict):
        raise ConfigError("plugins: write a table [plugins.NAME] for each plugin")
    settings, warnings = _settings(raw)
    plugins: dict[str, Table] = {}
    disabled: list[str] = []
    for name, values in tables.items():
        if not isinstance(values, dict):
            raise ConfigError(f"plugins.{name}: must be a table [plugins.{name}]")
        enabled = values.pop("enabled", True)
        if not isinstance(enabled, bool):
            raise ConfigError(f"plugins.{name}.enabled: must be true or false")
        if enabled:
            plugins[name] = Table(values, f"plugins.{name}")
            warnings += [_plain(where) for where in plugins[name].plain_secrets]
        else:
            disabled.append(name)
    instances = frozenset(key for values in tables.values() for key, value in values.items() if isinstance(value, dict))
    return Config(settings, plugins, tuple(disabled), instances, tuple(warnings), path)


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomli.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file. Give --config FILE or set RELAY_CONFIG; the repository has a plugins.toml"
        ) from None
    except (OSError, UnicodeDecodeError, tomli.TOMLDecodeError) as exc:
        raise ConfigError(f"{path}: {exc}") from None


def _settings(raw: dict[str, Any]) -> tuple[Settings, list[str]]:
    known = {field.name: field for field in msgspec.structs.fields(Settings)}
    values: dict[str, Any] = {}
    warnings: list[str] = []
    for name, value in raw.items():
        if name not in known:
            raise ConfigError(f"{name}: unknown key")
        missing: dict[str, str] = {}
        if name == "relay" and isinstance(value, dict):
            table = Table(value, "relay")
            warnings += [_plain(where) for where in table.plain_secrets]
            value, missing = table.plain(), table.missing
        values[name] = convert(value, known[name].type, name, missing)
    settings = Settings(**values)
    _check(settings)
    return settings, warnings


def _check(settings: Settings) -> None:
    """What types cannot say."""
    if "core" not in settings.tiers:
        raise ConfigError("tiers.core: this tier must exist; every new account starts in it")
    for name, tier in settings.tiers.items():
        lifetime = (tier.lifetime_credits, tier.lifetime_gemini) != (None, None)
        monthly = (tier.monthly_credits, tier.monthly_gemini) != (None, None)
        if lifetime and monthly:
            raise ConfigError(f"tiers.{name}: use lifetime_* or monthly_* limits, not both")
    seen: set[str] = set()
    for n, package in enumerate(settings.packages):
        if package.id in seen:
            raise ConfigError(f"packages.{n}.id: {package.id!r} is used twice")
        seen.add(package.id)
    for n, text in enumerate(settings.relay.trusted_proxies):
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError as exc:
            raise ConfigError(f"relay.trusted_proxies.{n}: {exc}") from None
    if settings.relay.reserve_threads >= settings.relay.threads:
        raise ConfigError("relay.reserve_threads: must be smaller than relay.threads")


def _plain(where: str) -> str:
    return f'{where}: a plain secret in the file; better {{ env = "VAR" }} or {{ file = "/path" }}'
