"""How many calls run at once: a few per backend with a bounded queue before them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from relay.errors import QueueFull
from relay.ports.inference import CallContext

POLL_SECONDS = 0.25
"""How soon a waiting call notices that its caller has hung up."""


class Slots:
    """`running` calls at once, `waiting` more in line, first come first served; the next is refused."""

    def __init__(self, name: str, running: int, waiting: int) -> None:
        self._name = name
        self._free = running
        self._waiting = waiting
        self._line: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, ctx: CallContext) -> Iterator[None]:
        """Raises QueueFull at once, or what `ctx.remaining()` raises while waiting."""
        turn = self._enter()
        if turn is not None:
            self._wait(turn, ctx)
        try:
            yield
        finally:
            self._leave()

    def _enter(self) -> threading.Event | None:
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return None
            if len(self._line) >= self._waiting:
                raise QueueFull(
                    f"{self._name} is busy and {len(self._line)} calls wait already; try again",
                    details={"backend": self._name, "waiting": len(self._line)},
                    retry_after=5,
                )
            turn = threading.Event()
            self._line.append(turn)
            return turn

    def _wait(self, turn: threading.Event, ctx: CallContext) -> None:
        try:
            while not turn.wait(min(POLL_SECONDS, ctx.remaining())):
                pass
        except BaseException:
            with self._lock:
                waiting = turn in self._line
                if waiting:
                    self._line.remove(turn)
            if not waiting:
                self._leave()
            raise

    def _leave(self) -> None:
        """Hand the slot to the next in line, or free it."""
        with self._lock:
            if self._line:
                self._line.popleft().set()
            else:
                self._free += 1
