"""What a call leaves behind: the job's record, the entry that charges it, its part in the figures of the hour."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from relay.domain.holds import Hold
from relay.domain.jobs import MAX_ATTEMPTS, Attempt, Job, account_at
from relay.domain.ledger import Draft
from relay.domain.usage import Usage, count
from relay.domain.work import OWNER
from relay.errors import RelayError

if TYPE_CHECKING:
    from relay.services.meter import Call, Inputs

ABANDONED = "abandoned"
"""Stands for the error of a call that nobody ended: the relay stopped, or failed."""


def paid_job(call: Call, hold: Hold, now: datetime, backend: str, model: str) -> Job:
    job = job_of(hold)
    job.task, job.paid_at, job.calls = call.task, now, len(hold.calls)
    job.bucket, job.cycle, job.gemini = hold.bucket, hold.cycle, hold.gemini
    job.backend, job.model = backend, model
    job.inputs = call.inputs
    add_attempts(job, call.attempts)
    return job


def failed_job(hold: Hold, error: RelayError | None, inputs: Inputs, now: datetime) -> Job:
    job = job_of(hold)
    job.inputs, job.failed_at = inputs, now
    job.error = {"code": ABANDONED, "message": "the relay stopped or failed during this call"}
    if error is not None:
        job.error = {"code": error.code, "message": error.message[:500]}
    return job


def charge_draft(hold: Hold, task: str) -> Draft:
    """The entry that turns an unpaid job's hold into a charge."""
    counted = hold.gemini if hold.gemini in {"lifetime", "monthly"} else ""
    return Draft(
        "charge",
        hold.bucket,
        -1,
        task,
        gemini=1 if counted else 0,
        gemini_bucket=counted,
        cycle=hold.cycle if "monthly" in {hold.bucket, counted} else None,
    )


def job_of(hold: Hold) -> Job:
    """The record of the job that a hold belongs to, before it is known how it ended."""
    job = Job(account=hold.account, name=hold.name, task=hold.task, created_at=hold.created_at)
    job.attempts = hold.attempts
    job.account_at = account_at(hold.account, hold.created_at)
    return job


def count_answer(row: Usage, call: Call, backend: str, *, free: bool) -> None:
    """An answered call in the figures of its hour. How long a job in the background took says nothing of calls."""
    row.calls += 1
    row.free += free
    row.stored += call.kept
    count(row.tasks, call.task)
    count(row.backends, backend)
    seconds = call.inputs.get("seconds")
    if isinstance(seconds, (int, float)):
        row.audio_ms += round(seconds * 1000)
    if call.attempts and not call.owner.startswith(OWNER):
        row.took(sum(attempt.ms for attempt in call.attempts))


def add_attempts(job: Job, attempts: list[Attempt]) -> None:
    job.attempts = [*job.attempts, *attempts][-MAX_ATTEMPTS:]
