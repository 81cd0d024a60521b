"""A clock that can be moved forward, for services whose things end in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LOOK_SECONDS = 0.25


class Clock:
    """The machine's time plus what it was moved by. Seconds since 1970."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._changed = threading.Condition()

    def now(self) -> float:
        return time.time() + self._ahead

    def forward(self, seconds: float) -> None:
        """Who waits for a moment that is now past wakes up. ValueError for less than nothing."""
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e9:
            raise ValueError("seconds is a number from 0: the sandbox's clock only goes forward")
        with self._changed:
            self._ahead += seconds
            self._changed.notify_all()

    def wake(self) -> None:
        """Make everyone who waits look again whether to go on."""
        with self._changed:
            self._changed.notify_all()

    def wait_until(self, moment: float, given_up: Callable[[], bool]) -> None:
        """Returns at that moment, or soon after `given_up` is true."""
        with self._changed:
            while not given_up() and (left := moment - self.now()) > 0:
                self._changed.wait(min(left, LOOK_SECONDS))
