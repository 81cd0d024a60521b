"""`relay ledger verify`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from relay import logs
from relay.cli import output
from relay.cli.options import Places
from relay.config import Config
from relay.control import ask
from relay.errors import ConfigError
from relay.loader import load_plugins
from relay.ports.storage import COLLECTIONS, STREAMS
from relay.services.verify import verify


def run(places: Places, *, as_json: bool) -> int:
    """0 balanced; 1 and the accounts that differ."""
    logs.configure("warning")
    config = places.load()
    with output.progress("verifying the ledger") as progress:
        report = ask(places.data_dir(config), "ledger.verify", progress)
        if report is None:
            report = _alone(places, config, progress)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        _show(report)
    return 0 if report["ok"] else 1


def _alone(places: Places, config: Config, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """No relay runs here: open the storage ourselves."""
    data_dir = places.data_dir(config)
    if not data_dir.is_dir():
        raise ConfigError(f"{data_dir}: there is no data dir. Say where it is with --data or RELAY_DATA_DIR")
    storage = load_plugins(config).storage
    storage.open(data_dir, COLLECTIONS, STREAMS)
    try:
        return verify(storage, progress)
    finally:
        # A clean close would make an edit by hand the new normal, and the next `serve`, whose task it is,
        # would never enter it in the ledger. Left open, it stays an edit.
        if not storage.outside_changes():
            storage.close()


def _show(report: dict[str, Any]) -> None:
    counted = f"{report['accounts']} accounts, {report['entries']} entries"
    if report["ok"]:
        output.good(f"balanced: {counted}")
        return
    output.bad(f"{len(report['different'])} accounts differ ({counted})")
    for found in report["different"]:
        what = [f"{name} is {v['row']}, ledger says {v['ledger']}" for name, v in found["differences"].items()]
        if "unreadable" in found:
            what.append(f"its row cannot be read: {found['unreadable']}")
        if found["chain"] != "whole":
            what.append("the chain of its entries is broken")
        print(f"  {found['credit_key']}: {', '.join(what)}")
