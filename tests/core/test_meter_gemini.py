"""The gemini limit: counted once per job, past it the job pays with a purchased credit."""

import pytest

from relay.settings import TierSettings
from tests.core.books import Books


@pytest.fixture
def books():
    return Books({"core": TierSettings(lifetime_credits=9, lifetime_gemini=1)})


def gemini(books, job=None, *, answers="gemini", account="user:u"):
    """A call that tries gemini first; `answers` says who answered in the end."""
    call = books.begin(account, job)
    counted = books.meter.claim_gemini(call)
    return counted, books.settle(call, answers)


def test_a_job_counts_once_with_its_follow_ups(books):
    counted, receipt = gemini(books, "j")
    assert (counted, receipt.credits["gemini_remaining"]) == (True, 0)
    assert gemini(books, "j")[0] is True
    assert books.read()["gemini_remaining"] == 0
    books.verified()


def test_past_the_limit_it_is_refused_without_purchased_credit(books):
    gemini(books)
    counted, receipt = gemini(books, answers="local")
    assert counted is False
    assert receipt.charged == 1
    books.verified()


def test_past_the_limit_it_moves_to_purchased(books):
    gemini(books)
    books.credits.grant("user:u", 1, reason="", actor="t", make_row=True)
    counted, receipt = gemini(books)
    assert counted is True
    assert (receipt.credits["remaining"], receipt.credits["purchased"]) == (8, 0)
    books.verified()


def test_the_count_is_undone_when_another_backend_answers(books):
    _, receipt = gemini(books, answers="local")
    assert receipt.credits["gemini_remaining"] == 1
    books.verified()


def test_the_move_is_undone_when_another_backend_answers(books):
    gemini(books)
    books.credits.grant("user:u", 1, reason="", actor="t", make_row=True)
    _, receipt = gemini(books, answers="local")
    assert (receipt.credits["remaining"], receipt.credits["purchased"]) == (7, 1)
    books.verified()


def test_the_count_is_undone_when_nobody_answers(books):
    call = books.begin()
    books.meter.claim_gemini(call)
    assert books.read()["gemini_remaining"] == 0
    books.verified()
    books.meter.release(call)
    assert books.read()["gemini_remaining"] == 1
    books.verified()


def test_the_move_is_undone_when_nobody_answers(books):
    gemini(books)
    books.credits.grant("user:u", 1, reason="", actor="t", make_row=True)
    call = books.begin()
    books.meter.claim_gemini(call)
    books.meter.release(call)
    assert (books.read()["remaining"], books.read()["purchased"], books.read()["held"]) == (8, 1, 0)
    books.verified()


def test_a_free_follow_up_counts_the_job_when_gemini_answers_it_first(books):
    books.answer(job="j")
    counted, receipt = gemini(books, "j")
    assert (counted, receipt.charged, receipt.credits["gemini_remaining"]) == (True, 0, 0)
    books.verified()


def test_a_follow_up_that_gemini_does_not_answer_leaves_the_paid_job_alone(books):
    books.answer(job="j")
    _, receipt = gemini(books, "j", answers="local")
    assert (receipt.charged, receipt.credits["gemini_remaining"], receipt.credits["held"]) == (0, 1, 0)
    assert receipt.credits["remaining"] == 8
    books.verified()


def test_a_follow_up_past_the_limit_moves_the_charge_to_purchased(books):
    gemini(books)
    books.answer(job="j")
    books.credits.grant("user:u", 1, reason="", actor="t", make_row=True)
    call = books.begin(job="j")
    assert books.meter.claim_gemini(call)
    books.verified()
    receipt = books.settle(call, "gemini")
    assert (receipt.charged, receipt.credits["remaining"], receipt.credits["purchased"]) == (0, 8, 0)
    books.verified()


def test_a_crash_during_a_follow_up_gives_the_purchased_credit_back(books):
    gemini(books)
    books.answer(job="j")
    books.credits.grant("user:u", 1, reason="", actor="t", make_row=True)
    books.meter.claim_gemini(books.begin(job="j"))
    books.restart()
    assert (books.read()["remaining"], books.read()["purchased"], books.read()["held"]) == (7, 1, 0)
    books.verified()


def test_a_month_that_rolls_under_a_gemini_call_keeps_the_books_balanced():
    books = Books({"core": TierSettings(monthly_credits=2, monthly_gemini=1, period_days=30)})
    call = books.begin()
    books.meter.claim_gemini(call)
    books.later(days=31)
    other = books.begin()
    books.verified()
    books.settle(call, "gemini")
    assert (books.read()["remaining"], books.read()["gemini_remaining"]) == (1, 1)
    books.meter.release(other)
    books.verified()


def test_the_count_stays_while_another_call_of_the_job_is_at_gemini(books):
    one, two = books.begin(job="j"), books.begin(job="j")
    assert books.meter.claim_gemini(one)
    assert books.meter.claim_gemini(two)
    books.meter.release(one)
    assert books.read()["gemini_remaining"] == 0
    assert books.settle(two, "gemini").credits["gemini_remaining"] == 0
    books.verified()


def test_a_promotion_under_a_moved_job_does_not_double_the_credit():
    books = Books(
        {"core": TierSettings(lifetime_credits=10, lifetime_gemini=0), "pro": TierSettings(monthly_credits=5)}
    )
    books.credits.grant("user:u", 1, reason="", actor="t", make_row=True)
    call = books.begin()
    assert books.meter.claim_gemini(call)
    books.credits.set_tier("user:u", "pro", None, actor="t")
    receipt = books.settle(call, "local")
    assert (receipt.charged, receipt.credits["purchased"], receipt.credits["remaining"]) == (1, 10, 5)
    books.verified()


@pytest.mark.parametrize("answers", ["gemini", "local", None])
@pytest.mark.parametrize("change", ["month", "tier"])
def test_a_month_or_tier_that_changes_before_gemini_is_asked_keeps_the_books_balanced(change, answers):
    pro = TierSettings(monthly_credits=5, monthly_gemini=2)
    books = Books({"core": TierSettings(lifetime_credits=9, lifetime_gemini=3), "pro": pro})
    if change == "month":
        books.credits.set_tier("user:u", "pro", None, actor="t")
    call = books.begin()
    if change == "month":
        books.later(days=31)
        books.answer(job="rolls the month")
    else:
        books.credits.set_tier("user:u", "pro", None, actor="t")
    assert books.meter.claim_gemini(call)
    books.verified()
    if answers is None:
        books.meter.release(call)
    else:
        books.settle(call, answers)
    books.verified()
    books.answer()
    books.verified()


@pytest.mark.parametrize("paid", [False, True])
def test_a_call_that_claims_again_and_again_is_noted_once(books, paid):
    """As a job does while it waits for a full queue."""
    if paid:
        books.answer(job="j")
    call = books.begin(job="j")
    for _ in range(5):
        assert books.meter.claim_gemini(call)
    assert books.storage.read(lambda tx: tx.get("holds", call.job_id))["gemini_calls"] == [call.id]
    assert books.settle(call, "local").credits["gemini_remaining"] == 1
    books.verified()
