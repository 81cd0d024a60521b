"""Messages that wait to be sent, or were given up, under their delivery ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from relay.domain import deliveries
from relay.domain.deliveries import Delivery
from relay.domain.instants import iso
from relay.ports.storage import ReadTx, Tx

COLL = "outbox"
LEASE_SECONDS = 60
"""A message being sent is due again after this: its sender may have died."""
MAX_SENDERS = 8
MAX_PER_HOST = 2
SCAN = 64
"""Due messages looked at in one go."""
DEAD_DAYS = 30
MAX_DEAD = 200

Rows = list[tuple[str, Delivery]]


def waiting(tx: ReadTx, *, until: datetime | None = None, limit: int, offset: int = 0) -> Rows:
    """The next due first."""
    return _rows(tx.scan(COLL, "due_at", None, iso(until), limit=limit, offset=offset))


def dead(tx: ReadTx, *, limit: int, offset: int = 0) -> Rows:
    """The newest first."""
    return _rows(tx.scan(COLL, "dead_at", limit=limit, offset=offset, reverse=True))


def counts(tx: ReadTx) -> tuple[int, int]:
    """How many wait, and how many are dead."""
    return tx.count(COLL, "due_at"), tx.count(COLL, "dead_at")


def lease(tx: Tx, sending: Mapping[str, str], now: datetime, offset: int) -> tuple[Rows, int | None]:
    """Take due messages from behind the first `offset`; and say where to look on, None when that is of no use.

    `sending`: the host of each message that this process is sending. Messages to hosts that have enough are passed
    over: one slow receiver with many messages must not hold up the others behind it.
    """
    busy = Counter(sending.values())
    due = waiting(tx, until=now, limit=SCAN, offset=offset)
    taken: Rows = []
    for key, row in due:
        if key not in sending and busy[row.host] < MAX_PER_HOST and busy.total() < MAX_SENDERS:
            busy[row.host] += 1
            row.due_at = now + timedelta(seconds=LEASE_SECONDS)
            tx.put(COLL, key, row)
            taken.append((key, row))
    done = len(due) < SCAN or busy.total() >= MAX_SENDERS
    return taken, None if done else offset + SCAN - len(taken)


def sent(tx: Tx, key: str) -> None:
    tx.delete(COLL, key)


def failed(tx: Tx, key: str, error: str, now: datetime, jitter: float) -> Delivery | None:
    """Book a failed try and return the message; None when it was dropped meanwhile. The oldest dead make room."""
    row = tx.get(COLL, key, Delivery)
    if row is None:
        return None
    deliveries.failed(row, error, now, jitter)
    tx.put(COLL, key, row)
    if row.dead_at:
        for old, _ in tx.scan(COLL, "dead_at", limit=max(0, tx.count(COLL, "dead_at") - MAX_DEAD)):
            tx.delete(COLL, old)
    return row


def retry(tx: Tx, key: str, now: datetime) -> bool:
    """Make it due now, with all its tries before it again; False when there is none."""
    row = tx.get(COLL, key, Delivery)
    if row is not None:
        row.due_at, row.dead_at, row.tries = now, None, 0
        tx.put(COLL, key, row)
    return row is not None


def drop(tx: Tx, key: str) -> bool:
    found = tx.get(COLL, key) is not None
    tx.delete(COLL, key)
    return found


def prune(tx: Tx, now: datetime) -> None:
    """Forget what has been dead for 30 days."""
    for key, _ in tx.scan(COLL, "dead_at", None, iso(now - timedelta(days=DEAD_DAYS)), limit=MAX_DEAD):
        tx.delete(COLL, key)


def _rows(found: list[tuple[str, dict[str, object]]]) -> Rows:
    return [(key, msgspec.convert(doc, Delivery)) for key, doc in found]
