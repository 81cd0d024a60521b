"""Jobs as their owner sees them: those in the background, and those of calls that waited for the answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from relay.domain.holds import Hold
from relay.domain.instants import iso
from relay.domain.jobs import Attempt, Job
from relay.domain.work import Work
from relay.errors import RelayError

CANCELLED = "cancelled"


def work_view(job_id: str, row: Work, record: Job | None) -> dict[str, Any]:
    """A job in the background, without its result."""
    attempts = [] if record is None else record.attempts
    return _view(
        job_id,
        row,
        state=row.state,
        started_at=row.started_at,
        finished_at=row.finished_at,
        error=row.error,
        meta=_meta(row.backend, row.model, attempts),
    )


def record_view(job_id: str, record: Job) -> dict[str, Any]:
    """A call that waited for its answer. What it was answered is not kept."""
    paid = record.paid_at is not None
    state, error = "completed", None
    if not paid:
        error = record.error or {"code": "abandoned", "message": "the relay stopped during this call"}
        state = "cancelled" if error["code"] == CANCELLED else "failed"
    return _view(
        job_id,
        record,
        state=state,
        started_at=record.created_at,
        finished_at=record.paid_at or record.failed_at,
        error=error,
        meta=_meta(record.backend, record.model, record.attempts),
    )


def hold_view(hold: Hold) -> dict[str, Any]:
    """A call that waits for its answer now."""
    return _view(
        hold.job,
        hold,
        state="processing",
        started_at=hold.created_at,
        finished_at=None,
        error=None,
        meta=_meta("", "", hold.attempts),
    )


def error_view(error: RelayError) -> dict[str, Any]:
    """The error object of every answer, without what only an answer has."""
    found: dict[str, Any] = error.body("")["error"]
    return found | {"message": error.message[:500]}


def _view(
    job_id: str,
    job: Work | Job | Hold,
    *,
    state: str,
    started_at: datetime | None,
    finished_at: datetime | None,
    error: dict[str, Any] | None,
    meta: dict[str, Any],
) -> dict[str, Any]:
    return {
        "id": job.name,
        "server_job_id": job_id,
        "task": job.task,
        "state": state,
        "position": None,
        "progress": 1.0 if state == "completed" else 0.0,
        "created_at": iso(job.created_at),
        "started_at": iso(started_at),
        "finished_at": iso(finished_at),
        "result": None,
        "error": error,
        "meta": meta,
    }


def _meta(backend: str, model: str, attempts: list[Attempt]) -> dict[str, Any]:
    asked = [{"backend": a.backend, "at": iso(a.at), "ms": a.ms, "code": a.code} for a in attempts]
    return {"backend": backend or None, "model": model or None, "attempts": asked}
