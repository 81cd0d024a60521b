"""What is done about a subscription, for every state it can be in."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from relay.domain.orders import STATES
from relay.domain.subscriptions import (
    BACK_OFF,
    RUNNING,
    Facts,
    RenewalRules,
    Step,
    Subscription,
    charging,
    may_charge,
    moved,
    next_step,
    not_charged,
    start_period,
    wake,
)

END = datetime(2026, 3, 31, 12, tzinfo=UTC)
RULES = RenewalRules()
OPENS, CLOSES = END - timedelta(days=3), END + timedelta(days=7)
SECOND = timedelta(seconds=1)
ALL_STATES = ("active", "past_due", "cancelled", "lapsed")
INSTANTS = (OPENS - SECOND, OPENS, END - SECOND, END, CLOSES - SECOND, CLOSES, CLOSES + timedelta(days=365))


def sub(**more):
    return Subscription("pro", "zaprite", 30, END, **{"contact": "ct", "card_order": "ord_1", **more})


def facts(now, order=None, **more):
    """As the books are when nobody interfered: the tier until its end, then core."""
    tier, end = ("pro", END) if now < END else ("core", None)
    return Facts(**{"tier": tier, "end": end, "order": order, **more})


def expected(state, now, order, *, sold, blocked):
    if state not in RUNNING:
        return "sleep"
    if now < OPENS or order == "processing":
        return "sleep"
    if now >= CLOSES:
        return "lapse"
    if blocked or order in {"settled", "review"}:
        return "sleep"
    if order == "pending":
        return "pay" if sold else "sell"
    return "order"


@pytest.mark.parametrize("state", ALL_STATES)
@pytest.mark.parametrize("now", INSTANTS)
def test_every_combination_has_its_one_step(state, now):
    for order, sold, blocked in product((None, *STATES), (False, True), (False, True)):
        step = next_step(sub(state=state), facts(now, order, sold=sold, blocked=blocked), now, RULES)
        assert step.act == expected(state, now, order, sold=sold, blocked=blocked), (order, sold, blocked)
        assert (step.at is None) == (state not in RUNNING or step.act == "lapse")
        assert step.at is None or step.at > now


def test_nothing_is_asked_for_before_three_days_before_the_end():
    assert next_step(sub(), facts(OPENS - SECOND), OPENS - SECOND, RULES) == Step("sleep", OPENS)
    assert next_step(sub(), facts(OPENS), OPENS, RULES).act == "order"


def test_the_grace_begins_at_the_end_of_the_paid_period():
    assert next_step(sub(), facts(CLOSES - SECOND, "pending", sold=True), CLOSES - SECOND, RULES).act == "pay"
    assert next_step(sub(), facts(CLOSES, "pending", sold=True), CLOSES, RULES) == Step("lapse")


def test_a_payment_that_is_under_way_is_waited_for_beyond_the_grace():
    assert next_step(sub(), facts(CLOSES, "processing"), CLOSES, RULES).act == "sleep"


@pytest.mark.parametrize(
    ("tier", "end", "now"),
    [
        ("max", END, OPENS),
        ("pro", None, OPENS),
        ("core", None, OPENS),
        ("core", None, END - SECOND),
        ("max", None, END),
    ],
)
def test_a_tier_that_was_changed_by_hand_is_not_renewed(tier, end, now):
    assert next_step(sub(), Facts(tier, end), now, RULES) == Step("stop")


def test_an_end_that_moved_begins_a_new_period():
    later = END + timedelta(days=30)
    assert moved(sub(), Facts("pro", later))
    assert not moved(sub(), Facts("pro", END))
    assert not moved(sub(), Facts("core", None))
    assert not moved(sub(), Facts("max", later))
    renewed = sub(state="past_due", order="ord_2", units=500, currency="USD", attempts=4, offered=True)
    start_period(renewed, later, RULES)
    assert renewed.through == later
    assert (renewed.state, renewed.order, renewed.currency, renewed.attempts) == ("active", "", "", 0)
    assert (renewed.offered, renewed.next_at) == (False, later - timedelta(days=3))


@pytest.mark.parametrize("state", ["cancelled", "lapsed"])
def test_a_payment_alone_revives_nothing(state):
    ended = sub(state=state)
    start_period(ended, END + timedelta(days=30), RULES)
    assert (ended.state, ended.next_at) == (state, None)


def test_a_card_is_tried_at_once_and_five_times_more_with_growing_pauses():
    tried, now, pauses = sub(), OPENS, []
    while may_charge(tried):
        charging(tried, now, RULES)
        pauses.append(tried.next_at - now)
        now = tried.next_at
    assert tuple(pauses[:-1]) == BACK_OFF
    assert [pause.total_seconds() / 60 for pause in pauses[:-1]] == [5, 30, 120, 360, 720]
    assert now == END, "after the last try it sleeps until the tier ends"
    assert tried.attempts == 6


def test_a_charge_that_never_left_does_not_count():
    tried = sub(attempts=2)
    charging(tried, OPENS, RULES)
    not_charged(tried, OPENS + SECOND)
    assert (tried.attempts, tried.next_at) == (2, OPENS + SECOND)


@pytest.mark.parametrize("state", ["cancelled", "lapsed"])
def test_no_card_is_charged_for_what_is_over(state):
    assert not may_charge(sub(state=state))
    assert not may_charge(sub(card_order=""))


def test_it_wakes_at_the_end_and_when_the_grace_is_over_however_long_it_wants_to_sleep():
    year = timedelta(days=365)
    assert wake(sub(), OPENS + year, OPENS, RULES) == END
    assert wake(sub(), END + year, END, RULES) == CLOSES
    assert wake(sub(), CLOSES + year, CLOSES, RULES) == CLOSES + year


@pytest.mark.parametrize(
    "end", ["2024-02-29T23:59:59", "2026-03-29T02:30:00", "2026-10-25T02:30:00", "2026-12-31T23:59:59"]
)
def test_days_are_days_in_leap_years_and_when_clocks_change(end):
    through = datetime.fromisoformat(end).replace(tzinfo=UTC)
    assert RULES.closes(through) - RULES.opens(through) == timedelta(days=10)
