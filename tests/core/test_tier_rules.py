"""Promotion, extension, lapse, monthly roll, refunds: the tier rules of an account's life."""

from datetime import timedelta

import pytest

from relay.domain.instants import iso
from relay.errors import Conflict, Invalid, PaymentRequired
from relay.settings import TierSettings
from tests.core.books import START, Books

TIERS = {
    "core": TierSettings(lifetime_credits=5),
    "pro": TierSettings(monthly_credits=3, period_days=30),
    "max": TierSettings(monthly_credits=9, period_days=30),
}


@pytest.fixture
def books():
    return Books(TIERS)


def put(books, tier, days=None, account="user:u"):
    books.credits.set_tier(account, tier, days, actor="t")


def extend(books, tier, days=30, account="user:u"):
    books.credits.extend_tier(account, tier, days, actor="t")


def balances(books):
    seen = books.read()
    return seen["tier"], seen["remaining"], seen["purchased"]


def test_moving_up_carries_unused_core_credits_over_once(books):
    books.answer()
    put(books, "pro")
    assert balances(books) == ("pro", 3, 4)
    put(books, "core")
    assert balances(books) == ("core", 0, 4)
    put(books, "pro")
    assert balances(books) == ("pro", 3, 4)
    assert books.kinds() == ["charge", "promotion", "tier", "tier", "cycle", "tier"]
    books.verified()


def test_open_holds_count_as_used_when_moving_up(books):
    call = books.begin()
    put(books, "pro")
    assert balances(books) == ("pro", 3, 4)
    books.meter.release(call)
    assert balances(books) == ("pro", 3, 4)
    books.verified()


def test_unlimited_core_carries_nothing():
    books = Books({"core": TierSettings(), "pro": TierSettings(monthly_credits=3)})
    assert books.answer().credits["remaining"] is None
    put(books, "pro")
    assert balances(books) == ("pro", 3, 0)
    put(books, "core")
    assert books.read()["total"] is None
    books.verified()


def test_a_row_first_made_by_a_tier_change_carries_nothing(books):
    put(books, "pro")
    assert balances(books) == ("pro", 3, 0)
    books.verified()


def test_setting_the_present_tier_never_refills(books):
    put(books, "pro")
    books.answer()
    put(books, "pro", 60)
    extend(books, "pro")
    assert balances(books) == ("pro", 2, 0)
    books.verified()


def test_a_tier_without_period_has_no_end_and_extending_keeps_it_so(books):
    put(books, "pro")
    books.later(days=4000)
    extend(books, "pro")
    assert books.read()["subscription_expires_at"] is None
    assert books.read()["tier"] == "pro"


def test_renewing_early_extends_from_the_present_end(books):
    put(books, "pro", 30)
    books.later(days=10)
    extend(books, "pro", 30)
    assert books.read()["subscription_expires_at"] == iso(START + timedelta(days=60))


def test_extending_after_the_end_starts_again_from_now(books):
    put(books, "pro", 30)
    books.answer()
    books.later(days=40)
    assert balances(books) == ("core", 0, 0)
    extend(books, "pro", 30)
    assert balances(books) == ("pro", 3, 0)
    assert books.read()["subscription_expires_at"] == iso(START + timedelta(days=70))
    books.verified()


def test_the_end_itself_is_past_the_end(books):
    put(books, "pro", 30)
    books.later(days=30, seconds=-1)
    assert books.read()["tier"] == "pro"
    books.later(seconds=1)
    assert books.read()["tier"] == "core"


def test_after_a_lapse_the_core_allowance_counts_as_used(books):
    put(books, "pro", 30)
    books.later(days=31)
    assert balances(books) == ("core", 0, 0)
    with pytest.raises(PaymentRequired):
        books.begin()
    books.credits.grant("user:u", 1, reason="", actor="t", make_row=True)
    assert books.answer().charged == 1
    assert "tier" in books.kinds()
    books.verified()


def test_extending_to_another_paid_tier_while_one_runs_is_a_conflict(books):
    put(books, "pro", 30)
    with pytest.raises(Conflict) as conflict:
        extend(books, "max")
    assert conflict.value.code == "tier_conflict"
    books.later(days=30)
    extend(books, "max")
    assert balances(books) == ("max", 9, 0)
    books.verified()


def test_changing_between_paid_tiers_keeps_the_month(books):
    put(books, "pro")
    books.answer()
    put(books, "max")
    assert balances(books) == ("max", 8, 0)
    books.verified()


