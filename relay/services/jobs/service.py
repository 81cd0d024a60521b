"""Long work, as the rest of the relay sees it: submit, look, listen, cancel; start, stop, tidy up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from relay.books import pieces, work
from relay.domain.instants import utcnow
from relay.domain.work import OWNER
from relay.errors import CallerError, Conflict, RelayError
from relay.ports.auth import Identity
from relay.ports.storage import Storage, Tx
from relay.services.infer import Infer
from relay.services.jobs.directory import Directory
from relay.services.jobs.ending import AlreadyEnded, Endings
from relay.services.jobs.line import Line
from relay.services.jobs.orders import Order, RecapJob
from relay.services.jobs.runner import Runner
from relay.services.jobs.running import RunningJob, call_of, forget
from relay.services.jobs.submit import Accepted, Accepting, Desk, Upload
from relay.services.jobs.view import CANCELLED
from relay.services.live import SettingsView
from relay.services.meter import Call, Meter
from relay.services.outbox import Outbox
from relay.services.receipts import Receipts

log = structlog.get_logger("relay.jobs")

BATCH = 200


class Jobs:
    def __init__(
        self,
        storage: Storage,
        meter: Meter,
        infer: Infer,
        outbox: Outbox,
        receipts: Receipts,
        settings: SettingsView,
        data_dir: Path,
        clock: Callable[[], datetime] = utcnow,
    ) -> None:
        rules = settings.jobs
        self._storage = storage
        self._meter = meter
        self._settings = settings
        self._clock = clock
        self._running: dict[str, RunningJob] = {}
        self._entering = threading.Lock()
        self._line = Line(rules.max_queued, rules.max_queued_per_account)
        self._endings = Endings(storage, meter, outbox, settings.relay.public_url, clock)
        self._directory = Directory(storage, self._line, self._running, receipts, settings, clock)
        self._runner = Runner(
            storage,
            infer,
            self._endings,
            self._line,
            self._running,
            folder=data_dir / "scratch",
            workers=rules.workers,
            job_seconds=rules.job_seconds,
            max_bytes=settings.relay.max_upload_mb * 2**20,
        )
        self._desk = Desk(
            storage, meter, infer, self._line, self._running, self._runner, rules.workers, clock, self._entering
        )
        self._expired_until: datetime | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Go on with what a stop or a crash interrupted, in the old order. Call it before the first submit."""
        self.sweep()
        offset = 0
        while rows := self._storage.read(lambda tx, offset=offset: work.unfinished(tx, offset, BATCH)):  # type: ignore[misc]
            offset += len(rows)
            for job_id, row in rows:
                job = self._running[job_id] = RunningJob(job_id, row)
                self._meter.resume(job.call)
                self._line.restore(job.account, job_id)
        if offset:
            log.info("jobs_resumed", jobs=offset)
        self._runner.start()

    def stop(self) -> None:
        """Interrupt running jobs without ending them."""
        self._stopped.set()
        self._runner.stop()

    def submit(
        self, identity: Identity, name: str | None, order: Order, upload: Upload | None, accepting: Accepting
    ) -> Accepted:
        """Take the credit and a place in the line; see `Desk.submit`."""
        if isinstance(order, RecapJob) and order.prompt is None:
            order.prompt = self._settings.prompts.recap
        return self._desk.submit(identity, name, order, upload, accepting)

    def view(self, identity: Identity, name: str, *, result: bool = True) -> dict[str, Any]:
        """Raises NotFound for a job that is not the caller's."""
        return self._directory.view(identity.account, name, result=result)

    def page(
        self, identity: Identity, *, limit: int, before: str | None, state: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        return self._directory.page(identity.account, limit=limit, before=before, state=state)

    def wait(self, server_job_id: str, seen: int, timeout: float) -> int:
        """Until the job has changed since `seen`, or `timeout` seconds; what to pass as `seen` the next time."""
        job = self._running.get(server_job_id)
        if job is None:
            self._stopped.wait(timeout)
            return seen
        return job.wait(seen, timeout)

    def live(self) -> tuple[list[RunningJob], dict[str, int]]:
        """The jobs that have not ended, and the places of those that wait in the line."""
        return list(self._running.values()), self._line.positions()

    def cancel(self, identity: Identity, name: str) -> dict[str, Any]:
        """End a job at once, charging nothing. A job that has ended is left as it is."""
        job_id = self._directory.find(identity.account, name)
        self.end(job_id, CallerError("you cancelled this job", code=CANCELLED))
        view = self.view(identity, name)
        if view["finished_at"] is None and view["state"] == "processing":
            raise Conflict("this call waits for its answer; hang up to cancel it", code="not_a_background_job")
        return view

    def end(self, job_id: str, why: RelayError, also: Callable[[Tx], None] = lambda _tx: None) -> bool:
        """Cancel a job in the background; False when it has ended. `also` is part of the transaction that ends it."""
        row = self._storage.read(lambda tx: work.get(tx, job_id))
        if row is None or row.ended:
            return False
        job = self._running.get(job_id)
        if job is not None and job.call.id != row.call:
            job = None
        # The running call knows which backends it has asked.
        return self._cancel(job_id, job.call if job is not None else call_of(job_id, row), job, why, also)

    def _cancel(
        self, job_id: str, call: Call, job: RunningJob | None, why: RelayError, also: Callable[[Tx], None]
    ) -> bool:
        """`job`: as it was in memory. By the time it has ended, the next one of its id may be there instead."""
        try:
            self._endings.fail(call, why, "cancelled", also)
        except AlreadyEnded:
            return False
        with self._entering:
            now = self._running.get(job_id)
            if now is not None and now.call.id == call.id:
                self._line.remove(job_id)
                forget(self._running, now)
                job = now
        if job is not None:
            job.cancel()
            job.end("cancelled")
        return True

    def sweep(self) -> int:
        """Give back holds of jobs in the background that are gone or have ended."""
        return self._meter.sweep(self._is_over)

    def _is_over(self, owner: str) -> bool:
        if not owner.startswith(OWNER):
            return False
        row = self._storage.read(lambda tx: work.get(tx, owner.removeprefix(OWNER)))
        return row is None or row.ended

    def prune(self) -> None:
        """Drop results, rows and pieces past their time."""
        now = self._clock()
        self._drop_results(now - timedelta(days=self._settings.retention.outputs_days))
        rows_before = now - timedelta(days=self._settings.retention.jobs_days)
        while self._storage.transact(lambda tx: work.prune(tx, rows_before)):
            pass
        after = ""
        while found := self._storage.read(lambda tx, after=after: pieces.jobs(tx, after)):  # type: ignore[misc]
            after = found[-1]
            for job_id in found:
                while self._storage.transact(lambda tx, job_id=job_id: _drop_pieces(tx, job_id)):  # type: ignore[misc]
                    pass

    def _drop_results(self, until: datetime) -> None:
        since, offset = self._expired_until, 0
        while n := self._storage.transact(lambda tx, offset=offset: work.drop_results(tx, since, until, offset)):  # type: ignore[misc]
            offset += n
        self._expired_until = until


def _drop_pieces(tx: Tx, job_id: str) -> int:
    """What a crash left behind of a job that has ended."""
    row = work.get(tx, job_id)
    return pieces.delete_all(tx, job_id) if row is None or row.ended else 0
