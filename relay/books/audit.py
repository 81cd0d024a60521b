"""The audit log: who changed what, when, from what to what. Written in the transaction that makes the change."""

from __future__ import annotations

import secrets
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from relay.ports.storage import ReadTx, Tx

COLL = "audit"
MAX_TEXT = 500
MAX_NAME = 120
address_of_request: ContextVar[str] = ContextVar("address_of_request", default="")
"""Where the request came from that this thread answers; the HTTP side sets it, so that no service must pass it on."""


class Change(Struct, omit_defaults=True):
    """`actor`: "admin" (the password session), "key:<id>" (a scoped key), "operator" (the operator key of an app),
    "cli" (a command on this machine), "nobody" (who could not say) or "relay" (by itself). `action`:
    `<resource>.<verb>`. `target`: what was changed. `before`, `after`: what differs, never a secret. `address`: where
    the request came from."""

    at: datetime
    actor: str
    action: str
    target: str = ""
    before: Any = None
    after: Any = None
    reason: str = ""
    address: str = ""


def record(
    tx: Tx,
    actor: str,
    action: str,
    target: str = "",
    *,
    before: Any = None,
    after: Any = None,
    reason: str = "",
    address: str = "",
    now: datetime | None = None,
) -> str:
    """Write one line of the log, and return its id. Ids sort by time; they hold actor, action and target, so that a
    search over keys finds a line by any of them."""
    at, origin = now or datetime.now(UTC), address or address_of_request.get()
    words = " ".join(text[:MAX_NAME] for text in (actor, action, target) if text)
    key = f"{at.strftime('%Y-%m-%dT%H:%M:%S.%fZ')} {secrets.token_hex(3)} {words}"
    change = Change(at, actor, action, target[:MAX_TEXT], before, after, reason[:MAX_TEXT], origin)
    tx.put(COLL, key, change)
    return key


def prune(tx: Tx, before: datetime, limit: int) -> int:
    """Delete the oldest lines before this instant, at most `limit`; how many."""
    rows = tx.scan(COLL, None, None, before.strftime("%Y-%m-%dT%H:%M:%S"), limit=limit)
    for key, _ in rows:
        tx.delete(COLL, key)
    return len(rows)


def page(
    tx: ReadTx, *, limit: int, before: str | None = None, search: str | None = None, oldest: str | None = None
) -> list[tuple[str, Change]]:
    """Newest first; `before`: the id of the last one seen; `oldest`: look no further back. `search`: a part of time,
    actor, action or target."""
    rows = tx.scan(COLL, None, oldest, before, limit=limit + 1, reverse=True, contains=search)
    found = [(key, tx.get(COLL, key, Change)) for key, _ in rows if key != before][:limit]
    return [(key, change) for key, change in found if change is not None]


def further_back(tx: ReadTx, before: str | None, lines: int) -> str | None:
    """The id so many lines further back; None when there are not so many."""
    rows = tx.scan(COLL, None, None, before, limit=1, offset=lines, reverse=True)
    return rows[0][0] if rows else None
