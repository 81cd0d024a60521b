"""What the operator's own server does with the tiers and credits of its users."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.flows.live import OPERATOR, Live, Reply, assert_error, install, user

ANN = "/relay/users/ann"
SUBSCRIBED = {"user_id", "credit_key", "tier", "subscription_expires_at", "credits"}


def put(live: Live, tier: Any, **more: Any) -> Reply:
    return live.call("PUT", f"{ANN}/tier", headers=OPERATOR, json={"tier": tier} | more)


def extend(live: Live, tier: str, days: Any = 30) -> Reply:
    return live.call("POST", f"{ANN}/tier/extend", headers=OPERATOR, json={"tier": tier, "period_days": days})


def give(live: Live, amount: Any, **more: Any) -> Reply:
    return live.call("POST", f"{ANN}/credits", headers=OPERATOR, json={"amount": amount} | more)


def view(reply: Reply) -> tuple[str, int | None, int, int | None]:
    """tier, remaining, purchased, total."""
    assert reply.status == 200, reply.body
    person = reply.json["user"]
    assert person.keys() == SUBSCRIBED
    seen = person["credits"]
    assert seen["tier"] == person["tier"]
    return person["tier"], seen["remaining"], seen["purchased"], seen["total"]


def end(reply: Reply) -> datetime:
    return datetime.fromisoformat(reply.json["user"]["subscription_expires_at"])


class Clock:
    """Stands still until it is moved."""

    def __init__(self, live: Live) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)
        live.core.meter._clock = live.core.credits._clock = live.core.housekeeping._clock = lambda: self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock(live: Live) -> Clock:
    return Clock(live)


@pytest.fixture(autouse=True)
def the_books_balance(live: Live):
    yield
    live.assert_balanced()


def test_an_unknown_user_is_in_core_and_has_no_row(live: Live) -> None:
    reply = live.get(ANN, OPERATOR)
    assert view(reply) == ("core", 10, 0, 10)
    person = reply.json["user"]
    assert (person["user_id"], person["credit_key"]) == ("ann", "user:ann")
    assert person["subscription_expires_at"] is None
    assert live.row("user:ann") is None


ROUTES = [("GET", ""), ("PUT", "/tier"), ("POST", "/tier/extend"), ("POST", "/credits")]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_the_routes_need_the_operator_key(live: Live, method: str, path: str) -> None:
    body = {"tier": "pro", "period_days": 30, "amount": 5, "reason": "x"}
    for headers, code in (
        ({}, "unauthenticated"),
        (install("inst-1"), "unauthenticated"),
        ({"X-Recap-User-Id": "ann"}, "unauthenticated"),
        ({"X-Recap-Operator-Key": "wrong"}, "bad_operator_key"),
        ({"X-Recap-Operator-Key": ""}, "unauthenticated"),
    ):
        assert_error(live.call(method, ANN + path, headers=headers, json=body), 401, code)
    assert live.row("user:ann") is None
    assert live.call(method, ANN + path, headers=user("bob"), json=body).status == 200, "the key is what counts"


def test_granting_credits_makes_the_row(live: Live) -> None:
    assert view(give(live, 5, reason="gift")) == ("core", 10, 5, 15)
    assert view(give(live, 1)) == ("core", 10, 6, 16)
    assert [entry["kind"] for entry in live.entries("user:ann")] == ["grant", "grant"]
    assert live.entries("user:ann")[0]["reason"] == "gift"


@pytest.mark.parametrize("amount", [0, -1, "7", True, 1.5, 1_000_001, None])
def test_a_wrong_amount_is_422_and_makes_no_row(live: Live, amount: Any) -> None:
    assert_error(give(live, amount, reason="x"), 422, "invalid")
    assert live.row("user:ann") is None


def test_promotion_carries_unused_core_credits_over_once(live: Live) -> None:
    live.analyze(user("ann"))
    assert view(put(live, "pro")) == ("pro", 50, 9, 59)
    assert view(put(live, "core")) == ("core", 0, 9, 9)
    assert view(put(live, "pro")) == ("pro", 50, 9, 59)
    kinds = [entry["kind"] for entry in live.entries("user:ann")]
    assert kinds.count("promotion") == 1


def test_an_open_hold_counts_as_used_at_promotion(live: Live, backend) -> None:
    backend.act = lambda _ctx: put(live, "pro")
    assert live.analyze(user("ann")).status == 200
    assert view(live.get(ANN, OPERATOR))[2] == 9


def test_a_row_first_made_by_a_tier_change_carries_nothing(live: Live) -> None:
    assert view(put(live, "pro")) == ("pro", 50, 0, 50)
    assert view(put(live, "core")) == ("core", 0, 0, 0)


def test_a_row_first_made_by_extending_carries_nothing(live: Live) -> None:
    assert view(extend(live, "pro")) == ("pro", 50, 0, 50)


def test_put_to_the_present_tier_never_refills(live: Live) -> None:
    put(live, "pro")
    live.analyze(user("ann"))
    for reply in (put(live, "pro"), put(live, "pro", period_days=30), extend(live, "pro"), put(live, "pro")):
        assert view(reply) == ("pro", 49, 0, 49)


def test_going_from_one_paid_tier_to_another_does_not_refill(live: Live) -> None:
    put(live, "pro")
    live.analyze(user("ann"))
    assert view(put(live, "max")) == ("max", 199, 0, 199)


def test_put_without_period_days_has_no_end(live: Live, clock: Clock) -> None:
    assert end(put(live, "pro", period_days=10)) == clock.now + timedelta(days=10)
    assert put(live, "pro").json["user"]["subscription_expires_at"] is None
    clock.move(days=4000)
    assert view(live.get(ANN, OPERATOR))[0] == "pro"


def test_renewing_early_extends_from_the_present_end(live: Live, clock: Clock) -> None:
    first = end(extend(live, "pro"))
    assert first == clock.now + timedelta(days=30)
    clock.move(days=10)
    assert end(extend(live, "pro")) == first + timedelta(days=30)
    clock.move(days=60)
    assert view(live.get(ANN, OPERATOR))[0] == "core"
    assert end(extend(live, "pro")) == clock.now + timedelta(days=30), "after the end: from now"


def test_extending_what_has_no_end_changes_nothing(live: Live) -> None:
    put(live, "pro")
    assert extend(live, "pro").json["user"]["subscription_expires_at"] is None


def test_extending_another_paid_tier_is_a_conflict(live: Live, clock: Clock) -> None:
    extend(live, "pro")
    assert_error(extend(live, "max"), 409, "tier_conflict")
    assert view(live.get(ANN, OPERATOR))[0] == "pro"
    clock.move(days=30)
    assert view(extend(live, "max"))[0] == "max", "the end itself is past the end"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"tier": "platinum"}, "tier"),
        ({"tier": ""}, "tier"),
        ({"tier": 7}, "tier"),
        ({}, "tier"),
        ({"tier": "pro", "period_days": 0}, "period_days"),
        ({"tier": "pro", "period_days": "30"}, "period_days"),
        ({"tier": "pro", "period_days": True}, "period_days"),
        ({"tier": "core", "period_days": 30}, "period_days"),
    ],
)
def test_a_mistake_in_a_tier_is_422_and_makes_no_row(live: Live, body: dict[str, Any], path: str) -> None:
    reply = live.call("PUT", f"{ANN}/tier", headers=OPERATOR, json=body)
    assert_error(reply, 422, "invalid")
    assert reply.error["details"]["path"] == path
    assert live.row("user:ann") is None


def test_extending_needs_a_paid_tier_and_a_period(live: Live) -> None:
    assert_error(extend(live, "core"), 422, "invalid")
    assert_error(extend(live, "platinum"), 422, "invalid")
    reply = live.call("POST", f"{ANN}/tier/extend", headers=OPERATOR, json={"tier": "pro"})
    assert_error(reply, 422, "invalid")
    assert live.row("user:ann") is None


def test_past_the_end_the_account_is_core_again_with_nothing_left_of_it(live: Live, clock: Clock) -> None:
    live.analyze(user("ann"))
    put(live, "pro", period_days=30)
    assert live.analyze(user("ann")).json["credits"]["tier"] == "pro"
    clock.move(days=30)
    assert view(live.get(ANN, OPERATOR)) == ("core", 0, 9, 9)
    reply = live.analyze(user("ann"))
    seen = reply.json["credits"]
    assert (seen["tier"], seen["remaining"], seen["purchased"]) == ("core", 0, 8)
    assert live.row("user:ann")["tier_snapshot"] == "core"


def test_a_new_month_starts_by_itself_and_several_missed_ones_roll_once(live: Live, clock: Clock) -> None:
    put(live, "pro")
    started = clock.now
    for _ in range(3):
        live.analyze(user("ann"))
    assert live.credits(user("ann"))["remaining"] == 47
    clock.move(days=30)
    assert live.credits(user("ann"))["remaining"] == 50
    clock.move(days=65)
    assert live.analyze(user("ann")).json["credits"]["remaining"] == 49
    assert [entry["kind"] for entry in live.entries("user:ann")].count("cycle") == 1
    begun = datetime.fromisoformat(live.row("user:ann")["cycle_started_at"])
    assert begun == started + timedelta(days=90)


def test_a_free_call_after_the_month_has_rolled_shows_the_new_month(live: Live, clock: Clock) -> None:
    put(live, "pro")
    live.analyze(user("ann"), job="j")
    clock.move(days=29, hours=12)
    live.analyze(user("ann"), job="k")
    clock.move(hours=13)
    follow_up = live.analyze(user("ann"), job="k")
    assert follow_up.charged == 0
    assert follow_up.json["credits"]["remaining"] == live.credits(user("ann"))["remaining"] == 50


def test_a_failure_in_a_month_that_has_rolled_changes_nothing(live: Live, clock: Clock, backend) -> None:
    put(live, "pro")
    live.analyze(user("ann"))
    clock.move(days=29)

    def a_month_later(_ctx: object) -> None:
        clock.move(days=2)
        live.core.housekeeping.roll_due()
        raise ValueError("broke")

    backend.act = a_month_later
    assert live.analyze(user("ann")).status == 502
    assert view(live.get(ANN, OPERATOR)) == ("pro", 50, 0, 50)


def test_monthly_tiers_say_so(live: Live) -> None:
    put(live, "pro")
    seen = live.analyze(user("ann")).json["credits"]
    assert (seen["capped"], seen["tier"], seen["gemini_remaining"]) == ("monthly", "pro", 25)
    assert live.credits(user("ann"))["subscription_expires_at"] is None
