"""What happens by itself: months roll, records go, sorted columns stay true."""

from datetime import timedelta

from relay.domain.accounts import UNLIMITED
from relay.services.housekeeping import Housekeeping
from relay.services.idempotency import Idempotency
from relay.services.policy import Policy
from relay.settings import RetentionSettings, Settings, TierSettings
from tests.core.books import Books

TIERS = {"core": TierSettings(lifetime_credits=5), "pro": TierSettings(monthly_credits=3)}


def keeper(books):
    answers = Idempotency(books.storage, 2**20, lambda: books.now)
    settings = RetentionSettings(jobs_days=30)
    return Housekeeping(books.storage, books.meter, books.policy, settings, answers, lambda: books.now)


def sort_total(books, key):
    return books.storage.read(lambda tx: tx.get("credits", key))["sort_total"]


def test_due_months_and_ends_are_booked_without_a_call():
    books = Books(TIERS)
    for n in range(5):
        books.credits.set_tier(f"user:{n}", "pro", 60 if n else 10, actor="t")
        books.answer(f"user:{n}")
    books.later(days=31)
    assert keeper(books).roll_due() == 5
    assert [sort_total(books, f"user:{n}") for n in range(5)] == [0, 3, 3, 3, 3]
    assert keeper(books).roll_due() == 0
    books.verified()


def test_old_job_records_go_and_open_ones_stay():
    books = Books(TIERS)
    books.answer(job="old")
    running = books.begin(job="running")
    books.later(days=20)
    books.answer(job="new")
    books.later(days=11)
    keeper(books).prune()
    names = books.storage.read(lambda tx: [doc["name"] for _, doc in tx.scan("jobs", limit=9)])
    assert names == ["new"]
    assert books.settle(running).charged == 1
    books.verified()


def test_keys_of_settled_payments_are_kept_for_180_days():
    books = Books(TIERS)
    for days in (1, 179, 181):
        at = (books.now - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        books.storage.transact(lambda tx, key=str(days), at=at: tx.put("processed-webhooks", key, {"value": at}))
    keeper(books).prune()
    assert books.storage.read(lambda tx: [key for key, _ in tx.scan("processed-webhooks", limit=9)]) == ["1", "179"]


def test_new_limits_reach_the_sorted_column_of_every_row():
    books = Books(TIERS)
    for n in range(450):
        books.credits.grant(f"user:{n}", 1, reason="", actor="t", make_row=True)
    books.policy = Policy.of(Settings(tiers={"core": TierSettings()}))
    assert keeper(books).reindex() == 450
    assert sort_total(books, "user:77") == UNLIMITED


def test_a_task_that_fails_keeps_no_other_from_running():
    books = Books(TIERS)
    house = keeper(books)
    forgotten = books.begin()
    books.meter._running.discard(forgotten.id)
    house.roll_due = house.prune = lambda: 1 / 0
    for what, task in (("roll", house.roll_due), ("sweep", lambda: books.meter.sweep(lambda _owner: False))):
        house._round(what, task)
    assert books.read()["held"] == 0
