"""What a caller sees of an account: the `credits` object of answers, and the row of the admin table."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from relay.domain import tiers
from relay.domain.accounts import Account, consumed, type_of
from relay.domain.instants import iso
from relay.domain.tiers import Tier, Tiers


def current(account: Account | None, tiers_now: Tiers, now: datetime) -> Account:
    """The account as it stands at `now`, on a copy: a lapse or a new month that is not booked yet shows."""
    if account is None:
        return Account()
    if account.due_at is not None and now >= account.due_at:
        tiers.refresh(account, tiers_now, now)
    return account


def credits_view(account: Account, tier: Tier, *, allowance: bool = True) -> dict[str, Any]:
    """Whole numbers, null for unlimited. Open holds are off already."""
    left = tiers.allowance_left(account, tier) if allowance else 0
    return {
        "remaining": left,
        "purchased": account.purchased_balance,
        "total": None if left is None else left + account.purchased_balance,
        "gemini_remaining": tiers.gemini_left(account, tier) if allowance else 0,
        "held": account.held,
        "capped": tier.counts,
        "tier": tier.name,
    }


def admin_row(key: str, account: Account, tiers_now: Tiers, now: datetime) -> dict[str, Any]:
    """One row of the operator's table."""
    account = current(account, tiers_now, now)
    tier = tiers.tier_of(account, tiers_now, now)
    view = credits_view(account, tier)
    return {
        "credit_key": key,
        "type": type_of(key),
        "tier_snapshot": account.tier_snapshot,
        "remaining": view["remaining"],
        "purchased": view["purchased"],
        "total": view["total"],
        "used": consumed(account, tier.counts),
        "capped": view["capped"],
        "gemini_remaining": view["gemini_remaining"],
        "lifetime_consumed": account.lifetime_consumed,
        "lifetime_gemini_consumed": account.lifetime_gemini_consumed,
        "monthly_consumed": account.monthly_consumed,
        "monthly_gemini_consumed": account.monthly_gemini_consumed,
        "purchased_balance": account.purchased_balance,
        "purchased_total_ever": account.purchased_total_ever,
        "held": account.held,
        "owed": account.owed,
        "blocked": account.blocked,
        "blocked_at": iso(account.blocked_at),
        "cycle_started_at": iso(account.cycle_started_at),
        "subscription_expires_at": iso(account.subscription_expires_at),
        "created_at": iso(account.created_at),
        "last_active_at": iso(account.last_active_at),
    }
