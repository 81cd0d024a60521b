"""Jobs as the operator sees them: what runs now, what has been, why it cost what it cost; cancel and refund."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from relay.books import audit, holds, jobs, work
from relay.domain.instants import utcnow
from relay.domain.jobs import SERVER_ID, Job
from relay.errors import BadRequest, CallerError, Conflict, NotFound
from relay.ports.storage import ReadTx, Storage, Tx
from relay.services.credits import Credits
from relay.services.infer import Infer
from relay.services.jobs import Jobs
from relay.services.jobs.view import CANCELLED
from relay.services.jobs_views import call_view, details, job_row, task_view
from relay.services.outputs import Outputs
from relay.services.policy import Policy

MAX_LOOKED_AT = 500
"""Records one page goes through; the next page goes on behind them."""
CURSOR = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(job_[0-9a-f]{24})")


class Filters(Struct, frozen=True):
    """What a job must be; None: no matter what. `search`: a part of its ids or its account, letter case ignored."""

    search: str | None = None
    account: str | None = None
    task: str | None = None
    state: str | None = None
    backend: str | None = None
    begin: datetime | None = None
    end: datetime | None = None

    def fits(self, job_id: str, job: Job) -> bool:
        return (
            (self.task is None or job.task == self.task)
            and (self.state is None or jobs.state_of(job) == self.state)
            and (
                self.backend is None
                or job.backend == self.backend
                or any(a.backend == self.backend for a in job.attempts)
            )
            and (self.search is None or any(self.search in text.lower() for text in (job_id, job.name, job.account)))
        )


class JobsAdmin:
    def __init__(
        self,
        storage: Storage,
        policy: Policy,
        infer: Infer,
        background: Jobs,
        accounts: Credits,
        outputs: Outputs,
        clock: Callable[[], datetime] = utcnow,
    ) -> None:
        self._storage = storage
        self._policy = policy
        self._infer = infer
        self._background = background
        self._credits = accounts
        self._outputs = outputs
        self._clock = clock

    def live(self) -> dict[str, Any]:
        """Calls that somebody waits for, and jobs in the background, oldest first."""
        now = self._clock()
        places = {
            (name, call.server_job_id): call.position
            for name, slots in self._infer.slots.items()
            if slots.waiting
            for call in slots.snapshot().calls
        }
        running, positions = self._background.live()
        views = [
            call_view(call, places.get((call.backend, call.call.job_id)), now) for call in self._infer.running.all()
        ]
        views += [task_view(job, positions.get(job.id), now) for job in running if not job.over]
        views.sort(key=lambda view: str(view["since"]))
        found = {state: [view for view in views if view["state"] == state] for state in ("processing", "queued")}
        found["queued"].sort(key=lambda view: (view["kind"], view["position"] or 0))
        counts = {"running": len(found["processing"]), "queued": len(found["queued"])}
        return {"running": found["processing"], "queued": found["queued"], "counts": counts}

    def history(self, wanted: Filters, *, limit: int, before: str | None) -> tuple[list[dict[str, Any]], str | None]:
        """Ended jobs, newest first, and the `before` of the next page. Raises BadRequest."""
        cursor = None if before is None else _parse(before)
        rows: list[dict[str, Any]] = []
        last, looked_at = "", 0
        for at, job_id, job in self._newest(wanted, cursor):
            looked_at, last = looked_at + 1, f"{at.isoformat()[:19]}.{job_id}"
            if wanted.fits(job_id, job):
                rows.append(job_row(job_id, job))
            if len(rows) == limit or looked_at == MAX_LOOKED_AT:
                return rows, last
        return rows, None

    def _newest(self, wanted: Filters, cursor: tuple[datetime, str] | None) -> Iterator[jobs.Found]:
        if wanted.search is not None and SERVER_ID.fullmatch(wanted.search):
            job_id = wanted.search
            job = self._storage.read(lambda tx: jobs.get(tx, job_id))
            if job is not None and cursor is None:
                yield job.created_at, job_id, job
            return
        for batch in jobs.newest(
            self._storage, begin=wanted.begin, end=wanted.end, account=wanted.account, before=cursor
        ):
            yield from batch

    def details(self, job_id: str) -> dict[str, Any]:
        """Everything known of one job, its answers apart. Raises NotFound."""

        def read(tx: ReadTx) -> dict[str, Any]:
            record, hold, row = jobs.get(tx, job_id), holds.get(tx, job_id), work.get(tx, job_id)
            if record is None and hold is None and row is None:
                raise NotFound("there is no such job (any more); records are kept for [retention] jobs_days")
            entry = None
            if record is not None and record.entry:
                entry = next(
                    (doc for _, doc in tx.read("ledger", record.account, before=record.entry + 1, limit=1)), None
                )
            view = details(job_id, record, hold, row, entry, self._policy.jobs)
            return view | {"outputs": self._outputs.listed(tx, job_id)}

        view = self._storage.read(read)
        running, positions = self._background.live()
        now = self._clock()
        for job in running:
            if job.id == job_id and not job.over:
                live = task_view(job, positions.get(job.id), now)
                view["state"] = live["state"]
                view["work"] = {"state": live["state"], "progress": live["progress"], "stage": live["stage"]}
        for call in self._infer.running.of_job(job_id):
            view["backend"] = view["backend"] or call.backend or None
        return view

    def cancel(self, job_id: str, actor: str) -> dict[str, Any]:
        """End a job at once, charging nothing. Raises NotFound; Conflict (not_running) when it has ended."""
        before = self.details(job_id)

        def noted(tx: Tx) -> None:
            audit.record(tx, actor, "jobs.cancel", job_id, before=before["state"], after=CANCELLED, now=self._clock())

        why = CallerError("the operator of this relay cancelled this job", code=CANCELLED)
        if not self._background.end(job_id, why, noted):
            running = self._infer.running.of_job(job_id)
            if not running:
                raise Conflict("this job does not run (any more)", code="not_running")
            self._storage.transact(noted)
            for call in running:
                call.ctx.cancel()
        return self.details(job_id)

    def refund(self, job_id: str, reason: str, actor: str) -> bool:
        """Give the credit back; False when there is none to give (any more). Raises NotFound."""
        job = self._storage.read(lambda tx: jobs.get(tx, job_id))
        if job is None:
            raise NotFound("there is no ended job with this id")

        def noted(tx: Tx) -> None:
            now = self._clock()
            audit.record(tx, actor, "jobs.refund", job_id, before="charged", after="refunded", reason=reason, now=now)

        return self._credits.refund(job_id, reason=reason, actor=actor, also=noted)


def _parse(text: str) -> tuple[datetime, str]:
    match = CURSOR.fullmatch(text)
    try:
        if match is not None:
            return datetime.fromisoformat(match[1]).replace(tzinfo=UTC), match[2]
    except ValueError:
        pass
    raise BadRequest("before must be the next of an earlier page", details={"path": "before"})
