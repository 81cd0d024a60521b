"""What the books and the payment services have to tell at a scrape: counts that an index answers, never a scan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import structlog

from relay.books import accounts, orders, outbox, usage
from relay.errors import RelayError
from relay.ports.storage import ReadTx
from relay.services.core import Core

log = structlog.get_logger("relay")


class Shown(NamedTuple):
    """One metric with its values by labels."""

    kind: Literal["gauge", "counter"]
    name: str
    text: str
    labels: tuple[str, ...]
    values: Iterable[tuple[tuple[str, ...], float]]


def told(core: Core) -> Iterator[Shown]:
    yield from _rails(core)
    yield from _jobs(core)
    balanced = core.books_check.view()["balanced"]
    if balanced is not None:
        text = "1 when the last check of the whole ledger found every balance right, else 0."
        yield _gauge("relay_books_balanced", text, int(balanced))
    try:
        yield from core.storage.read(_stored)
    except RelayError as exc:
        log.warning("metrics_without_books", error=exc.message)


def _stored(tx: ReadTx) -> list[Shown]:
    waiting, dead = outbox.counts(tx)
    all_time = usage.since_the_start(tx)
    money = [((currency,), float(units)) for currency, units in all_time.money.items()]
    return [
        _gauge("relay_holds_open", "Jobs whose credit is held and not settled.", tx.count("holds")),
        _gauge("relay_accounts", "Accounts.", tx.count(accounts.COLL)),
        _gauge("relay_accounts_blocked", "Blocked accounts.", tx.count(accounts.COLL, "blocked_at")),
        _gauge("relay_orders_open", "Orders that are still looked after.", tx.count(orders.COLL, "next_check_at")),
        _gauge("relay_orders_review", "Orders that wait for a person.", tx.count(orders.COLL, "review_at")),
        _gauge("relay_callbacks_waiting", "Messages to other servers, to be sent.", waiting),
        _gauge("relay_callbacks_dead", "Messages to other servers, given up.", dead),
        _counter("relay_orders_fulfilled", "Orders that were paid and credited.", all_time.orders),
        _counter("relay_credits_sold", "Credits sold by orders.", all_time.sold),
        _counter("relay_credits_granted", "Credits granted by a person or an app.", all_time.granted),
        _counter("relay_accounts_made", "Accounts that were made.", all_time.new_accounts),
        Shown("counter", "relay_money_settled_units", "Orders paid, in smallest units.", ("currency",), money),
    ]


def _rails(core: Core) -> Iterator[Shown]:
    """A payment service that is off is no fault, so it has no line."""
    checks = core.till.checks
    up = [((name,), float(not checks.is_down(name))) for name, rail in core.registry.rails.items() if not rail.off()]
    yield Shown("gauge", "relay_rail_up", "1 while a payment service answers, else 0.", ("rail",), up)


def _jobs(core: Core) -> Iterator[Shown]:
    jobs, positions = core.jobs.live()
    running = sum(job.state == "processing" and not job.over for job in jobs)
    yield _gauge("relay_jobs_running", "Jobs in the background that are worked on.", running)
    yield _gauge("relay_jobs_queued", "Jobs in the background that wait.", len(positions))


def _gauge(name: str, text: str, value: float) -> Shown:
    return Shown("gauge", name, text, (), [((), value)])


def _counter(name: str, text: str, value: float) -> Shown:
    return Shown("counter", name, text, (), [((), value)])
