"""Figures per hour and day: each thing once, in the transaction that makes it happen."""

import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from relay.books import usage
from relay.domain.jobs import Attempt
from relay.domain.usage import BOUNDS_MS, MAX_NAMES, OTHER, Usage, count, quantile, total
from relay.errors import BadRequest, Conflict, PaymentRequired, UpstreamFailed
from relay.services.tally import Tally
from relay.services.usage import Figures, figures
from relay.settings import TierSettings
from tests.core.books import Books

CORE = {"core": TierSettings(lifetime_credits=1000), "pro": TierSettings(monthly_credits=2, period_days=30)}


@pytest.fixture
def books():
    return Books(CORE)


def days(books):
    names = sorted({key[2:12] for key in keys(books) if key[0] in "do"})
    return total(books.storage.read(lambda tx: usage.rows(tx, usage.DAY, names)).values())


def ever(books):
    return books.storage.read(usage.since_the_start)


def keys(books):
    return [key for key, _ in books.storage.read(lambda tx: tx.scan("usage", limit=1000))]


def tidy(books, waiting=0):
    Tally(books.storage, lambda: waiting, lambda: books.now).round()


def test_an_answer_is_counted_with_its_task_backend_and_time(books):
    call = books.begin(task="transcribe")
    call.attempts = [Attempt("spark", books.now, 400, "upstream_failed"), Attempt("local", books.now, 900)]
    call.inputs = {"bytes": 10, "seconds": 61.5}
    books.settle(call)
    seen = figures(books.now, days(books))
    assert {name: value for name, value in seen.items() if value} == {
        "at": "2026-01-01T00:00:00Z",
        "calls": 1,
        "charged": 1,
        "audio_seconds": 61.5,
        "tasks": {"transcribe": 1},
        "backends": {"test": 1},
        "p50_ms": 1750,
        "p95_ms": 2425,
        "new_accounts": 1,
    }


def test_free_calls_failed_calls_and_calls_that_nobody_ended_are_told_apart(books):
    books.answer(job="j")
    books.answer(job="j")
    books.meter.release(books.begin(job="j"), UpstreamFailed("no"))
    books.meter.release(books.begin(), UpstreamFailed("no"))
    books.begin()
    books.restart()
    row = days(books)
    assert (row.calls, row.charged, row.free, row.failed) == (5, 1, 1, 3)
    assert row.errors == {"upstream_failed": 2, "abandoned": 1}


def test_two_first_calls_of_a_job_are_two_calls_and_one_credit(books):
    one, two = books.begin(job="j"), books.begin(job="j")
    books.settle(two)
    books.settle(one)
    row = days(books)
    assert (row.calls, row.charged, row.free) == (2, 1, 1)


def test_an_answer_after_its_hold_was_given_back_is_counted_once_as_abandoned(books):
    call = books.begin()
    books.meter.sweep(lambda _owner: True)
    books.settle(call)
    row = days(books)
    assert (row.calls, row.failed, row.charged) == (1, 1, 0)


def test_releasing_again_counts_nothing(books):
    call = books.begin()
    books.meter.release(call)
    books.meter.release(call)
    assert days(books).calls == 1


def test_a_refused_call_is_no_call(books):
    poor = Books({"core": TierSettings(lifetime_credits=0)})
    with pytest.raises(PaymentRequired):
        poor.begin()
    assert keys(poor) == []


def test_grants_and_refunds_are_counted_as_their_entries(books):
    books.credits.grant("user:u", 7, reason="", actor="t", make_row=True)
    call = books.begin()
    books.settle(call)
    books.credits.refund(call.job_id, reason="", actor="t")
    row = days(books)
    assert (row.granted, row.charged, row.refunded, row.new_accounts) == (7, 1, 1, 1)


def test_moving_a_paid_job_to_purchased_credit_takes_one_and_gives_one_back():
    books = Books({"core": TierSettings(lifetime_credits=5, lifetime_gemini=0)})
    books.credits.grant("user:u", 2, reason="", actor="t", make_row=True)
    books.answer(job="j")
    call = books.begin(job="j")
    assert books.meter.claim_gemini(call)
    books.settle(call, cost_class="gemini")
    row = days(books)
    assert (row.calls, row.charged - row.refunded, row.free) == (2, 1, 1)
    books.verified()


def test_an_hour_that_is_over_is_closed_and_nothing_is_counted_twice_or_lost(books):
    books.answer()
    books.later(hours=1)
    books.answer()
    before = days(books)
    tidy(books)
    assert [key[:15].strip() for key in keys(books)] == ["d 2026-01-01", "h 2026-01-01T00", "o 2026-01-01T01", "t"]
    assert days(books) == before == ever(books)
    books.later(days=1)
    tidy(books)
    assert not [key for key in keys(books) if key.startswith("o ")]
    assert days(books) == before == ever(books)
    tidy(books)
    assert days(books) == before


