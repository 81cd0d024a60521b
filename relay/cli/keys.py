"""`relay keys create`, `list` and `revoke`: scoped keys of the admin API."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from relay.cli import output
from relay.cli.asking import ask_or_open
from relay.cli.options import Places
from relay.control import Command
from relay.errors import Invalid
from relay.ports.storage import Storage
from relay.services.admin_keys import AdminKeys, NewKey

ACTOR = "cli"


def commands(keys: AdminKeys) -> dict[str, Command]:
    """What a running relay answers, and what is done here when none runs."""

    def create(_progress: Any, *, key: dict[str, Any]) -> dict[str, Any]:
        try:
            new = msgspec.convert(key, NewKey)
        except msgspec.ValidationError as exc:
            raise Invalid(str(exc).replace("`", "")) from None
        return keys.create(new, actor=ACTOR)

    def revoke(_progress: Any, *, key: str) -> str:
        keys.revoke(key, actor=ACTOR)
        return key

    return {
        "keys.list": lambda _progress: keys.list(),
        "keys.create": create,
        "keys.revoke": revoke,
    }


def create(places: Places, role: str, label: str | None, expires_days: int | None) -> int:
    """The key alone on stdout, so that a script can take it; the rest on stderr. It is shown this once."""
    new = {"role": role, "label": role if label is None else label, "expires_days": expires_days}
    made = _ask(places, "keys.create", key=new)
    print(made["key"], flush=True)
    until = f", until {made['expires_at']}" if made["expires_at"] else ""
    print(f"relay: key {made['id']}, {made['role']}{until}; it is shown this once", file=sys.stderr)
    return 0


def show(places: Places, *, as_json: bool) -> int:
    """The newest first."""
    keys = _ask(places, "keys.list")
    if as_json:
        print(msgspec.json.format(msgspec.json.encode({"keys": keys}), indent=2).decode())
        return 0
    output.table(("id", "role", "label", "made", "by", "last used", "until"), [_line(key) for key in keys])
    return 0


def revoke(places: Places, key: str) -> int:
    _ask(places, "keys.revoke", key=key)
    output.good(f"{key} is revoked; nobody comes in with it any more")
    return 0


def _ask(places: Places, command: str, **args: Any) -> Any:
    def alone(storage: Storage, _config: Any) -> dict[str, Command]:
        return commands(AdminKeys(storage))

    return ask_or_open(places, alone, command, **args)


def _line(key: dict[str, Any]) -> list[str]:
    until = "expired" if key["expired"] else key["expires_at"] or ""
    made, used = key["created_at"], key["last_used_at"] or "never"
    return [key["id"], key["role"], key["label"], made, key["created_by"], used, until]
