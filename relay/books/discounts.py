"""Discount codes under their names, and the uses of them under the ids of their orders."""

from __future__ import annotations

from datetime import datetime

import msgspec

from relay.domain.discounts import Code, Redemption
from relay.domain.instants import iso
from relay.ports.storage import ReadTx, Tx

CODES = "codes"
USES = "redemptions"


def get(tx: ReadTx, name: str) -> Code | None:
    return tx.get(CODES, name, Code)


def put(tx: Tx, name: str, code: Code) -> None:
    tx.put(CODES, name, code)


def insert(tx: Tx, name: str, code: Code) -> None:
    """Raises AlreadyExists."""
    tx.insert(CODES, name, code)


def delete(tx: Tx, name: str) -> None:
    tx.delete(CODES, name)


def count(tx: ReadTx) -> int:
    return tx.count(CODES)


def newest(tx: ReadTx, limit: int, offset: int) -> list[tuple[str, Code]]:
    rows = tx.scan(CODES, "created_at", limit=limit, offset=offset, reverse=True)
    return [(name, msgspec.convert(doc, Code)) for name, doc in rows]


def use(tx: ReadTx, order_id: str) -> Redemption | None:
    return tx.get(USES, order_id, Redemption)


def insert_use(tx: Tx, order_id: str, use: Redemption) -> None:
    """Raises AlreadyExists: an order uses one code, once."""
    tx.insert(USES, order_id, use)


def put_use(tx: Tx, order_id: str, use: Redemption) -> None:
    tx.put(USES, order_id, use)


def due(tx: ReadTx, now: datetime, limit: int) -> list[str]:
    """Orders whose reservations have lasted long enough, the oldest first."""
    return [order_id for order_id, _ in tx.scan(USES, "due_at", None, iso(now), limit=limit)]