def test_processes_count_into_rows_of_their_own_and_are_added_up(books, monkeypatch):
    for process in ("one", "two", "three"):
        monkeypatch.setattr(usage, "_HOST", process)
        books.answer()
    assert len([key for key in keys(books) if key.startswith("o ")]) == 3
    assert days(books).charged == 3
    books.later(hours=2)
    tidy(books)
    assert days(books).charged == ever(books).charged == 3


def test_a_clock_that_jumps_loses_nothing(books):
    for jump in (timedelta(days=400), timedelta(days=-700), timedelta(hours=5), timedelta(0)):
        books.now += jump
        books.answer()
        tidy(books)
    assert days(books).charged == ever(books).charged == 4


@pytest.mark.parametrize("seed", range(6))
def test_after_anything_the_days_hold_what_the_ledger_says(seed):
    rng, books = random.Random(seed), Books(CORE)
    accounts, open_calls, jobs = [f"user:{n}" for n in range(5)], [], []
    for _ in range(300):
        act, account = rng.randrange(9), rng.choice(accounts)
        if act < 3:
            with suppress(PaymentRequired, Conflict):
                open_calls.append(books.begin(account, rng.choice([None, "a", "b", "c"])))
        elif act < 6 and open_calls:
            call = open_calls.pop(rng.randrange(len(open_calls)))
            if rng.random() < 0.3:
                books.meter.release(call, UpstreamFailed("no"))
            else:
                books.settle(call)
                jobs.append(call.job_id)
        elif act == 6 and jobs and rng.random() < 0.3:
            books.credits.refund(rng.choice(jobs), reason="", actor="t")
        elif act == 7:
            books.later(minutes=rng.choice([1, 50, 600, -30]))
            tidy(books)
        elif rng.random() < 0.1:
            books.restart()
            open_calls.clear()
    books.restart()
    row = days(books)
    kinds = [entry for account in accounts for entry in books.credits.history(account, limit=500, before=None)]
    assert row.charged == sum(entry.kind == "charge" for entry in kinds) > 20
    assert row.refunded == sum(entry.kind == "refund" for entry in kinds)
    assert row.calls == sum(row.tasks.values()) == row.charged + row.free + row.failed
    assert row.failed == sum(row.errors.values())
    assert row.new_accounts == 5
    assert ever(books) == row
    books.verified()


def test_a_row_takes_a_bounded_number_of_names():
    names = {}
    for n in range(MAX_NAMES * 3):
        count(names, f"name-{n}")
    assert len(names) == MAX_NAMES + 1
    assert names[OTHER] == MAX_NAMES * 2
    assert sum(names.values()) == MAX_NAMES * 3


def test_sums_are_the_same_in_any_order_and_the_queue_is_the_longest():
    rows = [Usage(calls=n, queue_max=n, tasks={"a": n}, times=[n] * (len(BOUNDS_MS) + 1)) for n in (3, 1, 2)]
    assert total(rows) == total(reversed(rows))
    assert (total(rows).calls, total(rows).queue_max, total(rows).tasks) == (6, 3, {"a": 6})
    assert rows[0].tasks == {"a": 3}, "adding changes nobody else's table"


def test_quantiles_lie_within_their_bucket():
    times = [0] * (len(BOUNDS_MS) + 1)
    assert quantile(times, 0.5) is None
    times[0], times[2] = 10, 10
    assert quantile(times, 0.5) == 100
    assert quantile(times, 0.95) == 950
    times[-1] = 1000
    assert quantile(times, 0.95) == BOUNDS_MS[-1]


def test_the_longest_line_of_the_hour_is_kept(books):
    for waiting in (3, 9, 4, 0):
        tidy(books, waiting)
    assert days(books).queue_max == 9
    tidy(books, 2)
    assert days(books).queue_max == 9


def test_hours_go_after_92_days_and_days_stay(books):
    books.answer()
    books.later(days=93)
    tidy(books)
    assert [key[:12].strip() for key in keys(books)] == ["d 2026-01-01", "t"]


def test_a_range_is_filled_and_has_bounds(books):
    of = Figures(books.storage, lambda: books.now)
    books.answer()
    seen = of.usage(of.span("day", books.now - timedelta(days=2), None))
    assert [row["charged"] for row in seen["rows"]] == [0, 0, 1]
    assert (seen["from"], seen["to"]) == ("2025-12-30T00:00:00Z", "2026-01-01T00:00:00Z")
    assert len(of.usage(of.span("hour", None, None))["rows"]) == 48
    for by, first, last in (
        ("hour", books.now - timedelta(days=93), books.now),
        ("day", datetime(2000, 1, 1, tzinfo=UTC), books.now),
        ("day", books.now, books.now - timedelta(days=1)),
    ):
        with pytest.raises(BadRequest):
            of.span(by, first, last)


def test_an_empty_row_takes_no_room_on_disk():
    assert msgspec.json.encode(Usage()) == b"{}"
