"""A job: what one credit pays for. Its first answer is charged, later calls are free for a while."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from relay.domain.accounts import Bucket

SERVER_ID = re.compile(r"job_[0-9a-f]{24}")
MAX_ATTEMPTS = 50


class Attempt(Struct, omit_defaults=True, gc=False):
    """One backend was asked. `code`: "ok", or that of the error it ended with. `ms`: waiting for a slot included."""

    backend: str
    at: datetime
    ms: int
    code: str = "ok"


class Job(Struct, omit_defaults=True, gc=False):
    """Kept under its server id. `name`: the caller's id for it, or the server id.

    `paid_at` None: nothing was charged (yet). `bucket`, `cycle`: where the charge went, for a refund.
    `gemini`: the limit it was counted against, "" for none. `calls`: how many calls ran under it since it was paid,
    the paying one included. `error`, `failed_at`: code and message of the failure that ended an unpaid job, and when.
    `attempts`: the newest MAX_ATTEMPTS of all its calls. `inputs`: what was asked, in figures. `entry`: the number of
    the ledger entry that charged it. `account_at`: account and time, for the index.
    """

    account: str
    name: str
    task: str
    created_at: datetime
    paid_at: datetime | None = None
    bucket: Bucket | Literal[""] = ""
    cycle: datetime | None = None
    gemini: Bucket | Literal[""] = ""
    refunded: bool = False
    calls: int = 0
    backend: str = ""
    model: str = ""
    error: dict[str, str] | None = None
    failed_at: datetime | None = None
    attempts: list[Attempt] = []
    inputs: dict[str, int | float | str] = {}
    entry: int = 0
    account_at: str = ""


def server_id(account: str, name: str) -> str:
    """The server's id for the name a caller gave: the same job every time, unguessable from elsewhere."""
    return "job_" + hashlib.sha256(f"{account}\0{name}".encode()).hexdigest()[:24]


def closed(job: Job, now: datetime, *, window_hours: float, max_calls: int) -> bool:
    """A paid job past its free window or its number of calls."""
    if job.paid_at is None:
        return False
    return job.calls >= max_calls or now >= job.paid_at + timedelta(hours=window_hours)


def account_at(account: str, at: datetime) -> str:
    """Sorts the jobs of one account by time. A space comes before every character of an account."""
    return f"{account} {at.isoformat()[:19]}"
