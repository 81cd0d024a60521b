"""What the operator's own server can be told of."""

from __future__ import annotations

from typing import Literal, get_args

EventKind = Literal[
    "payment.credited",
    "payment.review_needed",
    "credits.low",
    "subscription.renewal_due",
    "subscription.lapsed",
    "rail.down",
    "rail.up",
]
KINDS: tuple[EventKind, ...] = get_args(EventKind)


def crosses_down(before: int, after: int, threshold: int) -> bool:
    """Has something fallen to the threshold or below just now? Rising above it makes it ready to fall again."""
    return after <= threshold < before
