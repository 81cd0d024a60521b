"""Commands that the running relay answers, or that are done on the storage when none runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relay import logs
from relay.cli.options import Places
from relay.config import Config
from relay.control import Command, ask
from relay.errors import ConfigError
from relay.loader import load_plugins
from relay.ports.storage import COLLECTIONS, STREAMS, Storage


def ask_or_open(
    places: Places, commands: Callable[[Storage, Config], dict[str, Command]], command: str, **args: Any
) -> Any:
    """`commands`: what is done here when no relay runs. Raises ConfigError."""
    logs.configure("warning")
    config = places.load()
    answer = ask(places.data_dir(config), command, **args)
    if answer is None:
        answer = _alone(places, config, lambda storage: commands(storage, config)[command](None, **args))
    return answer


def _alone(places: Places, config: Config, do: Callable[[Storage], Any]) -> Any:
    """No relay runs here: open the storage ourselves."""
    data_dir = places.data_dir(config)
    if not data_dir.is_dir():
        raise ConfigError(f"{data_dir}: there is no data dir. Say where it is with --data or RELAY_DATA_DIR")
    storage = load_plugins(config).storage
    storage.open(data_dir, COLLECTIONS, STREAMS)
    edited = storage.outside_changes()
    try:
        if edited:
            # What was edited by hand is the next `serve`'s to check and to enter in the ledger.
            raise ConfigError(f"{', '.join(edited)}: changed by hand since the last stop. Run `relay serve` first")
        return do(storage)
    finally:
        if not edited:
            storage.close()
