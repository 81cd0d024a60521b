"""Idempotency-Key: the same request under the same key gets the stored answer again, whatever happened between.

A record is `running` while its request is, `done` when a 2xx answer is stored, `open` when a stream was paid but
never finished: the next request with the key then goes on under the same charge. Anything else frees the key.
"""

from __future__ import annotations

import hashlib
import io
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, BinaryIO, Literal

import structlog
from msgspec import Struct

from relay.crash import crash_point
from relay.domain.instants import iso, utcnow
from relay.errors import Conflict, Invalid, RelayError
from relay.ports.storage import ReadTx, Storage, Tx

log = structlog.get_logger("relay.idempotency")

COLL = "idempotency"
KEEP_HOURS = 24
INLINE_BYTES = 2048
"""Smaller answers stand in the record; others in a file of their own."""
BATCH = 200


class Record(Struct, omit_defaults=True, gc=False):
    """`body`: the stored answer's beginning, or `reply`, the blob with it; `tail` ends it. `job`: the paid job an
    unfinished stream belongs to. `size`: bytes stored. `running_since` is there while it runs, for the index."""

    fingerprint: str
    state: Literal["running", "done", "open"]
    created_at: str
    owner: str = ""
    running_since: str | None = None
    job: str = ""
    status: int = 0
    headers: dict[str, str] = {}
    body: str = ""
    reply: str | None = None
    tail: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Replay:
    """A stored answer. `size`: bytes of the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    reply: BinaryIO | None
    tail: bytes
    size: int


class Idempotency:
    """`max_bytes`: how much stored answers may take before the oldest go early."""

    def __init__(self, storage: Storage, max_bytes: int, clock: Callable[[], datetime] = utcnow) -> None:
        self._storage = storage
        self.max_bytes = max_bytes
        self._clock = clock
        self._running: set[str] = set()

    def claim(self, account: str, key: str, fingerprint: str) -> Ticket | Replay:
        """The answer stored under the key, or the right to make one.

        Raises Invalid (idempotency_mismatch) when the key was used for something else, Conflict (in_progress).
        """
        name = own_prefix(account) + hashlib.sha256(f"{account}\0{key}".encode()).hexdigest()
        ticket = Ticket(self._storage, self._running, name, fingerprint, iso(self._clock()) or "")
        self._running.add(ticket.owner)
        try:
            found, durable = self._storage.submit(lambda tx: self._claim(tx, ticket))
        except BaseException:
            # Also where the record was written and taken back.
            self._running.discard(ticket.owner)
            raise
        if found is None:
            return ticket
        self._running.discard(ticket.owner)
        durable()
        reply = self._storage.open_blob(found.reply) if found.reply else None
        return Replay(found.status, found.headers, found.body.encode(), reply, found.tail.encode(), found.size)

    def _claim(self, tx: Tx, ticket: Ticket) -> Record | None:
        """The record to replay; None when the ticket now owns the key."""
        record, job = tx.get(COLL, ticket.name, Record), ""
        if record is not None and record.created_at > self._oldest():
            same = record.fingerprint == ticket.fingerprint
            if not same and (record.state == "done" or record.job or record.owner in self._running):
                raise Invalid("this Idempotency-Key was used for another request", "", code="idempotency_mismatch")
            if record.state == "done":
                return record
            if record.owner in self._running:
                raise Conflict("a request with this Idempotency-Key is running", code="in_progress", retry_after=2)
            job = record.job if same else ""
        ticket.job = job
        ticket.record = Record(
            ticket.fingerprint, "running", ticket.created_at, ticket.owner, running_since=ticket.created_at, job=job
        )
        tx.put(COLL, ticket.name, ticket.record)
        return None

    def sweep(self) -> int:
        """Free the keys of requests that no longer run; those of a paid stream stay open."""
        freed = 0
        for name, record in self._storage.read(self._lost):
            freed += self._storage.transact(lambda tx, name=name, owner=record.owner: _free(tx, name, owner))  # type: ignore[misc]
        return freed

    def _lost(self, tx: ReadTx) -> list[tuple[str, Record]]:
        rows = tx.scan(COLL, "running_since", limit=10_000)
        records = [(name, tx.get(COLL, name, Record)) for name, _ in rows]
        return [(name, r) for name, r in records if r is not None and r.owner not in self._running]

    def prune(self) -> int:
        """Delete records past their day, and the oldest answers when all take more than they may."""
        gone = 0
        while n := self._storage.transact(lambda tx: _prune(tx, self._oldest())):
            gone += n
        excess = self._total() - self.max_bytes
        while excess > 0 and (sizes := self._storage.transact(_drop_oldest)):
            excess, gone = excess - sum(sizes), gone + len(sizes)
        return gone

    def _total(self) -> int:
        """Bytes stored, counted page by page: nobody waits for the whole."""
        total, after = 0, None
        while rows := self._storage.read(lambda tx, after=after: tx.scan(COLL, None, after, limit=BATCH)):  # type: ignore[misc]
            total += sum(doc.get("size", 0) for _, doc in rows)
            after = rows[-1][0] + "\0"
        return total

    def _oldest(self) -> str:
        return iso(self._clock() - timedelta(hours=KEEP_HOURS)) or ""


class Ticket:
    """The right to answer one request under its key, and how that ends: `answered`, or `free`.

    `job`: the server id of the job an earlier, unfinished answer was charged to.
    """

    def __init__(self, storage: Storage, running: set[str], name: str, fingerprint: str, created_at: str) -> None:
        self._storage = storage
        self._running = running
        self.name = name
        self.fingerprint = fingerprint
        self.created_at = created_at
        self.owner = secrets.token_hex(8)
        self.job = ""
        self.record: Record | None = None
        self._body = b""
        self._ref: str | None = None
        self._size = 0

    def keep(self, body: bytes) -> None:
        """Store the answer's beginning; call it before the transaction that runs `answered`."""
        self._size = len(body)
        if len(body) <= INLINE_BYTES:
            self._body = body
        else:
            self._ref = self._storage.put_blob(io.BytesIO(body))
            crash_point("idempotency.kept")

    def keep_file(self, file: BinaryIO, size: int) -> None:
        """The same for an answer that was written to a file."""
        self._ref, self._size = self._storage.put_blob(file), size
        crash_point("idempotency.kept")

    def answered(self, tx: Tx, status: int, headers: Mapping[str, str], tail: bytes = b"") -> None:
        """Part of the transaction that makes the answer true."""
        record = tx.get(COLL, self.name, Record)
        if record is None or record.owner != self.owner:
            return
        size = self._size + len(tail)
        done = Record(self.fingerprint, "done", self.created_at, status=status, headers=dict(headers), size=size)
        done.body, done.reply, done.tail = self._body.decode(), self._ref, tail.decode()
        tx.put(COLL, self.name, done)

    def charged(self, tx: Tx, job_id: str) -> None:
        """Part of the transaction that charges a stream: from here on the key is bound to that charge."""
        record = tx.get(COLL, self.name, Record)
        if record is not None and record.owner == self.owner:
            record.job = job_id
            tx.put(COLL, self.name, record)

    def save(self, status: int, headers: Mapping[str, str], tail: bytes = b"") -> None:
        """`answered` in a transaction of its own."""
        self._storage.transact(lambda tx: self.answered(tx, status, headers, tail))
        self.end()

    def end(self) -> None:
        """The request is over and its answer stored."""
        self._running.discard(self.owner)

    def free(self) -> None:
        """No answer to store: the key may be used again, a paid stream under the same charge."""
        try:
            self._storage.transact(lambda tx: _free(tx, self.name, self.owner))
        except RelayError as exc:
            log.warning("key_not_freed", error=exc.message, note="the next sweep frees it")
        finally:
            self.end()

    @contextmanager
    def freed(self) -> Iterator[None]:
        """Whatever is raised inside frees the key."""
        try:
            yield
        except BaseException:
            self.free()
            raise


