"""The payment inbox: every delivery with its verdict."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from relay.ports.storage import ReadTx, Tx

COLL = "inbox"
SETTLED = "processed-webhooks"


class Received(Struct, omit_defaults=True):
    """One delivery. `invoice`: rail, space, the rail's id. `order`: ours, when it is known. `verdict`: what became of
    it. `sha256`, `size`: of its body; the body itself is not kept, the rail has the truth."""

    at: str
    rail: str
    event: str
    verdict: str
    signed: bool = False
    delivery: str = ""
    invoice: str | None = None
    order: str = ""
    sha256: str = ""
    size: int = 0
    detail: str = ""


def put(tx: Tx, key: str, received: Received) -> None:
    tx.put(COLL, key, received)


def verdict(tx: Tx, key: str, said: str, detail: str = "") -> None:
    received = tx.get(COLL, key, Received)
    if received is not None:
        received.verdict, received.detail = said, detail
        tx.put(COLL, key, received)


def page(tx: ReadTx, *, limit: int, before: str | None) -> list[tuple[str, dict[str, Any]]]:
    # By the key, which begins with the time: many rows share a second.
    rows = tx.scan(COLL, None, None, before, limit=limit + 1, reverse=True)
    return [row for row in rows if row[0] != before][:limit]


def is_settled(tx: ReadTx, key: str) -> bool:
    """Whether a payment was credited under this key."""
    return tx.get(SETTLED, key) is not None


def settle(tx: Tx, key: str, at: str) -> None:
    """Raises AlreadyExists when it was."""
    tx.insert(SETTLED, key, {"value": at})
