"""Job records, under their server ids."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from relay.domain.instants import iso
from relay.domain.jobs import Job, account_at
from relay.ports.storage import ReadTx, Storage, Tx

COLL = "jobs"
BATCH = 200

Found = tuple[datetime, str, Job]


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


def newest(
    storage: Storage,
    *,
    begin: datetime | None = None,
    end: datetime | None = None,
    account: str | None = None,
    before: tuple[datetime, str] | None = None,
) -> Iterator[list[Found]]:
    """Records by when they were made, newest first, in batches that are read one by one. `begin`, `end`: included.

    `before`: time and id of the last one seen. What is written meanwhile never repeats a record or leaves one out.
    """
    if before is not None:
        end = before[0] if end is None else min(end, before[0])
    index = "created_at" if account is None else "account_at"
    low, high = _bounds(account, begin, end)
    offset, last = 0, before
    while rows := storage.read(
        lambda tx: tx.scan(COLL, index, low, high, limit=BATCH, offset=offset, reverse=True)  # noqa: B023
    ):
        offset += len(rows)
        batch: list[Found] = []
        for key, doc in rows:
            job = msgspec.convert(doc, Job)
            if last is None or (job.created_at, key) < last:
                last = (job.created_at, key)
                batch.append((job.created_at, key, job))
        yield batch


def _bounds(account: str | None, begin: datetime | None, end: datetime | None) -> tuple[str | None, str | None]:
    if account is None:
        return iso(begin), iso(end)
    low = f"{account} " if begin is None else account_at(account, begin)
    return low, f"{account} ~" if end is None else account_at(account, end)


def state_of(job: Job) -> str:
    """`completed` with an answer, whether it was refunded later or not; else `failed`."""
    return "completed" if job.paid_at is not None or job.refunded else "failed"


def charged(job: Job) -> int:
    """Credits its answer cost; a refund is told apart from that."""
    return int(job.paid_at is not None or job.refunded)
