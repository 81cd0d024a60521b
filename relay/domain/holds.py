"""A hold: one job's claim on one credit, from before the first call until its answer."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from relay.domain.accounts import Account, Bucket, count_gemini, spend
from relay.domain.jobs import Attempt


class Hold(Struct, gc=False):
    """The open hold of a job, kept under the job's server id.

    `calls`: the running calls that share it, call id -> owner (a process); the hold ends when the first
    of them brings an answer, or when the last has ended without one.
    `bucket`: where the credit came from. `follow_up`: the job is paid already and only what gemini needs is
    held; `bucket` is then "", or "purchased" when its charge is to move there.
    `cycle`: the month a `monthly` amount belongs to. `gemini`: which limit the job is counted against,
    "purchased" for none. `gemini_calls`: the running calls that counted it. `origin`: the bucket the credit was
    moved away from because the gemini limit is used up. `attempts`: those of calls that have ended without an answer.
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
    follow_up: bool = False
    name: str = ""
    task: str = ""
    attempts: list[Attempt] = []


def same_month(account: Account, bucket: str, cycle: datetime | None) -> bool:
    """False when the amount belongs to a month that has been rolled away."""
    return bucket != "monthly" or cycle == account.cycle_started_at


def give_back(account: Account, hold: Hold) -> None:
    """Undo what the hold took. A credit of a month that has rolled is gone with that month."""
    _uncount(account, hold)
    if hold.bucket:
        account.held -= 1
        if same_month(account, hold.bucket, hold.cycle):
            spend(account, hold.bucket, -1)


def move_to_purchased(account: Account, hold: Hold, origin: Bucket) -> None:
    """Pay with a purchased credit instead, because the tier's gemini limit is used up.

    An unpaid job's credit goes back to `origin` at once; a paid job's when the answer is there.
    """
    spend(account, "purchased")
    if hold.follow_up:
        account.held += 1
    elif same_month(account, origin, hold.cycle):
        spend(account, origin, -1)
    hold.bucket = hold.gemini = "purchased"
    hold.origin = origin


def drop_gemini(account: Account, hold: Hold, *, room: bool) -> None:
    """Another backend answers: undo the gemini count, and the move it may have forced.

    `room`: the allowance still has a credit to move back to; without one the job stays on `purchased`.
    """
    _uncount(account, hold)
    hold.gemini_calls = []
    if hold.origin and hold.follow_up:
        spend(account, "purchased", -1)
        account.held -= 1
        hold.bucket = ""
    elif hold.origin and room and not (hold.origin == "lifetime" and account.core_closed):
        spend(account, "purchased", -1)
        if same_month(account, hold.origin, hold.cycle):
            spend(account, hold.origin)
        hold.bucket = hold.origin
    hold.origin = ""


def _uncount(account: Account, hold: Hold) -> None:
    if hold.gemini and same_month(account, hold.gemini, hold.cycle):
        count_gemini(account, hold.gemini, -1)
    hold.gemini = ""
