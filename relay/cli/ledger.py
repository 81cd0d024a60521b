"""`relay ledger verify`."""

from __future__ import annotations

from typing import Any

import msgspec

from relay import logs
from relay.cli import output
from relay.cli.options import Places
from relay.control import ask
from relay.errors import ConfigError
from relay.loader import load_plugins
from relay.ports.storage import COLLECTIONS, STREAMS
from relay.services.verify import verify


def run(places: Places, *, as_json: bool) -> int:
    """0 balanced; 1 and the accounts that differ."""
    config = places.load()
    logs.configure("warning")
    data_dir = places.data_dir(config)
    with output.progress("verifying the ledger") as progress:
        report = ask(data_dir, "ledger.verify", progress)
        if report is None:
            report = _alone(places, progress)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        _show(report)
    return 0 if report["ok"] else 1


def _alone(places: Places, progress: Any) -> dict[str, Any]:
    """No relay runs here: open the storage ourselves."""
    config = places.load()
    data_dir = places.data_dir(config)
    if not data_dir.is_dir():
        raise ConfigError(f"{data_dir}: there is no data dir. Say where it is with --data or RELAY_DATA_DIR")
    storage = load_plugins(config).storage
    storage.open(data_dir, COLLECTIONS, STREAMS)
    try:
        return verify(storage, progress)
    finally:
        storage.close()


def _show(report: dict[str, Any]) -> None:
    counted = f"{report['accounts']} accounts, {report['entries']} entries"
    if report["ok"]:
        output.good(f"balanced: {counted}")
        return
    output.bad(f"{len(report['different'])} of {counted} differ")
    for found in report["different"]:
        what = ", ".join(f"{name} is {v['row']}, ledger says {v['ledger']}" for name, v in found["differences"].items())
        chain = "" if found["chain"] == "whole" else " (the chain of entries is broken)"
        print(f"  {found['credit_key']}: {what}{chain}")
