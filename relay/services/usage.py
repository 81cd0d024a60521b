"""Figures over time, as the dashboard and the CSV show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from relay.books import usage
from relay.domain.instants import iso, utcnow
from relay.domain.money import Money
from relay.domain.usage import Names, Usage, quantile, total
from relay.errors import BadRequest
from relay.ports.storage import ReadTx, Storage

By = Literal["hour", "day"]
HOURS_KEPT_DAYS = 92
HOURS_SHOWN_DAYS = 31
"""Of hours on one page; a file may have all that are kept."""
MAX_DAYS = 3660


@dataclass(frozen=True, slots=True)
class Span:
    """Hours or days from `first` to `last`, both included; the starts of them in UTC."""

    by: By
    first: datetime
    last: datetime

    @property
    def step(self) -> timedelta:
        return timedelta(hours=1) if self.by == "hour" else timedelta(days=1)

    def starts(self) -> list[datetime]:
        return [self.first + n * self.step for n in range((self.last - self.first) // self.step + 1)]

    def name(self, at: datetime) -> str:
        return at.isoformat()[: 13 if self.by == "hour" else 10]


class Figures:
    def __init__(self, storage: Storage, clock: Callable[[], datetime] = utcnow) -> None:
        self._storage = storage
        self._clock = clock

    def span(
        self, by: By, first: datetime | None, last: datetime | None, *, hours_days: int = HOURS_SHOWN_DAYS
    ) -> Span:
        """By default the last 48 hours or 30 days. Raises BadRequest for a range that is turned around or too long."""
        end = start_of(by, last or self._clock())
        before = timedelta(hours=47) if by == "hour" else timedelta(days=29)
        begin = start_of(by, first) if first else end - before
        longest = timedelta(days=hours_days if by == "hour" else MAX_DAYS)
        if begin > end:
            raise BadRequest("from must not be after to", details={"path": "from"})
        if end - begin > longest:
            raise BadRequest(f"by {by} at most {longest.days} days can be shown at once", details={"path": "from"})
        return Span(by, begin, end)

    def last(self, by: By, n: int) -> Span:
        """The newest `n` hours or days, the present one included."""
        now = start_of(by, self._clock())
        step = timedelta(hours=1) if by == "hour" else timedelta(days=1)
        return Span(by, now - (n - 1) * step, now)

    def rows(self, tx: ReadTx, span: Span) -> list[tuple[datetime, Usage]]:
        """One for each hour or day of the span, oldest first; zeros where nothing happened."""
        kind = usage.HOUR if span.by == "hour" else usage.DAY
        starts = {span.name(at): at for at in span.starts()}
        found = usage.rows(tx, kind, list(starts))
        return [(at, found.get(name) or Usage()) for name, at in starts.items()]

    def usage(self, span: Span) -> dict[str, Any]:
        """`GET /admin/usage`."""
        rows = self._storage.read(lambda tx: self.rows(tx, span))
        return {
            "by": span.by,
            "from": iso(span.first),
            "to": iso(span.last),
            "rows": [figures(at, row) for at, row in rows],
            "totals": figures(span.first, total(row for _, row in rows)),
        }


def start_of(by: By, at: datetime) -> datetime:
    whole = at.replace(minute=0, second=0, microsecond=0)
    return whole if by == "hour" else whole.replace(hour=0)


def figures(at: datetime, row: Usage) -> dict[str, Any]:
    """FIG: one hour, one day, or a sum of some."""
    return {
        "at": iso(at),
        "calls": row.calls,
        "charged": row.charged,
        "failed": row.failed,
        "free": row.free,
        "audio_seconds": round(row.audio_ms / 1000, 1),
        "errors": row.errors,
        "tasks": row.tasks,
        "backends": row.backends,
        "p50_ms": quantile(row.times, 0.5),
        "p95_ms": quantile(row.times, 0.95),
        "queue_max": row.queue_max,
        "refunded": row.refunded,
        "granted": row.granted,
        "sold": row.sold,
        "taken_back": row.reversed,
        "orders": row.orders,
        "money": in_words(row.money),
        "money_taken_back": in_words(row.money_back),
        "new_accounts": row.new_accounts,
    }


def in_words(money: Names) -> dict[str, str]:
    """`{"USD": "15.00"}` of smallest units."""
    return {currency: Money(units, currency).amount for currency, units in sorted(money.items())}
