"""An account: the counters of one `credit_key`. A cache of its ledger entries and open holds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

Bucket = Literal["lifetime", "monthly", "purchased"]
Whole = Annotated[int, Meta(ge=0, le=2**52)]
Instant = Annotated[datetime, Meta(tz=True)]

UNLIMITED = 2**53
"""Stands for "no limit" where numbers are sorted; JSON answers say null."""

PREFIXES = {"user": "cloud", "inst": "install", "lic": "license"}
"""What a credit_key's prefix says of its type."""


class Account(Struct, gc=False):
    """One row of the books. Instants are whole seconds in UTC.

    The counters include open holds: a hold raises `*_consumed` (or lowers `purchased_balance`) at once.
    `core_closed`: the account has left core, so core's lifetime allowance counts as used from then on.
    `entries` and `head`: how many ledger entries there are, and the hash of the newest.
    What follows them is derived, for the indexes: what can be spent, what is left of the allowance and used of it, when
    that changes by itself; the tier when it is not core; since when the account is blocked.
    """

    tier_snapshot: str = "core"
    lifetime_consumed: Whole = 0
    lifetime_gemini_consumed: Whole = 0
    monthly_consumed: Whole = 0
    monthly_gemini_consumed: Whole = 0
    purchased_balance: Whole = 0
    purchased_total_ever: Whole = 0
    held: Whole = 0
    owed: Whole = 0
    blocked: bool = False
    core_closed: bool = False
    cycle_started_at: Instant | None = None
    subscription_expires_at: Instant | None = None
    created_at: Instant | None = None
    last_active_at: Instant | None = None
    entries: Whole = 0
    head: str = ""
    sort_total: int = 0
    sort_remaining: int = 0
    sort_used: int = 0
    due_at: datetime | None = None
    paid_tier: str | None = None
    blocked_at: datetime | None = None


def type_of(credit_key: str) -> str:
    """`cloud`, `install` or `license`."""
    return PREFIXES.get(credit_key.partition(":")[0], "install")


def touch(account: Account, now: datetime) -> None:
    """Note that the account is in use, to the minute: a finer mark would move its index entry at every call."""
    if account.last_active_at is None or (now - account.last_active_at).total_seconds() >= 60:
        account.last_active_at = now


def consumed(account: Account, bucket: Bucket) -> int:
    return account.lifetime_consumed if bucket == "lifetime" else account.monthly_consumed


def spend(account: Account, bucket: Bucket, amount: int = 1) -> None:
    """Take `amount` out of a bucket; a negative one gives back."""
    if bucket == "lifetime":
        account.lifetime_consumed += amount
    elif bucket == "monthly":
        account.monthly_consumed += amount
    else:
        account.purchased_balance -= amount


def count_gemini(account: Account, bucket: Bucket, amount: int = 1) -> None:
    """Count a job against the gemini limit of a tier that counts by `bucket`; "purchased" has none."""
    if bucket == "lifetime":
        account.lifetime_gemini_consumed += amount
    elif bucket == "monthly":
        account.monthly_gemini_consumed += amount
