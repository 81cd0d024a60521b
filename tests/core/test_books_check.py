"""The books are checked in the background, a slice at a time, and nothing that goes on meanwhile raises an alarm."""

import threading
from datetime import timedelta

import pytest

from relay.services import books_check, verify
from relay.services.books_check import PAUSE, BooksCheck
from relay.settings import TierSettings
from tests.core.books import Books


@pytest.fixture
def books():
    books = Books({"core": TierSettings(lifetime_credits=10**6), "pro": TierSettings(monthly_credits=10**6)})
    for n in range(7):
        books.answer(f"user:{n}")
    return books


@pytest.fixture
def check(books):
    check = BooksCheck(books.storage, lambda: books.now)
    yield check
    check.stop()


def edit(books, key, **changes):
    books.storage.transact(lambda tx: tx.put("credits", key, (tx.get("credits", key) or {}) | changes))


def until_done(check):
    for _ in range(1000):
        if check.view()["progress"] is None:
            return check.view()
        check.round()
    raise AssertionError("the pass does not end")


def test_nothing_is_said_before_the_first_pass(check):
    assert check.view() == {
        "balanced": None,
        "checked_at": None,
        "accounts": 0,
        "progress": None,
        "differing": [],
        "differing_count": 0,
    }


def test_small_books_are_checked_in_the_first_round(books, check):
    check.round()
    assert (check.view()["balanced"], check.view()["accounts"]) == (True, 7)
    assert check.view()["checked_at"] == "2026-01-01T00:00:00Z"
    assert check.view()["progress"] is None


def test_a_row_that_differs_is_named_with_what_differs_until_it_is_right_again(books, check):
    edit(books, "user:3", purchased_balance=99)
    check.round()
    view = check.view()
    assert view["balanced"] is False
    assert view["differing"] == [
        {"credit_key": "user:3", "difference": "purchased_balance is 99, ledger says 0"},
    ]
    edit(books, "user:3", purchased_balance=0)
    books.now += PAUSE
    check.round()
    assert (check.view()["balanced"], check.view()["differing"]) == (True, [])


def test_a_pass_goes_on_where_the_last_slice_ended(books, check, monkeypatch):
    check.round()
    monkeypatch.setattr(books_check, "ROUND_SECONDS", 0)
    books.now += PAUSE
    edit(books, "user:6", purchased_balance=1)
    seen = []
    for _ in range(4):
        check.round()
        seen.append(check.view()["progress"])
    assert seen == sorted(set(seen)), "one account in each slice of no time"
    assert check.view()["balanced"] is True, "the pass before this one counts until something is found"
    assert until_done(check)["balanced"] is False


def test_between_two_passes_there_is_a_pause(books, check):
    check.round()
    books.now += PAUSE - timedelta(seconds=1)
    check.round()
    assert check.view()["checked_at"] == "2026-01-01T00:00:00Z"
    books.now -= timedelta(days=1)
    check.round()
    assert check.view()["checked_at"] == "2025-12-31T00:04:59Z", "a clock that was set back stops nothing"


def test_entries_and_holds_without_a_row_are_found(books, check):
    books.storage.transact(lambda tx: tx.delete("credits", "user:1"))
    hold = books.begin("user:2", "open")
    books.storage.transact(
        lambda tx: tx.put("holds", "job_x", tx.get("holds", hold.job_id) | {"account": "user:ghost", "job": "job_x"})
    )
    check.round()
    assert [row["credit_key"] for row in check.view()["differing"]] == ["user:1", "user:ghost"]


def test_a_row_that_cannot_be_read_is_told_and_the_pass_goes_on(books, check):
    edit(books, "user:0", purchased_balance=-5)
    check.round()
    assert "cannot be read" in check.view()["differing"][0]["difference"]
    assert check.view()["accounts"] == 7


def test_many_differences_are_counted_and_some_are_shown(books, check):
    for n in range(30):
        edit(books, f"inst:{n:02}", purchased_balance=1)
    check.round()
    assert check.view()["differing_count"] == 30
    assert len(check.view()["differing"]) == 20


def long_history(books, key="user:long", entries=50):
    for _ in range(entries):
        books.answer(key)


def test_a_long_history_is_added_up_in_pages_and_found_balanced_or_broken(books, check, monkeypatch):
    monkeypatch.setattr(verify, "PAGE", 7)
    long_history(books)
    check.round()
    assert check.view()["balanced"] is True
    streams = books.storage.disk.streams["ledger"]
    old = streams["user:long"]
    for n in (0, 30, 49):
        forged = list(old)
        forged[n] = forged[n].replace(b'"reason":"analyze"', b'"reason":"nothing"')
        streams["user:long"] = tuple(forged)
        check.start_pass()
        check._fast.join(20)
        assert check.view()["differing"] == [
            {"credit_key": "user:long", "difference": "the chain of its entries is broken"}
        ]
    streams["user:long"] = old[:20] + old[21:]
    check.start_pass()
    check._fast.join(20)
    assert check.view()["balanced"] is False


@pytest.mark.parametrize("what", ["calls", "a new month", "an erasure"])
def test_what_happens_between_the_pages_of_a_long_history_raises_no_alarm(books, check, monkeypatch, what):
    monkeypatch.setattr(verify, "PAGE", 7)
    books.credits.set_tier("user:long", "pro", None, actor="t")
    long_history(books)
    add, done = verify._add_pages, []

    def and_meanwhile(storage, key, early):
        chained = add(storage, key, early)
        if key == "user:long" and len(done) < 2:
            done.append(key)
            if what == "a new month":
                books.later(days=31)
            for _ in range(20):
                books.answer(key)
            books.begin(key)
        return chained

    monkeypatch.setattr(verify, "_add_pages", and_meanwhile)
    if what == "an erasure":
        from relay.services.account_admin import By
        from relay.services.erasing import Erasing

        Erasing(books.storage, books.policy, (), lambda: books.now).erase("user:long", By("t"), lambda _tx: None)
    check.round()
    assert done
    assert check.view()["balanced"] is True


def test_calls_that_go_on_meanwhile_raise_no_alarm(books, check):
    stop, trouble = threading.Event(), []

    def call(n):
        try:
            while not stop.is_set():
                running = books.begin(f"user:{n}")
                books.settle(running) if n % 2 else books.meter.release(running)
        except Exception as exc:  # noqa: BLE001
            trouble.append(exc)

    threads = [threading.Thread(target=call, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(15):
            books.now += PAUSE
            check.round()
            assert check.view()["differing"] == []
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert trouble == []


def test_asking_for_a_pass_begins_one_and_a_second_request_joins_it(books, check):
    answers = [check.start_pass() for _ in range(3)]
    assert all(answer["progress"] is not None or answer["balanced"] for answer in answers)
    check._fast.join(20)
    assert check.view()["balanced"] is True
    assert check.view()["accounts"] == 7
