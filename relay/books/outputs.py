"""What calls answered, under "<job>/<when>-<call>": small answers in the document, large ones in a blob."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from relay.books import usage
from relay.domain.instants import iso
from relay.ports.storage import ReadTx, Tx

COLL = "outputs"
MAX_LISTED = 50


class Output(Struct, omit_defaults=True, gc=False):
    """`bytes`: the size of the result as JSON, which is `body` (put as msgspec.Raw), or in the blob `blob`."""

    at: datetime
    task: str
    bytes: int
    body: Any = None
    blob: str | None = None


class Listed(Struct, gc=False):
    """The same without what it says, to be read cheaply."""

    at: datetime
    task: str
    bytes: int


def key_of(job_id: str, call_id: str, at: datetime) -> str:
    """Sorts the answers of one job by time."""
    return f"{job_id}/{at.isoformat()[:19]}-{call_id[:8]}"


def put(tx: Tx, key: str, output: Output) -> None:
    tx.put(COLL, key, output)


def get(tx: ReadTx, key: str) -> Output | None:
    return tx.get(COLL, key, Output)


def keys_of(tx: ReadTx, job_id: str, limit: int = MAX_LISTED) -> list[str]:
    """The newest answers of a job, newest first. `0` is what follows `/`."""
    return [key for key, _ in tx.scan(COLL, None, f"{job_id}/", f"{job_id}0", limit=limit, reverse=True)]


def listed(tx: ReadTx, job_id: str) -> list[tuple[str, Listed]]:
    found = [(key, tx.get(COLL, key, Listed)) for key in keys_of(tx, job_id)]
    return [(key, each) for key, each in found if each is not None]


def oldest(tx: ReadTx, until: datetime | None, limit: int) -> list[str]:
    """Keys of the oldest answers, of those up to `until` if it is given."""
    return [key for key, _ in tx.scan(COLL, "at", None, iso(until), limit=limit)]


def drop(tx: Tx, keys: list[str], now: datetime) -> tuple[int, int]:
    """Delete answers; how many, and of what size in bytes."""
    found = [(key, tx.get(COLL, key, Listed)) for key in keys]
    gone = [(key, each.bytes) for key, each in found if each is not None]
    for key, _ in gone:
        tx.delete(COLL, key)
    size = sum(each for _, each in gone)
    if gone:
        usage.stored(tx, now, -size)
    return len(gone), size