def own_prefix(account: str) -> str:
    """How the records of one account begin, whichever of its credentials they came with."""
    return hashlib.sha256(account.partition("\0")[0].encode()).hexdigest()[:32] + "-"


def forget(tx: Tx, account: str | None, limit: int = BATCH) -> int:
    """Delete records of an account, or of everybody (None); how many. A request that runs then stores no answer."""
    first = None if account is None else own_prefix(account)
    rows = tx.scan(COLL, None, first, None if first is None else first + "~", limit=limit)
    for name, _ in rows:
        tx.delete(COLL, name)
    return len(rows)


def fingerprint(method: str, path: str, job: str | None, meaning: bytes) -> str:
    """What a request means, apart from how it was written down."""
    digest = hashlib.sha256()
    for part in (method, path, job or "", meaning):
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def _free(tx: Tx, name: str, owner: str) -> bool:
    record = tx.get(COLL, name, Record)
    if record is None or record.owner != owner or record.state != "running":
        return False
    if not record.job:
        tx.delete(COLL, name)
        return True
    record.state, record.owner, record.running_since = "open", "", None
    tx.put(COLL, name, record)
    return True


def _prune(tx: Tx, until: str) -> int:
    rows = tx.scan(COLL, "created_at", None, until, limit=BATCH)
    for name, doc in rows:
        if doc.get("state") != "running":
            tx.delete(COLL, name)
    return sum(doc.get("state") != "running" for _, doc in rows)


def _drop_oldest(tx: Tx) -> list[int]:
    rows: list[tuple[str, dict[str, Any]]] = tx.scan(COLL, "created_at", limit=20)
    done = [(name, doc.get("size", 0)) for name, doc in rows if doc.get("state") == "done"]
    for name, _ in done:
        tx.delete(COLL, name)
    return [size for _, size in done]
