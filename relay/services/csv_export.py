"""Tables as CSV (RFC 4180), made in batches: no batch holds the storage for long, and none of them is the whole.

Names and messages come from outside. A cell that a spreadsheet would take for a formula gets an apostrophe first.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

import msgspec

from relay.books import accounts, jobs, orders
from relay.domain.credits import admin_row
from relay.domain.instants import iso, utcnow
from relay.domain.jobs import Job
from relay.domain.orders import Order
from relay.errors import BadRequest
from relay.ports.storage import Storage
from relay.services.policy import Policy
from relay.services.usage import HOURS_KEPT_DAYS, By, Figures, figures

BATCH = 200
MAX_DAYS = 366
"""Of jobs and payments in one file."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
NUMBER = re.compile(r"-?\d+(\.\d+)?")

Row = list[Any]

FIGURES = (  # noqa: SIM905
    "at calls charged failed free refunded audio_seconds p50_ms p95_ms queue_max granted sold taken_back orders money"
    " new_accounts tasks backends errors"
).split()
CREDITS = (  # noqa: SIM905
    "credit_key type tier_snapshot remaining purchased total used held owed blocked subscription_expires_at created_at"
    " last_active_at"
).split()
JOBS = (  # noqa: SIM905
    "job_id name account task state created_at ended_at charged refunded calls backend model error_code error_message"
).split()
PAYMENTS = (  # noqa: SIM905
    "order_id account created_at state kind product amount currency credits rail invoice_id fulfilled_at reversed_at"
    " owed code email"
).split()
EXPORTS = ("usage", "credits", "jobs", "payments")


class Exports:
    def __init__(self, storage: Storage, policy: Policy, of: Figures, clock: Callable[[], datetime] = utcnow) -> None:
        self._storage = storage
        self._policy = policy
        self._figures = of
        self._clock = clock

    def lines(self, what: str, by: By, begin: datetime | None, end: datetime | None) -> Iterator[bytes]:
        """The file in pieces. Raises BadRequest for a range that is too long, before the first of them.

        `begin` and `end` do not matter for `credits`, which is how the accounts stand now.
        """
        if what == "usage":
            return written(FIGURES, self._usage(by, begin, end))
        if what == "credits":
            return written(CREDITS, self._credits())
        begin, end = self._range(begin, end)
        if what == "jobs":
            return written(JOBS, self._jobs(begin, end))
        return written(PAYMENTS, self._payments(begin, end))

    def _range(self, begin: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
        """The last 30 days, unless it was said otherwise."""
        end = end or self._clock()
        begin = begin or end - timedelta(days=30)
        if begin > end:
            raise BadRequest("from must not be after to", details={"path": "from"})
        if end - begin > timedelta(days=MAX_DAYS):
            raise BadRequest(f"at most {MAX_DAYS} days fit into one file", details={"path": "from"})
        return begin, end

    def _usage(self, by: By, begin: datetime | None, end: datetime | None) -> Iterator[list[Row]]:
        span = self._figures.span(by, begin, end, hours_days=HOURS_KEPT_DAYS)
        rows = self._storage.read(lambda tx: self._figures.rows(tx, span))
        return iter([[_cells(figures(at, row), FIGURES) for at, row in rows]])

    def _credits(self) -> Iterator[list[Row]]:
        after: str | None = None
        while rows := self._storage.read(lambda tx, after=after: tx.scan(accounts.COLL, None, after, limit=BATCH)):  # type: ignore[misc]
            after, now = rows[-1][0] + "\0", self._clock()
            tiers = self._policy.tiers
            yield [_cells(admin_row(key, accounts.load(doc), tiers, now), CREDITS) for key, doc in rows]

    def _jobs(self, begin: datetime, end: datetime) -> Iterator[list[Row]]:
        for batch in jobs.newest(self._storage, begin=begin, end=end):
            yield [_job(job_id, job) for _, job_id, job in batch]

    def _payments(self, begin: datetime, end: datetime) -> Iterator[list[Row]]:
        low, high, offset = iso(begin), iso(end), 0
        while rows := self._storage.read(
            lambda tx, offset=offset: tx.scan(orders.COLL, "created_at", low, high, limit=BATCH, offset=offset)  # type: ignore[misc]
        ):
            offset += len(rows)
            yield [_payment(key, msgspec.convert(doc, Order)) for key, doc in rows]


def written(header: list[str], batches: Iterable[list[Row]]) -> Iterator[bytes]:
    for batch in chain([[header]], batches):
        out = io.StringIO()
        csv.writer(out, lineterminator="\r\n", quoting=csv.QUOTE_NONNUMERIC).writerows(
            [defused(cell) for cell in row] for row in batch
        )
        yield out.getvalue().encode()


def defused(cell: Any) -> Any:
    """Text that begins like a formula gets an apostrophe, which spreadsheets take for "this is text"."""
    if isinstance(cell, str) and cell.startswith(FORMULA) and not NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def _cells(doc: dict[str, Any], names: list[str]) -> Row:
    return [_flat(doc.get(name)) for name in names]


def _flat(value: Any) -> Any:
    """A table of counts as `ok 3; failed 1`."""
    if isinstance(value, dict):
        return "; ".join(f"{name} {n}" for name, n in sorted(value.items()))
    return "" if value is None else value


def _job(job_id: str, job: Job) -> Row:
    error = job.error or {}
    return [
        job_id,
        job.name,
        job.account,
        job.task,
        jobs.state_of(job),
        iso(job.created_at),
        iso(job.paid_at or job.failed_at) or "",
        jobs.charged(job),
        int(job.refunded),
        job.calls,
        job.backend,
        job.model,
        error.get("code", ""),
        error.get("message", ""),
    ]


def _payment(order_id: str, order: Order) -> Row:
    return [
        order_id,
        order.account,
        iso(order.created_at),
        order.state,
        order.kind,
        order.product,
        order.price.amount,
        order.currency,
        order.credits,
        order.rail,
        order.invoice_id or "",
        iso(order.fulfilled_at) or "",
        iso(order.reversed_at) or "",
        order.owed,
        order.code,
        order.email,
    ]
