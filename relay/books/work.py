"""Jobs in the background, under the server ids of their records."""

from __future__ import annotations

from datetime import datetime

import msgspec

from relay.domain.work import Work
from relay.ports.storage import ReadTx, Tx

COLL = "work"


def get(tx: ReadTx, job_id: str) -> Work | None:
    return tx.get(COLL, job_id, Work)


def put(tx: Tx, job_id: str, work: Work) -> None:
    tx.put(COLL, job_id, work)


def unfinished(tx: ReadTx, offset: int, limit: int = 200) -> list[tuple[str, Work]]:
    """Jobs that have not ended, in the order they were accepted in."""
    rows = tx.scan(COLL, "open_at", limit=limit, offset=offset)
    return [(key, msgspec.convert(doc, Work)) for key, doc in rows]


def drop_results(tx: Tx, since: datetime | None, until: datetime, offset: int, limit: int = 200) -> int:
    """Forget the results of jobs that ended between the two; return how many rows were looked at."""
    rows = tx.scan(COLL, "finished_at", _text(since), _text(until), limit=limit, offset=offset)
    for key, doc in rows:
        if doc.get("result") is not None:
            tx.put(COLL, key, {**doc, "result": None})
    return len(rows)


def prune(tx: Tx, until: datetime, limit: int = 200) -> int:
    """Delete the rows of jobs that ended before `until`; return how many."""
    rows = tx.scan(COLL, "finished_at", None, _text(until), limit=limit)
    for key, _ in rows:
        tx.delete(COLL, key)
    return len(rows)


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else str(msgspec.to_builtins(instant))
