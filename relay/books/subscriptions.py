"""Subscriptions, under the keys of their accounts."""

from __future__ import annotations

from datetime import datetime

from relay.domain.instants import iso
from relay.domain.subscriptions import Subscription
from relay.ports.storage import ReadTx, Tx

COLL = "subscriptions"


def get(tx: ReadTx, account: str) -> Subscription | None:
    return tx.get(COLL, account, Subscription)


def put(tx: Tx, account: str, sub: Subscription) -> None:
    tx.put(COLL, account, sub)


def due(tx: ReadTx, now: datetime, limit: int) -> list[str]:
    """Accounts whose subscription is to be looked at, the oldest due first."""
    return [key for key, _ in tx.scan(COLL, "next_at", None, iso(now), limit=limit)]
