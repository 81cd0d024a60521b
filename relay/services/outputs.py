"""The answers of metered calls, kept for a while so that the operator can see what went wrong, or show it again.

Keeping is best effort: a call whose answer cannot be kept is answered all the same. Jobs in the background keep their
results themselves (`work.result`); they are shown here, not stored twice.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog

from relay.books import audit, jobs, outputs, usage, work
from relay.books.outputs import Output
from relay.domain.instants import iso, utcnow
from relay.domain.jobs import SERVER_ID
from relay.domain.work import Work
from relay.errors import NotFound, RelayError
from relay.ports.storage import ReadTx, Storage, Tx
from relay.services.live import SettingsView
from relay.services.meter import Call

log = structlog.get_logger("relay.outputs")

INLINE = 32 * 1024
BATCH = 200
MAX_DELETED = 50_000
"""In one request; what is left goes with the next."""
_encode = msgspec.json.Encoder().encode


class Outputs:
    def __init__(self, storage: Storage, settings: SettingsView, clock: Callable[[], datetime] = utcnow) -> None:
        self._storage = storage
        self._settings = settings
        self._clock = clock

    def prepare(self, call: Call, result: dict[str, Any]) -> Callable[[Tx], None] | None:
        """Part of the settlement that keeps the answer; None when it is not kept."""
        if not self._settings.outputs.keep:
            return None
        try:
            at, raw = self._clock(), _encode(result)
            output = Output(at, call.task, len(raw))
            if len(raw) <= INLINE:
                output.body = msgspec.Raw(raw)
            else:
                output.blob = self._storage.put_blob(io.BytesIO(raw))
        except (RelayError, OSError, MemoryError) as exc:
            log.warning("output_not_kept", job=call.job_id, error=str(exc)[:200])
            return None
        call.kept = len(raw)
        key = outputs.key_of(call.job_id, call.id, at)

        def put(tx: Tx) -> None:
            # Without a record of its job, the account was erased while the call ran.
            if jobs.get(tx, call.job_id) is not None:
                outputs.put(tx, key, output)

        return put

    def keep(self, call: Call, result: dict[str, Any]) -> None:
        """For an answer that was settled before it was complete. Does not wait for the disk."""
        put = self.prepare(call, result)
        if put is None:
            return

        def keep(tx: Tx) -> None:
            put(tx)
            if jobs.get(tx, call.job_id) is not None:
                usage.stored(tx, self._clock(), call.kept)

        try:
            self._storage.submit(keep)
        except RelayError as exc:
            log.warning("output_not_kept", job=call.job_id, error=exc.message)

    def listed(self, tx: ReadTx, job_id: str) -> list[dict[str, Any]]:
        """The newest answers of a job without what they say, newest first; the result of a job in the background
        among them."""
        found = [
            {"id": key, "at": iso(each.at), "task": each.task, "bytes": each.bytes}
            for key, each in outputs.listed(tx, job_id)
        ]
        row = work.get(tx, job_id)
        if row is not None and row.result is not None:
            found.insert(0, {"id": f"{job_id}/result", "at": iso(row.finished_at), "task": row.task, "bytes": None})
        return found

    def of_job(self, job_id: str) -> list[dict[str, Any]]:
        """The same with the results. Raises NotFound when nothing is kept (any more)."""

        def read(tx: ReadTx) -> tuple[list[tuple[str, Output | None]], Work | None]:
            return [(key, outputs.get(tx, key)) for key in outputs.keys_of(tx, job_id)], work.get(tx, job_id)

        if not SERVER_ID.fullmatch(job_id):
            raise NotFound("there is no such job")
        kept, row = self._storage.read(read)
        found = [self._shown(key, each.at, each.task, each.body, each.blob) for key, each in kept if each is not None]
        if row is not None and row.result is not None and row.finished_at is not None:
            found.insert(0, self._shown(f"{job_id}/result", row.finished_at, row.task, None, row.result))
        shown = [view for view in found if view is not None]
        if not shown:
            raise NotFound("no answer of this job is kept; see [outputs] keep and [retention] outputs_days")
        return shown

    def _shown(self, key: str, at: datetime, task: str, body: Any, ref: str | None) -> dict[str, Any] | None:
        raw = _encode(body)
        if ref is not None:
            try:
                with self._storage.open_blob(ref) as file:
                    raw = file.read()
            except KeyError:
                return None  # it was swept between the reading of the row and now
        return {"id": key, "at": iso(at), "task": task, "bytes": len(raw), "output": msgspec.Raw(raw)}

    def stats(self) -> dict[str, Any]:
        def read(tx: ReadTx) -> dict[str, Any]:
            first = tx.scan(outputs.COLL, "at", limit=1)
            last = tx.scan(outputs.COLL, "at", limit=1, reverse=True)
            return {
                "count": tx.count(outputs.COLL),
                "bytes": max(0, usage.since_the_start(tx).stored),
                "oldest_at": first[0][1]["at"] if first else None,
                "newest_at": last[0][1]["at"] if last else None,
                "job_results": tx.count(work.COLL, "result"),
            }

        rules = self._settings.outputs
        return self._storage.read(read) | {
            "limit_mb": rules.max_mb,
            "keep_days": self._settings.retention.outputs_days,
            "enabled": rules.keep,
        }

    def ids(self, *, limit: int, before: str | None) -> tuple[list[str], int, str | None]:
        """Jobs of which answers are kept, newest answer first; how many answers there are; the next `before`.

        A job with several answers may come again on a later page.
        """

        def read(tx: ReadTx) -> tuple[list[tuple[str, str]], int]:
            top = None if before is None else before.partition(" ")[0]
            rows = tx.scan(outputs.COLL, "at", None, top, limit=most, reverse=True)
            return [(f"{doc['at']} {key}", key) for key, doc in rows], tx.count(outputs.COLL)

        most = limit + BATCH
        rows, count = self._storage.read(read)
        found: dict[str, None] = {}
        last = None
        for cursor, key in rows:
            if before is not None and cursor >= before:
                continue
            found.setdefault(key.partition("/")[0])
            last = cursor
            if len(found) == limit:
                return list(found), count, last
        return list(found), count, last if len(rows) == most else None

    def delete(
        self, actor: str, *, jobs: Sequence[str] | None = None, older_than_days: int | None = None
    ) -> tuple[int, bool]:
        """Delete the answers of these jobs, or those of an age, or all; how many, and whether some are left.

        In transactions of a bounded size; the first of them writes down who asked for it.
        """
        asked: dict[str, Any] = {"all": True}
        if jobs is not None:
            asked = {"ids": list(jobs[:20]), "jobs": len(jobs)}
        elif older_than_days is not None:
            asked = {"older_than_days": older_than_days}
        self._storage.transact(
            lambda tx: audit.record(
                tx, actor, "outputs.delete", jobs[0] if jobs else "", after=asked, now=self._clock()
            )
        )
        if jobs is not None:
            return sum(self._delete_of(job_id) for job_id in jobs), False
        until = None if older_than_days is None else self._clock() - timedelta(days=older_than_days)
        deleted, more = self._delete_oldest(until)
        return deleted + self._drop_results(until), more

    def _delete_of(self, job_id: str) -> int:
        def some(tx: Tx) -> int:
            deleted, _ = outputs.drop(tx, outputs.keys_of(tx, job_id, BATCH), self._clock())
            row = work.get(tx, job_id)
            if row is not None and row.result is not None:
                row.result = None
                work.put(tx, job_id, row)
                deleted += 1
            return deleted

        total = 0
        while n := self._storage.transact(some):
            total += n
        return total

    def _delete_oldest(self, until: datetime | None) -> tuple[int, bool]:
        total = 0
        while total < MAX_DELETED:
            n, _ = self._storage.transact(lambda tx: outputs.drop(tx, outputs.oldest(tx, until, BATCH), self._clock()))
            total += n
            if n == 0:
                return total, False
        return total, True

    def _drop_results(self, until: datetime | None) -> int:
        """Those of jobs in the background: the rows stay, they hold more than the result."""

        def some(tx: Tx) -> tuple[int, int]:
            """How many rows were looked at, and of these dropped."""
            rows = tx.scan(work.COLL, "result", limit=BATCH, offset=offset)
            dropped = 0
            for key, doc in rows:
                row = msgspec.convert(doc, Work)
                if until is None or (row.finished_at is not None and row.finished_at <= until):
                    row.result = None
                    work.put(tx, key, row)
                    dropped += 1
            return len(rows), dropped

        total = offset = 0
        while True:
            seen, dropped = self._storage.transact(some)
            total, offset = total + dropped, offset + seen - dropped
            if seen < BATCH:
                return total

    def prune(self) -> int:
        """For housekeeping: drop what is past its days, then the oldest while there is more than `max_mb`."""
        until = self._clock() - timedelta(days=self._settings.retention.outputs_days)
        deleted, _ = self._delete_oldest(until)
        most = self._settings.outputs.max_mb * 2**20

        def some(tx: Tx) -> int:
            if usage.since_the_start(tx).stored <= most:
                return 0
            n, _ = outputs.drop(tx, outputs.oldest(tx, None, BATCH), self._clock())
            return n

        while n := self._storage.transact(some):
            deleted += n
        self._storage.transact(self._heal)
        return deleted

    def _heal(self, tx: Tx) -> None:
        """An empty store takes no room, whatever removed what was in it."""
        size = usage.since_the_start(tx).stored
        if size and not tx.count(outputs.COLL):
            usage.stored(tx, self._clock(), -size)
