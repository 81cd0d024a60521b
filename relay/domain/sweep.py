"""When an order is asked about next, and when no more."""

from __future__ import annotations

from datetime import datetime, timedelta

from relay.domain.orders import Order

STEPS = (15, 30, 60, 120, 300, 600, 1800, 3600)
"""Seconds between questions, for an order that may be paid any moment; then every hour."""
MARKED_DAYS = 30
"""How long a payment that a person marked is looked at again: it can be taken back."""
CONFIRMING_DAYS = 30
"""How long a payment that has arrived is waited for to be confirmed."""
DAY = timedelta(days=1)


def first_check(created_at: datetime, initial_delay: int) -> datetime:
    return created_at + timedelta(seconds=initial_delay)


def next_check(order: Order, now: datetime, window_hours: int) -> datetime | None:
    """After an answer of the rail at `now`. None: the order leaves the sweep.

    An open order stays until the rail has answered once later than the end of its monitoring plus the window, however
    long the relay or the rail was down before. A fulfilled one leaves at once, unless a person had marked it paid.
    """
    if order.fulfilled_at is not None:
        again = order.marked and order.reversed_at is None and now < order.fulfilled_at + MARKED_DAYS * DAY
        return now + DAY if again else None
    end = order.monitored_until or order.expires_at or order.created_at + DAY
    if order.state == "processing":
        # Money is on its way, however long that takes.
        end = max(end, order.created_at + CONFIRMING_DAYS * DAY)
    # A rail may name an end that no date lies behind, so the window is taken from now.
    if now - timedelta(hours=window_hours) > end:
        return None
    return now + pause(order.checks)


def pause(checks: int) -> timedelta:
    """The back-off of one order, also while its rail is down."""
    return timedelta(seconds=STEPS[min(checks, len(STEPS) - 1)])
