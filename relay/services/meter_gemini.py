"""The gemini limit of a tier.

A job is counted once, before its first attempt on such a backend; past the limit it pays with a purchased credit.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from relay.books import accounts, holds, jobs
from relay.domain import tiers
from relay.domain.accounts import Account, Bucket, consumed, count_gemini, spend
from relay.domain.holds import Hold, drop_gemini, move_to_purchased, same_month
from relay.domain.jobs import Job
from relay.domain.ledger import Draft
from relay.ports.storage import Tx
from relay.services.policy import Policy

COST_CLASS = "gemini"


def claim(tx: Tx, call: Any, owner: str, policy: Policy, now: datetime) -> bool:
    """Count the call's job, or move it to `purchased`. False: neither is possible."""
    job, hold = jobs.get(tx, call.job_id), holds.get(tx, call.job_id)
    if job is not None and job.gemini:
        return True
    account = accounts.get(tx, call.identity.account)
    if account is None:
        return False  # it was erased while the call ran: there is nothing to count in
    tier = policy.tiers.get(call.identity.tier or "") or tiers.tier_of(account, policy.tiers, now)
    if hold is None:
        if job is None or job.paid_at is None:
            return False
        cycle = account.cycle_started_at if tier.counts == "monthly" else None
        hold = Hold(job.account, call.job_id, "", now, {}, cycle, follow_up=True, name=job.name, task=call.task)
    if hold.gemini and call.id in hold.gemini_calls:
        return True
    hold.calls[call.id] = owner
    if not hold.gemini and not _count(account, hold, job, tier, allowance=call.identity.allowance):
        return False
    hold.gemini_calls.append(call.id)
    holds.put(tx, hold)
    accounts.save(tx, call.identity.account, account, policy.tiers, now)
    return True


def _count(account: Account, hold: Hold, job: Job | None, tier: tiers.Tier, *, allowance: bool) -> bool:
    if allowance and tiers.gemini_left(account, tier) != 0:
        if hold.bucket != "monthly":
            hold.cycle = account.cycle_started_at if tier.counts == "monthly" else None
        if same_month(account, tier.counts, hold.cycle):
            count_gemini(account, tier.counts)
        hold.gemini = tier.counts
        return True
    bucket = job.bucket if hold.follow_up and job is not None else hold.bucket
    if bucket == "purchased":
        hold.gemini = "purchased"
        return True
    if bucket and account.purchased_balance > 0:
        move_to_purchased(account, hold, bucket)
        return True
    return False


def ended(account: Account, hold: Hold, calls: list[str], *, room: bool) -> None:
    """These calls no longer ask gemini."""
    hold.gemini_calls = [call_id for call_id in hold.gemini_calls if call_id not in calls]
    if hold.gemini and not hold.gemini_calls:
        drop_gemini(account, hold, room=room)


def charge_follow_up(account: Account, hold: Hold, job: Job | None) -> list[Draft]:
    """A paid job was answered by gemini for the first time: write the count, or move the charge."""
    if hold.bucket == "purchased" and job is not None:
        account.held -= 1
        gone = not same_month(account, job.bucket, job.cycle) or (job.bucket == "lifetime" and account.core_closed)
        gone = gone or (job.bucket in {"lifetime", "monthly"} and consumed(account, job.bucket) < 1)  # edited by hand
        origin: Bucket | Literal[""] = "purchased" if gone else job.bucket
        if origin:
            spend(account, origin, -1)
        cycle = job.cycle if origin == "monthly" else None
        return [
            Draft("refund", origin, 1, "moved to purchased: gemini limit", cycle=cycle),
            Draft("charge", "purchased", -1, "gemini"),
        ]
    if hold.gemini in {"lifetime", "monthly"}:
        return [Draft("charge", "", 0, "gemini", gemini=1, gemini_bucket=hold.gemini, cycle=hold.cycle)]
    return []
