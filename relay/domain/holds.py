"""A hold: one job's claim on one credit, from before the first call until its answer."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from relay.domain.accounts import Account, Bucket, count_gemini, spend


class Hold(Struct):
    """The open hold of a job, kept under the job's server id.

    `calls`: the running calls that share it, call id -> owner (a process); the hold ends when the first
    of them brings an answer, or when the last has ended without one.
    `bucket`: where the credit came from, "" when the job is paid and only `gemini` is held.
    `cycle`: the month a `monthly` amount belongs to. `gemini`: which limit the job is counted against,
    "purchased" for none. `gemini_calls`: the running calls that counted it. `origin`: the bucket the credit was
    moved away from because the gemini limit is used up.
    """

    account: str
    job: str
    bucket: Bucket | Literal[""]
    created_at: datetime
    calls: dict[str, str]
    cycle: datetime | None = None
    gemini: Bucket | Literal[""] = ""
    gemini_calls: list[str] = []
    origin: Bucket | Literal[""] = ""


def same_month(account: Account, bucket: str, cycle: datetime | None) -> bool:
    """False when the amount belongs to a month that has been rolled away."""
    return bucket != "monthly" or cycle == account.cycle_started_at


def give_back(account: Account, hold: Hold) -> None:
    """Undo what the hold took. A credit of a month that has rolled is gone with that month."""
    drop_gemini(account, hold)
    if hold.bucket:
        account.held -= 1
        if same_month(account, hold.bucket, hold.cycle):
            spend(account, hold.bucket, -1)


def drop_gemini(account: Account, hold: Hold) -> None:
    """Undo the gemini count, and the move to `purchased` it may have forced."""
    if hold.gemini and same_month(account, hold.gemini, hold.cycle):
        count_gemini(account, hold.gemini, -1)
    hold.gemini = ""
    hold.gemini_calls = []
    if hold.origin:
        spend(account, "purchased", -1)
        if same_month(account, hold.origin, hold.cycle):
            spend(account, hold.origin)
        hold.bucket, hold.origin = hold.origin, ""
