"""Instants are whole seconds in UTC: they sort as text, and people can read them."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def utcnow() -> datetime:
    return datetime.fromtimestamp(int(time.time()), UTC)


def whole(instant: datetime | None) -> datetime | None:
    """The same instant as the books write it, whatever zone or fraction a person gave it."""
    return None if instant is None else instant.astimezone(UTC).replace(microsecond=0)


def iso(instant: datetime | None) -> str | None:
    """`2026-01-31T12:00:00Z`, or None."""
    if instant is None:
        return None
    if instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    return f"{instant.isoformat()[:19]}Z"
