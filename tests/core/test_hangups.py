"""The thread that notices hang-ups."""

import threading
import time
from collections.abc import Iterator

import pytest

from relay.ports.inference import CallContext
from relay.services.hangups import Hangups
from tests.flows.live import eventually


@pytest.fixture
def hangups() -> Iterator[Hangups]:
    hangups = Hangups()
    yield hangups
    hangups.stop()


def gone() -> CallContext:
    """A call whose caller has hung up."""
    return CallContext(time.monotonic() + 60, gone=lambda: True)


def test_a_stop_that_raises_does_not_end_the_watch_for_others(hangups: Hangups) -> None:
    broken, asked, stopped = gone(), threading.Event(), threading.Event()

    def stop() -> None:
        asked.set()
        raise RuntimeError("the connection is closed already")

    with broken.interruptible(stop), hangups.watching(broken):
        eventually(asked.is_set)
    other = gone()
    with other.interruptible(stopped.set), hangups.watching(other):
        eventually(stopped.is_set)
