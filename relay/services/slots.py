"""How many calls run at once: a few per backend, with a bounded line before them that is fair across accounts."""

from __future__ import annotations

import math
import threading
import time
from types import TracebackType

from relay.errors import QueueFull, UpstreamTimeout
from relay.ports.inference import CallContext
from relay.services.fair_line import FairLine
from relay.services.queue_view import CallView, Pace, Snapshot

POLL_SECONDS = 1.0
"""A waiter is woken by its turn or by `ctx.cancel()`; this is for a caller who is gone and was not cancelled."""
MAX_COST = 1440.0
"""A day of audio in minutes."""
GUESS_SECONDS = 5.0
"""What a call takes per cost until the first one has ended."""
NEWEST_WEIGHT = 0.2
LONGEST_RETRY = 600


class Place:
    """One call's place: waits in `with` until its turn, and frees the slot at the end."""

    __slots__ = ("_ctx", "_slots", "account", "cost", "entered", "granted", "job", "started", "turn")

    def __init__(self, slots: Slots, ctx: CallContext, account: str, cost: float, job: str) -> None:
        self._slots = slots
        self._ctx = ctx
        self.account = account
        self.cost = cost
        self.job = job
        self.entered = self.started = 0.0
        self.granted = False
        self.turn: threading.Event | None = None

    def __enter__(self) -> None:
        """Raises QueueFull, at once or when the time is over before its turn; Unavailable when it is cancelled."""
        turn = self._slots.enter(self)
        if turn is None:
            return
        try:
            with self._ctx.interruptible(turn.set):
                while not self.granted:
                    turn.wait(min(POLL_SECONDS, self._ctx.remaining()))
            self._ctx.remaining()
        except UpstreamTimeout:
            self._slots.leave(self, ran=False)
            raise self._slots.too_late() from None
        except BaseException:
            self._slots.leave(self, ran=False)
            raise

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._slots.leave(self, ran=True)


class Slots:
    """`running` calls at once and `waiting` more in line over all accounts, half of them of one account; the next
    is refused. A slot is free only while nobody waits."""

    def __init__(self, name: str, running: int, waiting: int) -> None:
        self._name = name
        self._max = running
        self._waiting = waiting
        self._waiting_each = max(1, waiting // 2)
        self._line: FairLine[Place] = FairLine()
        self._running: set[Place] = set()
        self._mean: float | None = None
        self._lock = threading.Lock()
        self.refused = 0
        """How many were, since the start."""

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._line)

    @property
    def max_concurrent(self) -> int:
        return self._max

    def hold(self, ctx: CallContext, account: str, cost: float = 1.0, job: str = "") -> Place:
        """A place to use in one `with`. `cost`: 1 for a chat, minutes of audio for a recording.

        Entering raises QueueFull, or Unavailable when the call is cancelled while it waits.
        """
        return Place(self, ctx, account, min(cost, MAX_COST) if cost > 1.0 else 1.0, job)

    def enter(self, place: Place) -> threading.Event | None:
        """For `Place`: take a slot, or stand in line and return what to wait for."""
        now = time.monotonic()
        place.entered = now
        with self._lock:
            if len(self._running) < self._max:
                place.started = now
                self._running.add(place)
                return None
            own = self._line.of(place.account)
            if len(self._line) < self._waiting and own < self._waiting_each:
                place.turn = threading.Event()
                self._line.push(place)
                return place.turn
            self.refused += 1
            line, pace = self._line.copy(), self._pace(now)
        raise self._refusal(place, line, pace)

    def leave(self, place: Place, *, ran: bool) -> None:
        """For `Place`: give the slot to the next in line, or step out of the line."""
        now = time.monotonic()
        with self._lock:
            if place not in self._running:
                self._line.remove(place)
                return
            self._running.remove(place)
            if ran:
                seconds = (now - place.started) / place.cost
                self._mean = seconds if self._mean is None else self._mean + NEWEST_WEIGHT * (seconds - self._mean)
            if self._line:
                self._grant(self._line.pop(), now)

    def _grant(self, place: Place, now: float) -> None:
        place.started = now
        self._running.add(place)
        place.granted = True
        if place.turn is not None:
            place.turn.set()

    def _pace(self, now: float) -> Pace:
        """The lock is held."""
        mean = GUESS_SECONDS if self._mean is None else self._mean
        left = sum(max(0.0, mean * place.cost - (now - place.started)) for place in self._running)
        return Pace(left / max(1, self._max), mean / max(1, self._max))

    def _refusal(self, place: Place, line: FairLine[Place], pace: Pace) -> QueueFull:
        """Says what the wait would have been."""
        position, ahead = line.outlook(place.account, place.cost)
        wait = pace.wait(ahead)
        seconds = min(max(1, math.ceil(wait)), LONGEST_RETRY)
        own = line.of(place.account)
        in_line = f"{len(line)} calls" if len(line) >= self._waiting else f"{own} calls of yours"
        return QueueFull(
            f"{self._name} is busy, with {in_line} in line; try again in about {seconds} s",
            details={
                "backend": self._name,
                "waiting": len(line),
                "position": position,
                "estimate_seconds": round(wait, 1),
            },
            retry_after=seconds,
        )

    def too_late(self) -> QueueFull:
        """For `Place`: nobody was asked, so the caller may safely try again."""
        return QueueFull(
            f"{self._name} was busy for all the time this call had; try again",
            details={"backend": self._name, "waiting": len(self._line)},
            retry_after=30,
        )

    def snapshot(self) -> Snapshot:
        now = time.monotonic()
        with self._lock:
            running, line, mean, pace = list(self._running), self._line.copy(), self._mean, self._pace(now)
        calls = [_running_view(place, now) for place in sorted(running, key=lambda place: place.started)]
        ahead = 0.0
        for position, place in enumerate(line.in_order(), 1):
            calls.append(_waiting_view(place, position, pace.wait(ahead), now))
            ahead += place.cost
        return Snapshot(
            running=len(running),
            waiting=len(line),
            max_concurrent=self._max,
            queue_size=self._waiting,
            mean_seconds=None if mean is None else round(mean, 3),
            estimate_seconds=round(pace.wait(line.outlook("", 1.0)[1]), 1) if len(running) >= self._max else 0.0,
            calls=tuple(calls),
        )


def _running_view(place: Place, now: float) -> CallView:
    waited, running = place.started - place.entered, now - place.started
    return CallView(place.job, place.account, "running", None, round(waited, 1), round(running, 1), None, place.cost)


def _waiting_view(place: Place, position: int, estimate: float, now: float) -> CallView:
    waited = round(now - place.entered, 1)
    return CallView(place.job, place.account, "waiting", position, waited, None, round(estimate, 1), place.cost)
