"""How the operator's pages show a job."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from relay.books import jobs
from relay.domain.holds import Hold
from relay.domain.instants import iso
from relay.domain.jobs import Job
from relay.domain.work import Work
from relay.ports.storage import Doc
from relay.services.jobs.running import RunningJob
from relay.services.running_calls import RunningCall
from relay.settings import JobSettings


def call_view(running: RunningCall, position: int | None, now: datetime) -> dict[str, Any]:
    """LIVE: a call that somebody waits for."""
    call = running.call
    state = "queued" if running.waits else "processing"
    return _live(call.job_id, call.job_name, call.identity.account, call.task, "call", state, running.since, now) | {
        "backend": running.backend or None,
        "position": position if running.waits else None,
    }


def task_view(job: RunningJob, position: int | None, now: datetime) -> dict[str, Any]:
    """LIVE: a job in the background."""
    state = "queued" if job.state == "queued" else "processing"
    since = job.created_at if state == "queued" else job.started_at or job.created_at
    attempts = job.call.attempts
    return _live(job.id, job.call.job_name, job.account, job.call.task, "job", state, since, now) | {
        "backend": attempts[-1].backend if attempts else None,
        "position": position if state == "queued" else None,
        "progress": job.progress,
        "stage": _stage(job) if state == "processing" else None,
    }


def _stage(job: RunningJob) -> str:
    """A recap's parts follow each other; every other job has one."""
    answered = sum(attempt.code == "ok" for attempt in job.call.attempts)
    return job.call.task if job.call.task != "recap" else f"recap, part {answered + 1}"


def _live(
    job_id: str, name: str, account: str, task: str, kind: str, state: str, since: datetime, now: datetime
) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "name": name,
        "account": account,
        "task": task,
        "kind": kind,
        "state": state,
        "backend": None,
        "model": None,
        "since": iso(since),
        "age_seconds": max(0, round((now - since).total_seconds())),
        "position": None,
        "progress": None,
        "stage": None,
    }


def job_row(job_id: str, job: Job) -> dict[str, Any]:
    """JOB: one that has ended."""
    return _row(job_id, job, jobs.state_of(job)) | {
        "backend": job.backend or None,
        "model": job.model or None,
        "ended_at": iso(job.paid_at or job.failed_at),
        "charged": jobs.charged(job),
        "refunded": job.refunded,
        "error": job.error,
    }


def hold_row(hold: Hold) -> dict[str, Any]:
    """JOB: one whose first answer is waited for."""
    return _row(hold.job, hold, "processing")


def work_row(job_id: str, row: Work) -> dict[str, Any]:
    """JOB: one in the background without a record (any more, or yet)."""
    return _row(job_id, row, row.state) | {
        "backend": row.backend or None,
        "model": row.model or None,
        "ended_at": iso(row.finished_at),
        "error": row.error,
    }


def _row(job_id: str, job: Job | Hold | Work, state: str) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "name": job.name or job_id,
        "account": job.account,
        "task": job.task,
        "state": state,
        "backend": None,
        "model": None,
        "created_at": iso(job.created_at),
        "ended_at": None,
        "charged": 0,
        "refunded": False,
        "error": None,
    }


def details(
    job_id: str, record: Job | None, hold: Hold | None, row: Work | None, entry: Doc | None, rule: JobSettings
) -> dict[str, Any]:
    """JOB with all that its record tells. One of `record`, `hold`, `row` is there."""
    waits = hold is not None and not hold.follow_up
    if row is not None and (not row.ended or record is None):
        view = work_row(job_id, row)
    elif hold is not None and (waits or record is None):
        view = hold_row(hold)
    else:
        assert record is not None
        view = job_row(job_id, record)
    attempts = [*(record.attempts if record else []), *(hold.attempts if hold else [])]
    paid = None if record is None else record.paid_at
    free_until = None if paid is None else paid + timedelta(hours=rule.free_window_hours)
    return view | {
        "inputs": record.inputs if record else {},
        "attempts": [{"backend": a.backend, "at": iso(a.at), "ms": a.ms, "code": a.code} for a in attempts],
        "calls": record.calls if record else 0,
        "free_until": iso(free_until),
        "gemini": (record.gemini or None) if record else None,
        "charge": {
            "charged": view["charged"],
            "bucket": (record and record.bucket) or (entry and entry.get("bucket")) or (hold and hold.bucket) or None,
            "entry": entry,
            "explanation": explanation(record, hold, entry, free_until, rule),
        },
        "work": None
        if row is None
        else {"state": row.state, "progress": float(row.state == "completed"), "stage": None},
    }


BUCKETS = {
    "lifetime": "the tier's allowance for life",
    "monthly": "the month's allowance of the tier",
    "purchased": "the purchased credits",
}


def explanation(
    record: Job | None, hold: Hold | None, entry: Doc | None, free_until: datetime | None, rule: JobSettings
) -> str:
    """Why the job cost what it cost, in sentences."""
    if record is None or (record.paid_at is None and not record.refunded):
        if hold is not None:
            return (
                f"One credit is held from {BUCKETS.get(hold.bucket, 'no bucket')}. It is charged with the first answer."
            )
        return "Nothing was charged: there was no answer, and the credit that was held went back."
    bucket = (entry or {}).get("bucket") or record.bucket
    said = [f"One credit was taken from {BUCKETS.get(bucket, 'the account')} with the job's first answer"]
    said[0] += f" (ledger entry {record.entry})." if record.entry else "."
    if record.gemini == "purchased":
        said.append("The gemini limit of the tier was used up, or had no say, so a purchased credit paid.")
    elif record.gemini:
        said.append(f"It counts against the tier's gemini limit ({record.gemini}).")
    if record.refunded:
        said.append("The credit was given back since.")
    elif free_until is not None:
        so_far = max(0, record.calls - 1)
        said.append(
            f"Further calls under this job id are free until {iso(free_until)}, {rule.max_calls} calls in all at most;"
            f" there {'was' if so_far == 1 else 'were'} {so_far or 'none'} so far."
        )
    return " ".join(said)
