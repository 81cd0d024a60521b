"""`relay reconcile`: ask the payment services about every open order, once, to the end."""

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
from relay.services.core import Core


def run(places: Places, *, as_json: bool) -> int:
    """0 when every order could be asked about; 1 when a payment service did not answer."""
    logs.configure("warning")
    config = places.load()
    with output.progress("asking the payment services") as progress:
        report = ask(places.data_dir(config), "reconcile", progress)
        if report is None:
            report = _alone(places, config, progress)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        counted = f"{report['asked']} asked, {report['granted']} credited, {report['left']} still open"
        if report["ok"]:
            output.good(counted)
        else:
            output.bad(f"{report['failed']} could not be asked about, see the log; {counted}")
    return 0 if report["ok"] else 1


def _alone(places: Places, config: Config, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """No relay runs here: open the storage ourselves."""
    data_dir = places.data_dir(config)
    if not data_dir.is_dir():
        raise ConfigError(f"{data_dir}: there is no data dir. Say where it is with --data or RELAY_DATA_DIR")
    core = Core(config, load_plugins(config), data_dir)
    if edited := core.storage.outside_changes():
        # Left open: a clean close would make the edit the new normal, and it would never be in the ledger.
        raise ConfigError(f"{', '.join(edited)}: changed by hand since the last stop. Run `relay serve` first")
    try:
        return core.till.reconciler.all(progress, actor="cli").view()
    finally:
        core.close()
