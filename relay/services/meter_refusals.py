"""Why a call does not begin."""

from __future__ import annotations

from relay.errors import Conflict, Forbidden, PaymentRequired
from relay.services.policy import Policy
from relay.settings import JobSettings


def blocked() -> Forbidden:
    return Forbidden("this account is blocked; ask the operator of this relay", code="blocked")


def nothing_left(policy: Policy) -> PaymentRequired:
    return PaymentRequired(
        "no credits left. Buy a package, or wait for the next month of your tier",
        details={
            "needed": 1,
            "available": 0,
            "packages": [package.id for package in policy.packages],
            "checkout_path": "/relay/credits/checkout",
        },
    )


def job_closed(name: str, rule: JobSettings) -> Conflict:
    return Conflict(
        f"job {name} is closed: a paid job takes {rule.max_calls} calls within"
        f" {rule.free_window_hours:g} hours. Start a new job id",
        code="job_closed",
    )
