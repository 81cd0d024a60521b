"""Slots under every order of coming, waiting, being granted, giving up and leaving."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from relay.errors import QueueFull, RelayError, Unavailable, UpstreamTimeout
from relay.ports.inference import CallContext
from relay.services.slots import Slots


def context(seconds: float = 60.0, gone: Callable[[], bool] = lambda: False) -> CallContext:
    return CallContext(time.monotonic() + seconds, gone=gone)


def eventually(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not check():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


class Caller(threading.Thread):
    """Enters `slots` in a thread of its own and stays until it is let go; `error` is what it got instead."""

    def __init__(self, slots: Slots, account: str, cost: float = 1.0, ctx: CallContext | None = None) -> None:
        super().__init__(daemon=True)
        self.slots, self.account, self.cost, self.ctx = slots, account, cost, ctx or context()
        self.inside, self.let_go = threading.Event(), threading.Event()
        self.error: RelayError | None = None
        self.start()

    def run(self) -> None:
        try:
            with self.slots.hold(self.ctx, self.account, self.cost, f"job_{self.account}"):
                self.inside.set()
                self.let_go.wait(20)
        except RelayError as exc:
            self.error = exc

    def done(self) -> None:
        self.let_go.set()
        self.join(10)
        assert not self.is_alive()


def waiting(slots: Slots, account: str, cost: float = 1.0, ctx: CallContext | None = None) -> Caller:
    before = slots.waiting
    caller = Caller(slots, account, cost, ctx)
    eventually(lambda: slots.waiting == before + 1)
    return caller


@contextmanager
def busy(slots: Slots, account: str = "first") -> Iterator[Caller]:
    caller = Caller(slots, account)
    assert caller.inside.wait(10)
    yield caller
    caller.done()


def assert_at_rest(slots: Slots) -> None:
    assert (slots.running, slots.waiting) == (0, 0)
    with slots.hold(context(), "anybody"):
        assert slots.running == 1
    assert slots.running == 0


def test_a_free_slot_is_taken_at_once() -> None:
    slots = Slots("x", 2, 0)
    with slots.hold(context(), "a"), slots.hold(context(), "a"):
        assert slots.running == 2
        with pytest.raises(QueueFull), slots.hold(context(), "a"):
            pass
    assert_at_rest(slots)


def test_accounts_take_turns() -> None:
    slots = Slots("x", 1, 100)
    with busy(slots) as first:
        many = [waiting(slots, "A") for _ in range(30)]
        one = waiting(slots, "B")
        first.done()
        assert many[0].inside.wait(10)
        many[0].done()
        assert one.inside.wait(10), "served second"
        one.done()
        for caller in many[1:]:
            assert caller.inside.wait(10)
            caller.done()
    assert_at_rest(slots)


def test_one_account_cannot_fill_the_line() -> None:
    slots = Slots("x", 1, 4)
    with busy(slots):
        callers = [waiting(slots, "A"), waiting(slots, "A")]
        with pytest.raises(QueueFull, match="2 calls of yours") as refused, slots.hold(context(), "A"):
            pass
        assert refused.value.details["waiting"] == 2
        callers += [waiting(slots, "B"), waiting(slots, "C")]
        with pytest.raises(QueueFull, match="4 calls in line"), slots.hold(context(), "D"):
            pass
        assert slots.refused == 2
        for caller in callers:
            caller.let_go.set()
    for caller in callers:
        caller.done()
    assert_at_rest(slots)


def test_a_refusal_tells_the_place_in_line_and_the_time_it_would_have_taken() -> None:
    slots = Slots("x", 1, 2)
    with busy(slots):
        callers = [waiting(slots, "A", 10.0), waiting(slots, "B")]
        with pytest.raises(QueueFull) as refused, slots.hold(context(), "C"):
            pass
        error = refused.value
        assert error.details["backend"] == "x"
        assert error.details["position"] == 2, "before the costly call of A, which takes ten turns"
        assert 5 < error.details["estimate_seconds"] <= 10, "the running call and B, 5 s each until the first is known"
        assert error.retry_after == 10
        with pytest.raises(QueueFull) as refused, slots.hold(context(), "C", 1440.0):
            pass
        assert refused.value.details["position"] == 3
        for caller in callers:
            caller.let_go.set()
    for caller in callers:
        caller.done()


def test_retry_after_is_a_second_at_least_and_ten_minutes_at_most() -> None:
    slots = Slots("x", 1, 2)
    with busy(slots):
        callers = [waiting(slots, "A", 1000.0), waiting(slots, "B", 1000.0)]
        with pytest.raises(QueueFull) as refused, slots.hold(context(), "C", 1440.0):
            pass
        assert refused.value.retry_after == 600
        for caller in callers:
            caller.ctx.cancel()
            caller.join(10)
    quick = Slots("x", 1, 0)
    with quick.hold(context(), "a"):
        pass
    with quick.hold(context(), "a"), pytest.raises(QueueFull) as refused, quick.hold(context(), "b"):
        pass
    assert refused.value.retry_after == 1


def test_a_cancelled_waiter_leaves_at_once() -> None:
    slots = Slots("x", 1, 10)
    with busy(slots):
        caller = waiting(slots, "A")
        caller.ctx.cancel()
        caller.join(0.5)  # the slow look would take a second
        assert not caller.is_alive()
        assert isinstance(caller.error, Unavailable)
        assert slots.waiting == 0
    assert_at_rest(slots)


def test_a_waiter_whose_caller_is_gone_leaves_even_if_nobody_cancels_it() -> None:
    slots, gone = Slots("x", 1, 10), threading.Event()
    with busy(slots):
        caller = waiting(slots, "A", ctx=context(gone=gone.is_set))
        gone.set()
        caller.join(10)
        assert isinstance(caller.error, Unavailable)
    assert_at_rest(slots)


def test_a_waiter_leaves_when_its_time_is_used_up() -> None:
    slots = Slots("x", 1, 10)
    with busy(slots):
        caller = waiting(slots, "A", ctx=context(0.1))
        caller.join(10)
        assert isinstance(caller.error, QueueFull)
    assert_at_rest(slots)


def test_a_slot_that_was_granted_to_a_cancelled_waiter_goes_to_the_next() -> None:
    slots = Slots("x", 1, 10)
    first, second = slots.hold(context(), "A"), slots.hold(context(), "B")
    with slots.hold(context(), "first"):
        turn, other = slots.enter(first), slots.enter(second)
        assert turn is not None
        assert other is not None
    assert turn.is_set()
    assert not other.is_set()
    slots.leave(first, ran=False)
    assert other.is_set()
    slots.leave(second, ran=False)
    assert_at_rest(slots)


def test_the_snapshot_tells_who_runs_and_who_waits_in_the_order_of_their_turns() -> None:
    slots = Slots("x", 1, 10)
    assert slots.snapshot().view() == {
        "running": 0,
        "waiting": 0,
        "max_concurrent": 1,
        "queue_size": 10,
        "mean_seconds": None,
        "estimate_seconds": 0.0,
        "calls": (),
    }
    with busy(slots):
        callers = [waiting(slots, "A"), waiting(slots, "A", 2.0), waiting(slots, "B")]
        seen = slots.snapshot()
        assert (seen.running, seen.waiting) == (1, 3)
        assert [(call.account, call.state, call.position, call.cost) for call in seen.calls] == [
            ("first", "running", None, 1.0),
            ("A", "waiting", 1, 1.0),
            ("B", "waiting", 2, 1.0),
            ("A", "waiting", 3, 2.0),
        ]
        assert [call.server_job_id for call in seen.calls] == ["job_first", "job_A", "job_B", "job_A"]
        estimates = [call.estimate_seconds for call in seen.calls if call.estimate_seconds is not None]
        assert estimates == sorted(estimates)
        assert len(estimates) == 3
        for caller in callers:
            caller.let_go.set()
    for caller in callers:
        caller.done()
    assert slots.snapshot().mean_seconds is not None


def test_hundreds_of_threads_lose_no_waiter_and_leak_no_slot() -> None:
    """Callers who stay, give up, run out of time or are cancelled, at every moment of a grant."""
    slots, most = Slots("x", 3, 150), 0
    inside, served, lock = 0, 0, threading.Lock()
    barrier = threading.Barrier(240)
    failures: list[BaseException] = []

    def call(n: int) -> None:
        nonlocal inside, served, most
        dice = random.Random(n)
        barrier.wait(30)
        for _ in range(12):
            ctx = context(dice.choice([60.0, 60.0, 0.002, 0.01]))
            if dice.random() < 0.3:
                threading.Timer(dice.random() * 0.02, ctx.cancel).start()
            try:
                with slots.hold(ctx, f"account-{n % 11}", dice.choice([1.0, 1.0, 3.0, 40.0])):
                    with lock:
                        inside += 1
                        served += 1
                        most = max(most, inside)
                    time.sleep(dice.random() * 0.001)
                    with lock:
                        inside -= 1
            except (QueueFull, Unavailable, UpstreamTimeout):
                time.sleep(dice.random() * 0.002)
            except BaseException as exc:  # noqa: BLE001 - told below, in the thread of the test
                failures.append(exc)

    threads = [threading.Thread(target=call, args=(n,), daemon=True) for n in range(240)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a waiter was never woken"
    assert not failures
    assert most == 3
    assert served > 100
    assert_at_rest(slots)