@pytest.mark.parametrize("change", [put, extend])
def test_an_unknown_tier_is_refused(books, change):
    with pytest.raises(Invalid) as refused:
        change(books, "gold")
    assert refused.value.details == {"path": "tier"}


def test_a_month_rolls_at_its_end_and_several_missed_months_roll_once(books):
    put(books, "pro")
    for _ in range(3):
        books.answer()
    with pytest.raises(PaymentRequired):
        books.begin()
    books.later(days=30)
    assert balances(books) == ("pro", 3, 0)
    books.later(days=65)
    books.answer()
    assert balances(books) == ("pro", 2, 0)
    assert books.kinds().count("cycle") == 1
    row = books.storage.read(lambda tx: tx.get("credits", "user:u"))
    assert row["cycle_started_at"] == iso(START + timedelta(days=90))
    books.verified()


def test_a_hold_of_a_month_that_has_rolled_changes_nothing_when_released(books):
    put(books, "pro")
    call = books.begin(job="old")
    books.later(days=31)
    books.answer(job="new")
    assert balances(books) == ("pro", 2, 0)
    books.verified()
    books.meter.release(call)
    assert balances(books) == ("pro", 2, 0)
    books.verified()


def test_a_hold_of_a_month_that_has_rolled_is_charged_to_that_month(books):
    put(books, "pro")
    call = books.begin(job="old")
    books.later(days=31)
    books.answer(job="new")
    assert books.settle(call).charged == 1
    assert balances(books) == ("pro", 2, 0)
    books.verified()


def refund(books, call):
    return books.credits.refund(call.job_id, reason="r", actor="t")


def test_a_refund_goes_back_where_the_credit_came_from_once(books):
    call = books.begin()
    books.settle(call)
    assert refund(books, call) is True
    assert refund(books, call) is False
    assert balances(books) == ("core", 5, 0)
    assert books.kinds() == ["charge", "refund"]
    books.verified()


def test_a_refund_of_a_purchased_credit_goes_back_to_purchased(books):
    for _ in range(5):
        books.answer()
    books.credits.grant("user:u", 1, reason="", actor="t", make_row=True)
    call = books.begin()
    books.settle(call)
    refund(books, call)
    assert balances(books) == ("core", 0, 1)
    books.verified()


def test_a_refund_for_a_month_that_has_rolled_goes_to_purchased(books):
    put(books, "pro")
    call = books.begin()
    books.settle(call)
    books.later(days=31)
    refund(books, call)
    assert balances(books) == ("pro", 3, 1)
    books.verified()


def test_a_refunded_job_is_charged_again_by_its_next_answer(books):
    call = books.begin(job="j")
    books.settle(call)
    refund(books, call)
    assert books.answer(job="j").charged == 1
    books.verified()


def test_a_job_that_was_not_paid_has_nothing_to_refund(books):
    call = books.begin()
    assert refund(books, call) is False
    assert books.credits.refund("job_unknown", reason="", actor="t") is False


def test_two_months_started_in_one_second_are_two_months(books):
    put(books, "pro")
    call = books.begin()
    put(books, "core")
    put(books, "pro")
    books.meter.release(call)
    assert balances(books) == ("pro", 3, 0)
    books.answer()
    books.verified()


def test_a_refund_while_a_follow_up_holds_a_gemini_credit_leaves_nothing_free():
    books = Books({"core": TierSettings(lifetime_credits=5, lifetime_gemini=0)})
    books.answer(job="j")
    books.credits.grant("user:u", 1, reason="", actor="t", make_row=True)
    follow_up = books.begin(job="j")
    assert books.meter.claim_gemini(follow_up)
    assert refund(books, follow_up) is True
    assert (books.read()["remaining"], books.read()["purchased"], books.read()["held"]) == (5, 1, 0)
    assert books.settle(follow_up, "gemini").charged == 0
    assert books.answer(job="j").charged == 1
    books.verified()


def test_moving_a_charge_that_cannot_go_back_to_core_costs_nothing_more():
    books = Books({"core": TierSettings(lifetime_credits=5), "pro": TierSettings(monthly_credits=5, monthly_gemini=0)})
    books.answer(job="j")
    books.credits.set_tier("user:u", "pro", None, actor="t")
    before = books.read()["purchased"]
    follow_up = books.begin(job="j")
    assert books.meter.claim_gemini(follow_up)
    assert books.settle(follow_up, "gemini").credits["purchased"] == before
    books.verified()
