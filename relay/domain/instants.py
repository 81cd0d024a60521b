"""Instants are whole seconds in UTC: they sort as text, and people can read them."""

from __future__ import annotations

from datetime import UTC, datetime


def utcnow() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def iso(instant: datetime | None) -> str | None:
    """`2026-01-31T12:00:00Z`, or None."""
    return None if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
