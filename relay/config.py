"""plugins.toml -> frozen Settings and the plugins' tables. Complaints name their key."""

from __future__ import annotations

import copy
import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import tomli

from relay.complaints import Complaints
from relay.errors import ConfigError
from relay.settings import EventSettings, RelaySettings, Settings, TierSettings
from relay.tables import Table, convert, is_reference


@dataclass(frozen=True, slots=True)
class Config:
    """`plugins`: the tables of the enabled plugins in the order of asking.

    `instances`: names of the plugins' sub-tables, which may be the names of backends. `raw`: the file as it is
    written, with references in the place of secrets."""

    settings: Settings
    plugins: dict[str, Table]
    instances: frozenset[str]
    warnings: tuple[str, ...]
    path: Path
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


def load_config(path: Path) -> Config:
    """Read and check the file. Raises ConfigError that names each wrong key, or the line of a syntax error."""
    written = _parse(path)
    raw = copy.deepcopy(written)
    tables = raw.pop("plugins", {})
    complaints = Complaints()
    with complaints.collected():
        plugins, instances = _plugins(tables)
    with complaints.collected():
        settings, plain = _settings(raw)
    complaints.settle()
    for table in plugins.values():
        plain += table.plain_secrets
    return Config(settings, plugins, instances, tuple(_plain(where) for where in plain), path, written)


def checked(tree: dict[str, Any]) -> Settings:
    """The sections of `plugins.toml` without the plugins', as Settings, checked just as the file is.

    Raises ConfigError with one line for each complaint, which begins with its key.
    """
    return _settings(tree)[0]


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomli.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file. Give --config FILE or set RELAY_CONFIG; the repository has a plugins.toml"
        ) from None
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from None
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{path}: {exc}") from None


def _plugins(tables: Any) -> tuple[dict[str, Table], frozenset[str]]:
    if not isinstance(tables, dict):
        raise ConfigError("plugins: write a table [plugins.NAME] for each plugin")
    complaints = Complaints()
    plugins: dict[str, Table] = {}
    instances: set[str] = set()
    for name, values in tables.items():
        with complaints.collected():
            if not isinstance(values, dict):
                raise ConfigError(f"plugins.{name}: must be a table [plugins.{name}]")
            enabled = values.pop("enabled", True)
            if not isinstance(enabled, bool):
                raise ConfigError(f"plugins.{name}.enabled: must be true or false")
            instances |= {key for key, value in values.items() if isinstance(value, dict) and not is_reference(value)}
            if enabled:
                plugins[name] = Table(values, f"plugins.{name}")
    complaints.settle()
    return plugins, frozenset(instances)


def _settings(raw: dict[str, Any]) -> tuple[Settings, list[str]]:
    """The settings, and the dotted paths of secrets written out in them."""
    known = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    complaints = Complaints()
    values: dict[str, Any] = {}
    plain: list[str] = []
    for name, value in raw.items():
        with complaints.collected():
            if name not in known:
                raise ConfigError(f"{name}: unknown key. The sections are: {', '.join([*known, 'plugins'])}")
            if name == "relay" and isinstance(value, dict):
                table = Table(value, name)
                plain += table.plain_secrets
                values[name] = _relay(table)
            elif name == "events" and isinstance(value, dict):
                table = Table(value, name)
                plain += table.plain_secrets
                values[name] = convert(table.plain(), EventSettings, name, table.missing())
            elif name == "tiers" and isinstance(value, dict):
                values[name] = _tiers(value)
            else:
                values[name] = convert(value, known[name], name)
    complaints.settle()
    settings = Settings(**values)
    _check(settings)
    if password := os.environ.get("RELAY_ADMIN_PASSWORD"):
        relay = msgspec.structs.replace(settings.relay, admin_password=password)
        settings = msgspec.structs.replace(settings, relay=relay)
    return settings, plain


def _relay(table: Table) -> RelaySettings:
    settings = convert(table.plain(), RelaySettings, table.path, table.missing())
    if "reserve_threads" not in table:
        fitting = min(settings.reserve_threads, settings.threads // 4)
        settings = msgspec.structs.replace(settings, reserve_threads=fitting)
    return settings


def _tiers(tables: dict[str, Any]) -> dict[str, TierSettings]:
    """One by one, because msgspec does not say which key of a dict was wrong."""
    complaints = Complaints()
    tiers: dict[str, TierSettings] = {}
    for name, values in tables.items():
        with complaints.collected():
            tiers[name] = convert(values, TierSettings, f"tiers.{name}")
    complaints.settle()
    return tiers


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
    if settings.events.url is not None and settings.events.secret is None:
        raise ConfigError('events.secret: needed to sign events; set { env = "VAR" }, at least 16 characters')
    if settings.relay.reserve_threads >= settings.relay.threads:
        raise ConfigError(
            f"relay.reserve_threads: {settings.relay.reserve_threads} is not smaller than "
            f"relay.threads ({settings.relay.threads})"
        )


def _plain(where: str) -> str:
    return f'{where}: a plain secret in the file; better {{ env = "VAR" }} or {{ file = "/path" }}'
