"""The whole house at a glance. Read from counters, indexes and figures: what it costs does not grow with the books."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from relay import __version__
from relay.books import orders, outbox, usage
from relay.books.accounts import COLL as ACCOUNTS
from relay.domain.instants import iso, utcnow
from relay.domain.usage import Usage, total
from relay.ports.storage import ReadTx
from relay.services.backends_view import backends_view
from relay.services.core import Core
from relay.services.overview_alerts import Facts, alerts
from relay.services.usage import Figures, figures, in_words

HOURS = 48
DAYS = 30
RECENT = 50
"""Orders looked at to find out whether webhooks arrive."""


def overview(core: Core) -> dict[str, Any]:
    """`GET /admin/dashboard`."""
    now, of = utcnow(), Figures(core.storage)

    def read(tx: ReadTx) -> tuple[list[tuple[datetime, Usage]], list[tuple[datetime, Usage]], Facts]:
        return of.rows(tx, of.last("hour", HOURS)), of.rows(tx, of.last("day", DAYS)), facts(tx, now)

    hours, days, seen = core.storage.read(read)
    month = total(row for _, row in days)
    backends = backends_view(core)
    rails = [rail_view(core, name) for name in core.registry.rails]
    jobs, positions = core.jobs.live()
    return {
        "version": __version__,
        "uptime_seconds": round(time.monotonic() - core.started),
        "now": iso(now),
        "totals": {
            "today": figures(days[-1][0], days[-1][1]),
            "last_24h": figures(hours[-24][0], total(row for _, row in hours[-24:])),
            "last_30d": figures(days[0][0], month),
        },
        "hours": [figures(at, row) for at, row in hours],
        "days": [figures(at, row) for at, row in days],
        "accounts": {"count": seen.accounts, "paid": seen.paid, "blocked": seen.blocked},
        "money": {
            "open_orders": seen.open_orders,
            "review": seen.review,
            "settled_30d": in_words(month.money),
            "owed": seen.owed,
        },
        "books": core.books_check.view(),
        "queue": {
            "running": sum(slots.running for slots in core.infer.slots.values()),
            "queued": sum(slots.waiting for slots in core.infer.slots.values()),
            "jobs_queued": len(positions),
            "jobs_running": sum(job.state == "processing" and not job.over for job in jobs),
        },
        "backends": backends,
        "rails": rails,
        "alerts": alerts(core, seen, backends, rails, now),
    }


def facts(tx: ReadTx, now: datetime) -> Facts:
    """What the books say, from indexes alone."""
    return Facts(
        accounts=tx.count(ACCOUNTS),
        paid=tx.count(ACCOUNTS, "paid_tier"),
        blocked=tx.count(ACCOUNTS, "blocked_at"),
        open_orders=tx.count(orders.COLL, "next_check_at"),
        review=tx.count(orders.COLL, "review_at"),
        oldest_review=oldest(tx, orders.COLL, "review_at"),
        dead=outbox.counts(tx)[1],
        newest_dead=oldest(tx, outbox.COLL, "dead_at", newest=True),
        owed=max(0, usage.since_the_start(tx).owed),
        silent=silent_rails(tx, now),
    )


def oldest(tx: ReadTx, coll: str, index: str, *, newest: bool = False) -> str | None:
    rows = tx.scan(coll, index, limit=1, reverse=newest)
    return str(rows[0][1][index]) if rows else None


def silent_rails(tx: ReadTx, now: datetime) -> tuple[str, ...]:
    """Rails whose deliveries never arrived, though they were paid through: their webhook cannot be right."""
    recent = tx.scan(orders.COLL, "created_at", iso(now - timedelta(days=DAYS)), limit=RECENT, reverse=True)
    paid = {doc["rail"] for _, doc in recent if doc.get("fulfilled_at") and not doc.get("by_hand")}
    heard = {rail for rail in paid if tx.scan("inbox", "invoice", f"{rail} ", f"{rail} ~", limit=1)}
    return tuple(sorted(paid - heard - {""}))


def rail_view(core: Core, name: str) -> dict[str, Any]:
    """As it is known: no payment service is asked."""
    off = core.registry.rails[name].off()
    if off is not None:
        return {"name": name, "state": "off", "problem": off}
    if core.till.checks.is_down(name):
        return {"name": name, "state": "down", "problem": f"{name} did not answer when it was asked last"}
    return {"name": name, "state": "ok", "problem": None}
