"""Zaprite's words for the state of an order, in ours."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from relay.api import Status

PAID = frozenset({"PAID", "COMPLETE", "OVERPAID"})
OPEN: dict[str, Status] = {
    "PENDING": "pending",
    "PROCESSING": "processing",
    "ABANDONED": "expired",
    # Not in Zaprite's published list, but other clients prepare for them.
    "EXPIRED": "expired",
    "CANCELLED": "invalid",
    "CANCELED": "invalid",
    "INVALID": "invalid",
}
UNPAID = frozenset({*OPEN, "UNDERPAID"})

GRACE = timedelta(minutes=15)
"""After `expiresAt` the rest of a part payment that was under way may still be booked."""


def status_of(word: str, expires_at: datetime | None, now: datetime, paid: Collection[str]) -> Status:
    """`paid`: the words the operator takes for paid.

    UNDERPAID is pending while the buyer can add the rest: until `expires_at` and a grace. An order without an end is
    underpaid at once, for nothing would close it later. A word of PAID that the operator does not take is not final
    yet. Nothing else is concluded here: a PENDING order stays that however old it is.
    """
    if word in paid:
        return "settled"
    if word == "UNDERPAID":
        return "pending" if expires_at is not None and now < expires_at + GRACE else "underpaid"
    if word in PAID:
        return "processing"
    return OPEN.get(word, "unknown")
