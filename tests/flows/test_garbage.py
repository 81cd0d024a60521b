"""What calls leave behind, with a garbage collector that looks less often than Python's own."""

import gc
import subprocess
import sys
import time
import weakref

import pytest

from relay.errors import OutcomeUnknown, Unavailable
from tests.flows.live import FakeBackend

CHURN = """
import gc
from relay.cli.serve import spare_the_collector

class Knot:
    alive = most = 0
    def __init__(self):
        self.itself = self
        Knot.alive += 1
        Knot.most = max(Knot.most, Knot.alive)
    def __del__(self):
        Knot.alive -= 1

spare_the_collector()
old = [Knot() for _ in range(30_000)]
for _ in range(100_000):
    Knot()
assert Knot.most < 60_000, f"{Knot.most} at once: new cycles are not collected"
old.clear()
for _ in range(3_000_000):
    Knot()
    if Knot.alive < 30_000:
        break
else:
    raise AssertionError(f"{Knot.alive} are left: old cycles are never collected")
"""


def test_cycles_are_still_collected_new_and_old_ones() -> None:
    done = subprocess.run([sys.executable, "-c", CHURN], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("failure", [None, Unavailable, OutcomeUnknown])
def test_a_call_is_let_go_of_without_the_collector(start, failure) -> None:
    contexts = []

    def act(ctx):
        contexts.append(weakref.ref(ctx.cancelled))
        if failure is not None:
            raise failure("said the backend")

    one, two = FakeBackend("one"), FakeBackend("two")
    one.act = two.act = act
    with start(one, two) as live:
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                assert (live.analyze().status == 200) == (failure is None)
            end = time.monotonic() + 10
            while any(context() is not None for context in contexts) and time.monotonic() < end:
                time.sleep(0.02)
            assert [context() for context in contexts if context() is not None] == []
        finally:
            gc.enable()
