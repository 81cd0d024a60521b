"""What the operator saved in the dashboard: one document of values that beat the file."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from relay.books import audit
from relay.ports.storage import ReadTx, Tx

COLL = "settings"
KEY = "overrides"
REMEMBERED = 200
"""Changes whose lines in the audit log are listed as the history."""


class Overrides(Struct):
    """`values` by dotted key. `saved`: the version in which each was saved last. `history`: ids of lines in the audit
    log, the newest last."""

    version: int = 0
    values: dict[str, Any] = field(default_factory=dict)
    saved: dict[str, int] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)


def load(tx: ReadTx) -> Overrides:
    return tx.get(COLL, KEY, Overrides) or Overrides()


def save(tx: Tx, overrides: Overrides, line: str) -> None:
    """`line`: the audit log's, about this change."""
    overrides.history = [*overrides.history, line][-REMEMBERED:]
    tx.put(COLL, KEY, overrides)


def history(tx: ReadTx, limit: int) -> list[tuple[str, audit.Change]]:
    """Newest first; without lines that the log has no more."""
    keys = load(tx).history[::-1][:limit]
    found = [(key, tx.get(audit.COLL, key, audit.Change)) for key in keys]
    return [(key, change) for key, change in found if change is not None]
