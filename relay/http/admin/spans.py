"""Times in the query string."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import falcon

from relay.domain.instants import whole
from relay.errors import BadRequest

DATE = re.compile(r"\d{4}-\d\d-\d\d")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?")


def query_instant(req: falcon.Request, name: str, *, end: bool = False) -> datetime | None:
    """A date or an ISO 8601 instant, UTC unless it says otherwise; None without one. `end`: a date means its last
    second. Raises BadRequest."""
    text = req.get_param(name)
    if not text:
        return None
    # In a query string a plus is a space.
    text = text.replace(" ", "+")
    try:
        if DATE.fullmatch(text):
            at = datetime.fromisoformat(text).replace(tzinfo=UTC)
            return _bounded(at + timedelta(days=1, seconds=-1) if end else at)
        if INSTANT.fullmatch(text):
            at = datetime.fromisoformat(text)
            return _bounded(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        pass
    raise BadRequest(
        f"{name} must be a date or a time like 2026-01-31 or 2026-01-31T12:00:00Z, after 2000", details={"path": name}
    )


def _bounded(at: datetime) -> datetime | None:
    if not 2000 <= at.year <= 9000:
        raise ValueError(at.year)
    return whole(at)
