"""How many requests a caller may send in a minute."""

import pytest

from relay.http.rate import PerMinute


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_each_caller_has_its_own_limit(clock: Clock) -> None:
    rate = PerMinute(3, clock)
    assert [rate.hit("a") for _ in range(4)] == [0, 0, 0, 60]
    assert rate.hit("b") == 0


def test_the_minute_slides_with_every_hit(clock: Clock) -> None:
    rate = PerMinute(2, clock)
    assert rate.hit("a") == 0
    clock.now += 30
    assert rate.hit("a") == 0
    clock.now += 30
    assert rate.hit("a") == 0, "the first is a minute old"
    assert rate.hit("a") == 30, "the second is not"


def test_after_the_time_that_is_told_there_is_room_and_not_before(clock: Clock) -> None:
    rate = PerMinute(1, clock)
    assert rate.hit("a") == 0
    clock.now += 12.5
    wait = rate.hit("a")
    assert wait == 48, "47.5 seconds, in whole ones"
    clock.now += wait - 1
    assert rate.hit("a") == 1
    clock.now += 1
    assert rate.hit("a") == 0


def test_a_refused_hit_does_not_count(clock: Clock) -> None:
    rate = PerMinute(1, clock)
    rate.hit("a")
    for _ in range(59):
        clock.now += 1
        assert rate.hit("a") > 0
    clock.now += 1
    assert rate.hit("a") == 0


def test_callers_that_were_idle_for_a_minute_are_forgotten(clock: Clock) -> None:
    rate = PerMinute(2, clock)
    for name in ("busy", *(f"idle {n}" for n in range(1000))):
        rate.hit(name)
    clock.now += 30
    rate.hit("busy")
    clock.now += 30
    for _ in range(2):
        rate.hit("idle 0")
    for n in range(600):
        rate.hit(f"new {n % 3}")
    assert list(rate._hits) == ["busy", "idle 0", "new 0", "new 1", "new 2"]
    assert rate.hit("idle 0") > 0, "who came back is not forgotten"
