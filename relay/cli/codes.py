"""`relay codes list`, `create` and `disable`: asked of the running relay, or done on the storage when none runs."""

from __future__ import annotations

from typing import Any

import msgspec

from relay.cli import output
from relay.cli.asking import ask_or_open
from relay.cli.options import Places
from relay.control import Command
from relay.domain.money import money
from relay.errors import Invalid
from relay.ports.storage import Storage
from relay.services.codes import Change, Codes, NewCode
from relay.services.live import SettingsView
from relay.services.settings_book import in_force

SHOWN = 1000
ACTOR = "cli"


def commands(storage: Storage, settings: SettingsView) -> dict[str, Command]:
    """What a running relay answers, and what is done here when none runs."""
    codes = Codes(storage, settings)

    def create(_progress: Any, *, code: dict[str, Any]) -> dict[str, Any]:
        return codes.create(_read(code), actor=ACTOR)

    return {
        "codes.list": lambda _progress: codes.page(SHOWN),
        "codes.create": create,
        "codes.disable": lambda _progress, *, code: codes.change(str(code), Change(active=False), actor=ACTOR),
    }


def show(places: Places, *, as_json: bool) -> int:
    """The newest thousand."""
    count, rows = _ask(places, "codes.list")
    if as_json:
        print(msgspec.json.format(msgspec.json.encode({"count": count, "rows": rows}), indent=2).decode())
        return 0
    head = ("code", "what it does", "used", "reserved", "of", "until", "state", "label")
    output.table(head, [_line(row) for row in rows])
    return 0


def create(places: Places, code: str, kind: str, amount: str, currency: str, **more: Any) -> int:
    """`amount`: percent for `percent`, else money, both as decimals."""
    value = 0
    if kind != "free":
        try:
            # A percent has two decimal places, like a dollar: its units are basis points.
            value = money(amount, "USD" if kind == "percent" else currency).units
        except ValueError as exc:
            raise Invalid(str(exc)) from None
    new = {"code": code, "kind": kind, "value": value, **{name: told for name, told in more.items() if told}}
    if kind in {"fixed", "set_price"}:
        new["currency"] = currency
    _read(new)  # wrong usage is said here, also when a relay runs
    made = _ask(places, "codes.create", code=new)
    output.good(f"{made['code']}: {_what(made)}")
    return 0


def disable(places: Places, code: str) -> int:
    made = _ask(places, "codes.disable", code=code)
    output.good(f"{made['code']} is disabled; orders that have reserved it keep its price")
    return 0


def _ask(places: Places, command: str, **args: Any) -> Any:
    return ask_or_open(places, lambda storage, config: commands(storage, in_force(storage, config)), command, **args)


def _read(code: dict[str, Any]) -> NewCode:
    try:
        return msgspec.convert(code, NewCode)
    except msgspec.ValidationError as exc:
        raise Invalid(str(exc).replace("`", "")) from None


def _what(row: dict[str, Any]) -> str:
    if row["kind"] == "percent":
        return f"{row['value'] / 100:g} % off"
    if row["kind"] == "free":
        return "free"
    amount = f"{row['amount']} {row['currency']}"
    return f"{amount} off" if row["kind"] == "fixed" else f"for {amount}"


def _line(row: dict[str, Any]) -> list[str]:
    of = "any" if row["max_uses"] is None else str(row["max_uses"])
    state = "active" if row["active"] else "disabled"
    if row["over_used"]:
        state += f", {row['over_used']} too many"
    counts = [str(row["used"]), str(row["reserved"]), of]
    return [row["code"], _what(row), *counts, row["expires_at"] or "", state, row["label"]]
