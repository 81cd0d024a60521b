"""Finished parts of jobs in the background, under `<job>/<call>/<name>`.

The call is in the key because a job id can be run again: what an earlier run left behind is not for a later one.
"""

from __future__ import annotations

from base64 import b64decode, b64encode

from relay.ports.storage import ReadTx, Tx

COLL = "pieces"
LAST = "\U0010ffff"
"""Sorts behind every character of a name."""


def of_call(tx: ReadTx, job_id: str, call: str) -> dict[str, bytes]:
    """All pieces of one run. A run has hundreds of them at most."""
    begin = f"{job_id}/{call}/"
    rows = tx.scan(COLL, None, begin, begin + LAST, limit=100_000)
    return {key.removeprefix(begin): b64decode(doc["data"]) for key, doc in rows}


def put(tx: Tx, job_id: str, call: str, name: str, piece: bytes) -> None:
    tx.put(COLL, f"{job_id}/{call}/{name}", {"data": b64encode(piece).decode("ascii")})


def delete(tx: Tx, job_id: str, call: str, name: str) -> None:
    tx.delete(COLL, f"{job_id}/{call}/{name}")


def delete_all(tx: Tx, job_id: str, call: str = "", limit: int = 200) -> int:
    """Delete pieces of one run, or whatever all runs of the job left; return how many."""
    begin = f"{job_id}/{call}/" if call else f"{job_id}/"
    rows = tx.scan(COLL, None, begin, begin + LAST, limit=limit)
    for key, _ in rows:
        tx.delete(COLL, key)
    return len(rows)


def jobs(tx: ReadTx, after: str, limit: int = 200) -> list[str]:
    """Server ids of jobs that have pieces, from the one behind `after`, each once."""
    rows = tx.scan(COLL, None, f"{after}/{LAST}" if after else None, limit=limit)
    return list(dict.fromkeys(key.partition("/")[0] for key, _ in rows))
