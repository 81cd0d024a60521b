"""Open holds, under the server id of their job."""

from __future__ import annotations

import msgspec

from relay.domain.holds import Hold
from relay.ports.storage import ReadTx, Tx

COLL = "holds"


def get(tx: ReadTx, job: str) -> Hold | None:
    return tx.get(COLL, job, Hold)


def put(tx: Tx, hold: Hold) -> None:
    tx.put(COLL, hold.job, hold)


def delete(tx: Tx, hold: Hold) -> None:
    tx.delete(COLL, hold.job)


def of_account(tx: ReadTx, account: str) -> list[Hold]:
    """There are only as many open holds as calls in flight, so looking through them all is cheap."""
    found = [msgspec.convert(doc, Hold) for _, doc in tx.scan(COLL, limit=10_000)]
    return [hold for hold in found if hold.account == account]


def page(tx: ReadTx, after: str = "", limit: int = 200) -> list[Hold]:
    """Open holds in the order of their job ids, from the one after `after`."""
    rows = tx.scan(COLL, None, after + "\0" if after else None, limit=limit)
    return [msgspec.convert(doc, Hold) for _, doc in rows]
