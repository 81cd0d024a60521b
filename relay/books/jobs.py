"""Job records, under their server ids."""

from __future__ import annotations

from datetime import datetime

import msgspec

from relay.domain.jobs import Job
from relay.ports.storage import ReadTx, Tx

COLL = "jobs"


def get(tx: ReadTx, job_id: str) -> Job | None:
    return tx.get(COLL, job_id, Job)


def put(tx: Tx, job_id: str, job: Job) -> None:
    tx.put(COLL, job_id, job)


def prune(tx: Tx, cutoff: datetime, limit: int = 500) -> int:
    """Delete records made before `cutoff` that have no open hold; return how many."""
    rows = tx.scan(COLL, "created_at", None, msgspec.to_builtins(cutoff), limit=limit)
    gone = [key for key, _ in rows if tx.get("holds", key) is None]
    for key in gone:
        tx.delete(COLL, key)
    return len(gone)
