"""A backend that fails is asked last for a while, and never not at all."""

import threading
from dataclasses import dataclass

import pytest

from relay.errors import (
    BlockedByUpstream,
    Invalid,
    NoSuchModel,
    NotAccepted,
    OutcomeUnknown,
    PaymentRequired,
    QueueFull,
    RelayError,
    Unavailable,
    Unsupported,
    UpstreamFailed,
    UpstreamTimeout,
)
from relay.services.breaker import Breaker
from relay.services.schemas import Unfit


@dataclass
class Backend:
    name: str


A, B, C = Backend("a"), Backend("b"), Backend("c")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Case:
    def __init__(self) -> None:
        self.clock = Clock()
        self.breaker = Breaker(["a", "b", "c"], self.clock)

    def order(self, *candidates: Backend) -> str:
        return "".join(backend.name for backend in self.breaker.order(candidates or (A, B, C)))

    def fail(self, times: int = 5, error: RelayError | None = None, name: str = "a") -> None:
        for _ in range(times):
            self.breaker.failed(name, error or Unavailable("away"))

    def later(self, seconds: float) -> None:
        self.clock.now += seconds

    def state(self, name: str = "a") -> str:
        return self.breaker.state()[name]["state"]


@pytest.fixture
def case() -> Case:
    return Case()


FAILURES = [Unavailable("x"), UpstreamFailed("x"), UpstreamTimeout("x"), OutcomeUnknown("x")]
OTHERS = [
    Unsupported("x"),
    NoSuchModel("x"),
    NotAccepted("x"),
    Unfit("x"),
    QueueFull("x", retry_after=60),
    BlockedByUpstream("x"),
    Invalid("x"),
    PaymentRequired("x"),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_five_failures_in_a_row_put_a_backend_last(case: Case, error: RelayError) -> None:
    case.fail(4, error)
    assert case.order() == "abc"
    case.fail(1, error)
    assert case.order() == "bca"
    assert case.breaker.state()["a"] == {
        "state": "open",
        "consecutive_failures": 5,
        "demoted_until": case.breaker.state()["a"]["demoted_until"],
        "last_error": error.code,
    }
    assert case.breaker.state()["a"]["demoted_until"].endswith("Z")


@pytest.mark.parametrize("error", OTHERS, ids=lambda error: type(error).__name__)
def test_what_is_no_failure_of_the_service_does_not_count(case: Case, error: RelayError) -> None:
    case.fail(50, error)
    assert case.order() == "abc"
    assert case.breaker.state()["a"]["consecutive_failures"] == 0


def test_an_answer_in_between_starts_the_count_again(case: Case) -> None:
    case.fail(4)
    case.breaker.succeeded("a")
    case.fail(4)
    assert case.order() == "abc"


def test_a_demotion_never_refuses(case: Case) -> None:
    case.fail()
    case.fail(name="b")
    assert case.order(A) == "a"
    assert case.order(A, B) == "ab"
    assert case.order() == "cab", "among the demoted the routing's order stays"


def test_after_ten_seconds_one_call_takes_it_in_its_place(case: Case) -> None:
    case.fail()
    case.later(9.9)
    assert (case.order(), case.state()) == ("bca", "open")
    case.later(0.2)
    assert case.state() == "half_open"
    assert [case.order() for _ in range(3)] == ["abc", "bca", "bca"]


def test_a_probe_that_is_answered_puts_it_back(case: Case) -> None:
    case.fail()
    case.later(11)
    case.order()
    case.breaker.succeeded("a")
    assert [case.order() for _ in range(3)] == ["abc"] * 3
    assert (case.state(), case.breaker.state()["a"]["demoted_until"]) == ("closed", None)


def test_each_relapse_doubles_the_time_up_to_two_minutes(case: Case) -> None:
    case.fail()
    for seconds in (10, 20, 40, 80, 120, 120, 120):
        case.later(seconds - 0.1)
        assert case.state() == "open"
        case.later(0.2)
        assert case.order() == "abc"
        case.fail(1)
        assert case.order() == "bca"
    case.later(200)
    case.order()
    case.breaker.succeeded("a")
    case.fail()
    case.later(10.1)
    assert case.state() == "half_open", "recovered, it begins again at ten seconds"


def test_failures_of_calls_that_were_under_way_do_not_prolong_it(case: Case) -> None:
    case.fail(50)
    case.later(10.1)
    assert case.order() == "abc"


def test_a_probe_that_told_nothing_leaves_the_next_one_the_chance(case: Case) -> None:
    case.fail()
    case.later(11)
    assert [case.order(), case.order()] == ["abc", "bca"]
    case.breaker.failed("a", QueueFull("full"))
    assert [case.order(), case.order()] == ["abc", "bca"]
    case.breaker.abandoned("a")
    assert [case.order(), case.order()] == ["abc", "bca"]
    case.later(120.1)
    assert [case.order(), case.order()] == ["abc", "bca"], "its caller never came back"


def test_a_service_that_says_when_to_come_back_is_believed_at_once(case: Case) -> None:
    case.fail(1, UpstreamFailed("slow down", retry_after=30))
    assert case.order() == "bca"
    case.breaker.succeeded("a")
    assert case.order() == "bca", "an answer to an older call does not shorten it"
    case.later(30.1)
    assert case.order() == "abc"
    case.breaker.succeeded("a")
    assert case.state() == "closed"


def test_a_service_is_believed_for_ten_minutes_at_most(case: Case) -> None:
    case.fail(1, Unavailable("later", retry_after=10**9))
    case.later(599)
    assert case.state() == "open"
    case.later(2)
    assert case.state() == "half_open"


def test_an_answer_while_it_is_demoted_for_failures_puts_it_back(case: Case) -> None:
    case.fail()
    case.breaker.succeeded("a")
    assert (case.order(), case.state()) == ("abc", "closed")


def test_of_many_threads_one_makes_the_probe(case: Case) -> None:
    case.fail()
    case.later(11)
    barrier, orders = threading.Barrier(32), []

    def ask() -> None:
        barrier.wait(10)
        orders.append(case.order())

    threads = [threading.Thread(target=ask) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(orders) == ["abc"] + ["bca"] * 31


def test_health_costs_no_lock(case: Case) -> None:
    with case.breaker._lock:
        case.breaker.succeeded("a")
        assert case.order() == "abc"
        case.breaker.abandoned("a")


def test_no_text_of_the_service_is_told(case: Case) -> None:
    case.fail(5, UpstreamFailed("secret-text-from-upstream"))
    assert "secret" not in str(case.breaker.state())
