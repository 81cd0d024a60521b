"""Orders, under our random ids."""

from __future__ import annotations

import hashlib
from datetime import datetime

from relay.domain.orders import Order
from relay.ports.storage import ReadTx, Tx

COLL = "orders"


def get(tx: ReadTx, order_id: str) -> Order | None:
    return tx.get(COLL, order_id, Order)


def put(tx: Tx, order_id: str, order: Order) -> None:
    tx.put(COLL, order_id, order)


def wake(tx: Tx, order_id: str, now: datetime) -> None:
    """Back into the sweep with an order that has left it: there is news of it."""
    order = get(tx, order_id)
    if order is not None and order.next_check_at is None:
        order.next_check_at = now
        put(tx, order_id, order)


def by_invoice(tx: ReadTx, rail: str, invoice_id: str) -> str | None:
    """Our id of the order that was sold under the rail's id."""
    key = invoice_key(rail, invoice_id)
    rows = tx.scan(COLL, "invoice", key, key, limit=1)
    return rows[0][0] if rows else None


def by_token(tx: ReadTx, token: str) -> str | None:
    """Our id of the order that a return page belongs to."""
    key = token_key(token)
    rows = tx.scan(COLL, "pay", key, key, limit=1)
    return rows[0][0] if rows else None


def due(tx: ReadTx, now: str, limit: int) -> list[tuple[str, Order]]:
    """Orders to ask about, oldest due first."""
    found = [(key, get(tx, key)) for key, _ in tx.scan(COLL, "next_check_at", None, now, limit=limit)]
    return [(key, order) for key, order in found if order is not None]


def of_account(tx: ReadTx, account: str, before: str | None, limit: int) -> list[tuple[str, Order]]:
    """The account's orders, newest first; `before`: the `account_at` of the last one seen."""
    top = f"{account} \U0010ffff" if before is None else before
    rows = tx.scan(COLL, "account_at", f"{account} ", top, limit=limit + 1, reverse=True)
    found = [(key, get(tx, key)) for key, doc in rows if doc["account_at"] != before]
    return [(key, order) for key, order in found if order is not None][:limit]


def invoice_key(rail: str, invoice_id: str) -> str:
    return f"{rail} {invoice_id}"


def token_key(token: str) -> str:
    """Return pages are reached by a secret; the data dir holds its hash."""
    return hashlib.sha256(token.encode()).hexdigest()
