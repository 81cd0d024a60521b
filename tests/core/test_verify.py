"""`ledger verify` proves that the rows are what their entries say, and edits by hand are entered as such."""

import pytest

from relay.errors import ConfigError
from relay.services.verify import adopt_outside_changes, verify
from relay.settings import TierSettings
from tests.core.books import Books


@pytest.fixture
def books():
    books = Books({"core": TierSettings(lifetime_credits=5), "pro": TierSettings(monthly_credits=5)})
    books.answer("user:a")
    books.credits.grant("user:a", 3, reason="", actor="t", make_row=True)
    books.begin("user:a", "open")
    return books


def edit(books, key, **changes):
    """Change a row past the books, as a person with an editor does."""

    def write(tx):
        tx.put("credits", key, (tx.get("credits", key) or {}) | changes)

    books.storage.transact(write)


def adopt(books):
    """What a start does after the file was edited."""
    books.storage.outside_changes = lambda: {"credits": "/data/credits.json"}
    return adopt_outside_changes(books.storage, books.policy, lambda: books.now)


def different(books):
    return {row["credit_key"]: set(row["differences"]) for row in verify(books.storage)["different"]}


def test_untouched_books_are_balanced(books):
    report = verify(books.storage)
    assert (report["ok"], report["accounts"], report["entries"]) == (True, 1, 2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lifetime_consumed", 0),
        ("purchased_balance", 99),
        ("monthly_consumed", 1),
        ("lifetime_gemini_consumed", 2),
        ("held", 0),
        ("purchased_total_ever", 99),
        ("core_closed", True),
        ("tier_snapshot", "pro"),
        ("subscription_expires_at", "2031-01-01T00:00:00Z"),
    ],
)
def test_a_row_that_differs_from_its_entries_is_found(books, field, value):
    edit(books, "user:a", **{field: value})
    assert different(books) == {"user:a": {field}}


def test_a_row_that_was_deleted_is_found(books):
    books.storage.transact(lambda tx: tx.delete("credits", "user:a"))
    assert different(books) == {"user:a": {"lifetime_consumed", "purchased_balance", "purchased_total_ever", "held"}}


def test_a_row_that_was_invented_is_found(books):
    edit(books, "user:ghost", purchased_balance=5)
    assert different(books) == {"user:ghost": {"purchased_balance"}}


def test_an_edited_entry_breaks_the_chain(books):
    streams = books.storage.disk.streams["ledger"]
    first, *rest = streams["user:a"]
    assert b'"reason":"analyze"' in first
    streams["user:a"] = (first.replace(b'"reason":"analyze"', b'"reason":"nothing"'), *rest)
    report = verify(books.storage)
    assert [(row["credit_key"], row["chain"]) for row in report["different"]] == [("user:a", "broken")]


def test_a_removed_newest_entry_breaks_the_chain(books):
    streams = books.storage.disk.streams["ledger"]
    streams["user:a"] = streams["user:a"][:-1]
    assert verify(books.storage)["different"][0]["chain"] == "broken"


def test_edits_by_hand_become_one_adjust_entry_per_changed_row(books):
    edit(books, "user:a", purchased_balance=50, lifetime_consumed=4)
    edit(books, "user:new", purchased_balance=7)
    assert adopt(books) == 2
    books.verified()
    assert (books.kinds("user:a")[-1], books.kinds("user:new")) == ("adjust", ["adjust"])
    assert (books.read("user:a")["purchased"], books.read("user:a")["remaining"]) == (50, 1)
    assert adopt(books) == 0


def test_an_edited_tier_is_entered_and_counts(books):
    edit(books, "user:a", tier_snapshot="pro", subscription_expires_at="2031-05-05T00:00:00.000Z")
    assert adopt(books) == 1
    books.verified()
    assert books.read("user:a")["tier"] == "pro"
    assert books.read("user:a")["subscription_expires_at"] == "2031-05-05T00:00:00Z"


def test_a_row_deleted_by_hand_starts_again_and_keeps_its_history(books):
    books.storage.transact(lambda tx: tx.delete("credits", "user:a"))
    assert adopt(books) == 1
    books.verified()
    assert books.read("user:a")["purchased"] == 0
    assert len(books.kinds("user:a")) == 3


def test_a_key_without_a_prefix_becomes_an_installs(books):
    edit(books, "abc", purchased_balance=2)
    adopt(books)
    assert books.read("inst:abc")["purchased"] == 2
    assert books.storage.read(lambda tx: tx.get("credits", "abc")) is None
    books.verified()


def test_two_rows_for_one_install_stop_the_start(books):
    edit(books, "abc", purchased_balance=2)
    edit(books, "inst:abc", purchased_balance=3)
    with pytest.raises(ConfigError, match="abc"):
        adopt(books)


@pytest.mark.parametrize(
    "wrong",
    [
        {"purchased_balance": -1},
        {"purchased_balance": "five"},
        {"cycle_started_at": "soon"},
        {"last_active_at": "2026-01-01T00:00:00"},
    ],
)
def test_a_row_that_makes_no_sense_stops_the_start_and_is_named(books, wrong):
    edit(books, "user:b", **wrong)
    with pytest.raises(ConfigError, match=r"credits\.json: row 'user:b'"):
        adopt(books)


def test_open_holds_survive_an_adoption(books):
    edit(books, "user:a", held=0)
    adopt(books)
    assert books.read("user:a")["held"] == 1
    books.verified()


def test_a_refused_edit_changes_nothing_so_that_the_corrected_one_counts(books):
    edit(books, "user:a", purchased_balance=1000)
    edit(books, "user:b", purchased_balance="five")
    with pytest.raises(ConfigError):
        adopt(books)
    edit(books, "user:b", purchased_balance=5)
    edit(books, "user:a", purchased_balance=7)
    assert adopt(books) == 2
    assert books.read("user:a")["purchased"] == 7
    books.verified()


def test_an_instant_in_another_zone_is_written_as_the_books_do(books):
    edit(books, "user:a", tier_snapshot="pro", subscription_expires_at="2031-05-05T00:00:00.250-05:00")
    adopt(books)
    row = books.storage.read(lambda tx: tx.get("credits", "user:a"))
    assert row["subscription_expires_at"] == "2031-05-05T05:00:00Z"


def test_open_holds_outlive_an_edit_that_forgot_them(books):
    edit(books, "user:a", lifetime_consumed=0, held=0)
    adopt(books)
    books.restart()
    assert (books.read("user:a")["held"], books.read("user:a")["remaining"]) == (0, 5)
    books.verified()


def test_a_hold_of_an_account_that_does_not_exist_is_found(books):
    def invent(tx):
        tx.put("holds", "job_x", tx.scan("holds", limit=1)[0][1] | {"account": "user:ghost", "job": "job_x"})

    books.storage.transact(invent)
    assert set(different(books)) == {"user:ghost"}
