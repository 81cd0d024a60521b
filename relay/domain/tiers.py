"""Tier rules: allowance, spend order, monthly roll, promotion, extension, lapse."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from relay.domain.accounts import UNLIMITED, Account, Bucket, consumed
from relay.domain.ledger import Draft


class Tier(Struct, frozen=True):
    """`counts`: whether the limits are for the account's life or for a month of `period_days`.
    `credits`, `gemini`: the limits, None for unlimited."""

    name: str
    counts: Literal["lifetime", "monthly"]
    credits: int | None
    gemini: int | None
    period_days: int = 30

    @property
    def period(self) -> timedelta:
        return timedelta(days=self.period_days)


Tiers = Mapping[str, Tier]


def lapsed(account: Account, now: datetime) -> bool:
    """The end itself is past the end."""
    return account.subscription_expires_at is not None and now >= account.subscription_expires_at


def tier_of(account: Account, tiers: Tiers, now: datetime) -> Tier:
    """The tier that counts now. One that is no longer configured is core."""
    if lapsed(account, now):
        return tiers["core"]
    return tiers.get(account.tier_snapshot) or tiers["core"]


def allowance_left(account: Account, tier: Tier) -> int | None:
    """What is left of the tier's allowance, None for unlimited."""
    if tier.credits is None:
        return None
    if tier.counts == "lifetime" and account.core_closed and tier.name == "core":
        return 0
    return max(0, tier.credits - consumed(account, tier.counts))


def gemini_left(account: Account, tier: Tier) -> int | None:
    if tier.gemini is None:
        return None
    monthly = tier.counts == "monthly"
    used = account.monthly_gemini_consumed if monthly else account.lifetime_gemini_consumed
    return max(0, tier.gemini - used)


def spendable(account: Account, tier: Tier) -> int | None:
    """Allowance plus purchased, None for unlimited."""
    left = allowance_left(account, tier)
    return None if left is None else left + account.purchased_balance


def next_bucket(account: Account, tier: Tier, *, allowance: bool) -> Bucket | None:
    """Where the next credit comes from: the allowance first, then purchased. None: nothing is left."""
    if allowance and allowance_left(account, tier) != 0:
        return tier.counts
    return "purchased" if account.purchased_balance > 0 else None


def refresh(account: Account, tiers: Tiers, now: datetime) -> list[Draft]:
    """Bring the row up to `now`: a subscription past its end lapses, a month that is over rolls, once."""
    drafts: list[Draft] = []
    if lapsed(account, now):
        drafts += change_tier(account, tiers, "core", now, reason="lapsed")
    tier = tier_of(account, tiers, now)
    if tier.counts == "monthly":
        if account.cycle_started_at is None:
            drafts += start_month(account, now)
        elif now >= account.cycle_started_at + tier.period:
            months = (now - account.cycle_started_at) // tier.period
            drafts += start_month(account, account.cycle_started_at + months * tier.period)
    return drafts


def start_month(account: Account, start: datetime) -> list[Draft]:
    """A fresh month: what the old one used no longer counts."""
    old, used, gemini = account.cycle_started_at, account.monthly_consumed, account.monthly_gemini_consumed
    if old is not None and start <= old:
        start = old + timedelta(seconds=1)
    account.cycle_started_at = start
    account.monthly_consumed = account.monthly_gemini_consumed = 0
    if old is None:
        return []
    return [Draft("cycle", "monthly", used, "a new month", gemini=-gemini, gemini_bucket="monthly", cycle=old)]


def change_tier(
    account: Account,
    tiers: Tiers,
    name: str,
    now: datetime,
    *,
    expires: datetime | None = None,
    fresh: bool = False,
    reason: str = "",
) -> list[Draft]:
    """Put the account into tier `name` until `expires` (None: no end).

    The present tier is never refilled. Leaving core carries what is left of it over to `purchased`, once
    in the account's life (not for a `fresh` row, which never was in core), and starts a fresh month.
    """
    drafts: list[Draft] = []
    closes: dict[str, int] = {}
    was = account.tier_snapshot
    if was == "core" and name != "core":
        carry = 0 if fresh or account.core_closed else allowance_left(account, tiers["core"]) or 0
        if carry:
            account.purchased_balance += carry
            drafts.append(Draft("promotion", "purchased", carry, f"unused core credits, on moving to {name}"))
        if not account.core_closed:
            closes = {"core_closed": 1}
        account.core_closed = True
        drafts += start_month(account, now)
    if was == name and account.subscription_expires_at == expires:
        return drafts
    account.tier_snapshot = name
    account.subscription_expires_at = expires
    drafts.append(Draft("tier", reason=reason or f"{was} -> {name}", tier=name, expires_at=expires, changes=closes))
    return drafts


def extended_end(account: Account, period_days: int, now: datetime) -> datetime | None:
    """The end after one more period: from the present end, or from now; no end stays no end."""
    end = account.subscription_expires_at
    if end is None and account.tier_snapshot != "core":
        return None
    start = end if end is not None and end > now else now
    return start + timedelta(days=period_days)


DERIVED = 2
"""Counts the sets of fields that `derive` has set: rows of an older one are derived again."""


def derive(account: Account, tiers: Tiers, now: datetime) -> int | None:
    """Set the fields the indexes sort by; returns what can be spent, None for unlimited."""
    tier = tier_of(account, tiers, now)
    left, total = allowance_left(account, tier), spendable(account, tier)
    account.sort_total = UNLIMITED if total is None else total
    account.sort_remaining = UNLIMITED if left is None else left
    account.sort_used = consumed(account, tier.counts)
    due = account.subscription_expires_at
    if tier.counts == "monthly" and account.cycle_started_at is not None:
        rolls = account.cycle_started_at + tier.period
        due = rolls if due is None or rolls < due else due
    account.due_at = due
    account.paid_tier = account.tier_snapshot if account.tier_snapshot != "core" else None
    account.blocked_at = (account.blocked_at or now) if account.blocked else None
    # A row without it would be missing from a table that is sorted by it.
    account.last_active_at = account.last_active_at or account.created_at or now
    return total
