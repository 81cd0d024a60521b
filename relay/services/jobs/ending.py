"""How jobs end: completed, failed or cancelled, each in one transaction with the credit and the callback.

Whatever races, one ending wins: each looks first whether the job is still open, and undoes itself when it is not.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import structlog

from relay.books import jobs, pieces, work
from relay.crash import crash_point
from relay.domain.work import State, Work
from relay.errors import Internal, RelayError
from relay.ports.storage import Storage, Tx
from relay.services.jobs.stages import Outcome
from relay.services.jobs.view import error_view, work_view
from relay.services.meter import Call, Meter
from relay.services.outbox import Outbox

log = structlog.get_logger("relay.jobs")

MAX_STARTS = 20
"""A job that takes the relay down each time it runs is given up after so many."""
MAX_CALLBACK_RESULT = 2**20


class AlreadyEnded(Exception):
    """Somebody else ended the job; nothing of this transaction happens."""


@dataclass(frozen=True, slots=True)
class Endings:
    storage: Storage
    meter: Meter
    outbox: Outbox
    public_url: str
    clock: Callable[[], datetime]

    def started(self, job_id: str, call: str) -> Work:
        """The job begins. Raises AlreadyEnded, or Internal when it has begun too often."""

        def start(tx: Tx) -> Work:
            row = self._open(tx, job_id, call)
            row.state, row.starts = "processing", row.starts + 1
            row.started_at = row.started_at or self.clock()
            work.put(tx, job_id, row)
            return row

        row = self.storage.transact(start)
        crash_point("jobs.started")
        if row.starts > MAX_STARTS:
            raise Internal(f"the relay stopped {MAX_STARTS} times during this job; it is not tried again")
        return row

    def keep_upload(self, job_id: str, call: str, ref: str, filename: str) -> None:
        """A recording that was fetched: a restart must not fetch another one."""

        def keep(tx: Tx) -> None:
            row = self._open(tx, job_id, call)
            row.upload, row.filename = ref, filename
            work.put(tx, job_id, row)

        self.storage.transact(keep)

    def complete(self, call: Call, outcome: Outcome) -> None:
        """Charge the job and publish its result. Raises AlreadyEnded."""
        result = msgspec.json.encode(outcome.result)
        ref = self.storage.put_blob(io.BytesIO(result))
        crash_point("jobs.result_stored")

        def completed(tx: Tx) -> None:
            row = self._open(tx, call.job_id, call.id)
            row.result, row.backend, row.model = ref, outcome.backend, outcome.model
            self._end(tx, call.job_id, row, "completed", result)

        self.meter.settle(
            call,
            backend=outcome.backend,
            model=outcome.model,
            cost_class=outcome.cost_class,
            also=lambda tx, _receipt: completed(tx),
        )
        self._after(call)

    def fail(
        self,
        call: Call,
        error: RelayError,
        state: State = "failed",
        also: Callable[[Tx], None] = lambda _tx: None,
    ) -> None:
        """Give the credit back and say why. `also` is part of the transaction. Raises AlreadyEnded."""

        def failed(tx: Tx, _call: Call) -> None:
            row = self._open(tx, call.job_id, call.id)
            row.error = error_view(error)
            self._end(tx, call.job_id, row, state, b"null")
            also(tx)

        self.meter.release(call, error, also=failed)
        self._after(call)

    def _open(self, tx: Tx, job_id: str, call: str) -> Work:
        row = work.get(tx, job_id)
        if row is None or row.ended or row.call != call:
            raise AlreadyEnded
        return row

    def _end(self, tx: Tx, job_id: str, row: Work, state: State, result: bytes) -> None:
        row.state, row.finished_at = state, self.clock()
        row.open_at = row.request = row.upload = None
        secret, row.callback_secret = row.callback_secret, ""
        work.put(tx, job_id, row)
        if row.callback_url:
            body = msgspec.json.encode(self._callback(tx, job_id, row, result))
            self.outbox.add(tx, url=row.callback_url, body=body, secret=secret, kind="job", reference=job_id)

    def _callback(self, tx: Tx, job_id: str, row: Work, result: bytes) -> dict[str, Any]:
        """The job as GET shows it; a large result is left where it is, and `result_url` says where."""
        view = work_view(job_id, row, jobs.get(tx, job_id))
        if len(result) <= MAX_CALLBACK_RESULT:
            view["result"] = msgspec.Raw(result)
        else:
            view["result_url"] = f"{self.public_url.rstrip('/')}/relay/jobs/{job_id}"
        return {"ok": True, "job": view}

    def _after(self, call: Call) -> None:
        crash_point("jobs.ended")
        self.outbox.nudge()
        try:
            while self.storage.transact(lambda tx: pieces.delete_all(tx, call.job_id, call.id)):
                pass
        except RelayError as exc:
            log.warning("pieces_left", job=call.job_id, error=exc.message, note="housekeeping deletes them")
