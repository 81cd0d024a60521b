"""Figures per hour and per day, written with what they count.

A process counts into an open row of its own, `o <hour> <process>`. When the hour is over the row is closed: added to
`h <hour>`, `d <day>` and `t` (of all time) and deleted, in one transaction. So a call writes one small row, no row is
hot, and whoever adds up closed and open rows sees each call exactly once.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import msgspec

from relay.domain.ledger import Draft
from relay.domain.usage import Usage, count
from relay.ports.storage import Doc, ReadTx, Tx

COLL = "usage"
HOUR, DAY, TOTAL = "h", "d", "t"
_HOST = secrets.token_hex(4)
MAX_OPEN = 10_000
BATCH = 500


def now_row(tx: ReadTx, now: datetime) -> tuple[str, Usage]:
    """The open row of this process and hour, to be changed and put back under its key."""
    key = f"o {now.isoformat()[:13]} {_HOST}-{os.getpid()}"
    return key, tx.get(COLL, key, Usage) or Usage()


def put(tx: Tx, key: str, row: Usage) -> None:
    tx.put(COLL, key, row)


def count_entries(
    tx: Tx, now: datetime, drafts: Iterable[Draft], *, fresh: bool, counting: Callable[[Usage], None] | None
) -> None:
    """Ledger entries that are about to be written; `fresh`: for an account that is new."""
    key, row = now_row(tx, now)
    row.new_accounts += fresh
    for draft in drafts:
        if draft.kind == "charge":
            row.charged -= draft.amount
        elif draft.kind == "refund":
            row.refunded += draft.amount
        elif draft.kind == "grant":
            row.granted += draft.amount
        elif draft.kind == "purchase":
            row.sold += draft.amount
        elif draft.kind == "reversal":
            row.reversed -= draft.amount
    if counting is not None:
        counting(row)
    put(tx, key, row)


def failed(tx: Tx, now: datetime, task: str, code: str, calls: int = 1) -> None:
    """Calls that ended without an answer."""
    key, row = now_row(tx, now)
    row.calls += calls
    row.failed += calls
    count(row.tasks, task, calls)
    count(row.errors, code, calls)
    put(tx, key, row)


def paid(tx: Tx, now: datetime, currency: str, units: int) -> None:
    """An order was fulfilled."""
    key, row = now_row(tx, now)
    row.orders += 1
    if units:
        count(row.money, currency, units)
    put(tx, key, row)


def taken_back(tx: Tx, now: datetime, currency: str, units: int, owed: int) -> None:
    """An order's payment was taken back; `owed`: credits of it that had been spent."""
    key, row = now_row(tx, now)
    row.owed += owed
    if units:
        count(row.money_back, currency, units)
    put(tx, key, row)


def forgiven(tx: Tx, now: datetime, credits_owed: int) -> None:
    key, row = now_row(tx, now)
    row.owed -= credits_owed
    put(tx, key, row)


def stored(tx: Tx, now: datetime, size: int) -> None:
    """Bytes added to the output store, or removed (a negative `size`)."""
    key, row = now_row(tx, now)
    row.stored += size
    put(tx, key, row)


def waited(tx: Tx, now: datetime, waiting: int) -> None:
    """So many calls are in line now. Written only when it is the most of the hour."""
    key, row = now_row(tx, now)
    if waiting > row.queue_max:
        row.queue_max = waiting
        put(tx, key, row)


def close_hours(tx: Tx, now: datetime, limit: int = 50) -> int:
    """Close open rows of every hour but this one; return how many."""
    this = now.isoformat()[:13]
    rows = [(key, doc) for key, doc in tx.scan(COLL, None, "o ", "o!", limit=limit + 1) if key[2:15] != this]
    for key, doc in rows[:limit]:
        row = msgspec.convert(doc, Usage)
        for target in (f"{HOUR} {key[2:15]}", f"{DAY} {key[2:12]}", TOTAL):
            whole = tx.get(COLL, target, Usage) or Usage()
            whole.add(row)
            put(tx, target, whole)
        tx.delete(COLL, key)
    return len(rows[:limit])


def rows(tx: ReadTx, kind: str, names: Sequence[str]) -> dict[str, Usage]:
    """Of these hours (`2026-01-31T05`) or days (`2026-01-31`), all of one kind, those in which anything happened."""
    found = {name: row for name in names if (row := tx.get(COLL, f"{kind} {name}", Usage)) is not None}
    wanted, size = set(names), len(names[0]) if names else 0
    for key, row in _open(tx):
        if (name := key[2 : 2 + size]) in wanted:
            found.setdefault(name, Usage()).add(row)
    return found


def since_the_start(tx: ReadTx) -> Usage:
    """Everything that was ever counted."""
    whole = tx.get(COLL, TOTAL, Usage) or Usage()
    for _, row in _open(tx):
        whole.add(row)
    return whole


def _open(tx: ReadTx) -> list[tuple[str, Usage]]:
    found: list[tuple[str, Doc]] = tx.scan(COLL, None, "o ", "o!", limit=MAX_OPEN)
    return [(key, msgspec.convert(doc, Usage)) for key, doc in found]


def prune_hours(tx: Tx, before: datetime, limit: int = BATCH) -> int:
    """Delete hours that began before; return how many. Days are kept."""
    gone = tx.scan(COLL, None, f"{HOUR} ", f"{HOUR} {before.isoformat()[:13]}", limit=limit)
    for key, _ in gone:
        tx.delete(COLL, key)
    return len(gone)
