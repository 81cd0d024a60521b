"""Webhooks on their way out: one line per receiver, in order, and the ways in which a delivery can go wrong.

Nothing is ever sent to another machine: an address that is not loopback is refused here.
"""

from __future__ import annotations

import http.client
import ipaddress
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from relay.testing.sandbox.clock import Clock

MAX_QUEUED = 20_000
MAX_REDIRECTS = 5
MAX_DISTURBANCES = 100
KEEPS_METHOD = frozenset({307, 308})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
NO_ONE = "nobody was asked: "

WAYS: dict[str, str] = {
    "drop": "it is never sent",
    "duplicate": "it is sent twice, byte for byte",
    "reorder": "it leaves after the next one",
    "delay": "it leaves `seconds` later by the sandbox's clock; others pass it",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one try. `status` None: no answer, and `error` says why. `final`: trying again is no use."""

    status: int | None
    error: str = ""
    final: bool = False

    @property
    def good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def post(url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> Attempt:
    """POST to this machine. Redirects are followed as by a browser: after 301, 302 and 303 it is a GET."""
    method = "POST"
    for _ in range(MAX_REDIRECTS + 1):
        try:
            host, port, target = _loopback(url)
        except ValueError as exc:
            return Attempt(None, f"{NO_ONE}{exc}", final=True)
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
        try:
            sent = (body, dict(headers)) if method == "POST" else (None, {})
            connection.request(method, target, *sent)
            answer = connection.getresponse()
            place = answer.headers.get("location")
            if answer.status not in REDIRECTS or place is None:
                return Attempt(answer.status)
        except (OSError, http.client.HTTPException) as exc:
            return Attempt(None, f"{type(exc).__name__}: {exc}")
        finally:
            connection.close()
        url = urljoin(url, place)
        method = method if answer.status in KEEPS_METHOD else "GET"
    return Attempt(None, f"more than {MAX_REDIRECTS} redirects")


def _loopback(url: str) -> tuple[str, int, str]:
    """Host, port and target. Raises ValueError for what is not plain HTTP on this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        here = ipaddress.ip_address(address).is_loopback
    except ValueError:
        here = False
    if parts.scheme != "http" or not here:
        raise ValueError(f"the sandbox delivers to http://127.0.0.1 and nowhere else, not to {parts.scheme}://{host}")
    return address, parts.port or 80, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


@dataclass(slots=True)
class Parcel:
    """One delivery. `send` makes one try, numbered from 0, and says in how many seconds to try again; None: done.
    `wait`: so many seconds pass before the first."""

    event: str
    send: Callable[[int], float | None]
    wait: float = 0.0


class Line:
    """Sends parcels one after another: while one is tried again, the next ones wait.

    At most 20 000 wait; then the oldest is lost.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[Parcel] = deque(maxlen=MAX_QUEUED)
        self._lock = threading.Condition()
        self._round = 0
        self._busy = False
        self._stopped = False
        self._thread: threading.Thread | None = None

    def put(self, parcel: Parcel) -> None:
        with self._lock:
            if self._stopped:
                return
            self._waiting.append(parcel)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sandbox-webhooks", daemon=True)
                self._thread.start()
            self._lock.notify_all()

    def lose(self) -> None:
        """Forget all that waits, also what is being tried again."""
        with self._lock:
            self._waiting.clear()
            self._round += 1
        self._clock.wake()

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            self._lock.notify_all()
        self.lose()

    def idle(self) -> bool:
        with self._lock:
            return not self._busy and not self._waiting

    def _run(self) -> None:
        while True:
            with self._lock:
                self._busy = False
                while not self._waiting and not self._stopped:
                    self._lock.wait()
                if self._stopped:
                    return
                self._busy = True
                parcel, began = self._waiting.popleft(), self._round
            self._deliver(parcel, lambda began=began: self._round != began)  # type: ignore[misc]

    def _deliver(self, parcel: Parcel, lost: Callable[[], bool]) -> None:
        pause: float | None = parcel.wait
        for number in itertools.count():
            if pause is None:
                return
            self._clock.wait_until(self._clock.now() + pause, lost)
            if lost():
                return
            pause = parcel.send(number)


@dataclass(slots=True)
class Disturbance:
    """`left`: how many deliveries it still hits; `event`: of which kind, None for any."""

    way: str
    left: int
    event: str | None
    seconds: float


class Outgoing:
    """The lines of all receivers of one service, and what is to go wrong on them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: dict[str, Line] = {}
        self._delayed: list[Line] = []
        self._held: dict[str, Parcel] = {}
        self._planned: list[Disturbance] = []

    def send(self, receiver: str, parcel: Parcel) -> None:
        with self._lock:
            line = self._lines.setdefault(receiver, Line(self._clock))
            planned = self._take(parcel.event)
            way = planned.way if planned else ""
            if planned and way == "delay":
                parcel.wait = planned.seconds
                self._drop_finished()
                line = Line(self._clock)
                self._delayed.append(line)
            if way == "reorder" and receiver not in self._held:
                self._held[receiver] = parcel
                return
            for _ in range({"drop": 0, "duplicate": 2}.get(way, 1)):
                line.put(parcel)
            if way not in ("drop", "delay") and (held := self._held.pop(receiver, None)) is not None:
                line.put(held)

    def disturb(self, way: str, *, event: str | None = None, times: int = 1, seconds: float = 1.0) -> dict[str, Any]:
        """What goes wrong with the next `times` deliveries (of that event). Raises ValueError."""
        if way not in WAYS:
            raise ValueError(f"a delivery can go wrong in these ways: {', '.join(WAYS)}; not {way!r}")
        if type(times) is not int or times < 1 or isinstance(seconds, bool) or not 0 <= seconds <= 1e6:
            raise ValueError("times is a whole number from 1, seconds a number from 0")
        with self._lock:
            if len(self._planned) >= MAX_DISTURBANCES:
                raise ValueError(f"there are {MAX_DISTURBANCES} disturbances already: reset first")
            self._planned.append(Disturbance(way, times, event, float(seconds)))
        return {"way": way, "event": event, "times": times}

    def restart(self) -> None:
        """All that waits is lost, as when the service restarts."""
        with self._lock:
            self._held.clear()
            for line in [*self._lines.values(), *self._delayed]:
                line.lose()

    def forget(self, receiver: str) -> None:
        """The receiver was deleted: what waits for it is lost."""
        with self._lock:
            self._held.pop(receiver, None)
            if (line := self._lines.pop(receiver, None)) is not None:
                line.stop()

    def wait(self, seconds: float = 10.0) -> None:
        """Until nothing waits any more, but for what is held to be reordered. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self._lock:
                if all(line.idle() for line in [*self._lines.values(), *self._delayed]):
                    return
            time.sleep(0.005)
        raise TimeoutError(f"deliveries still wait after {seconds} seconds")

    def close(self) -> None:
        with self._lock:
            self._held.clear()
            for line in [*self._lines.values(), *self._delayed]:
                line.stop()

    def _drop_finished(self) -> None:
        for late in [late for late in self._delayed if late.idle()]:
            late.stop()
            self._delayed.remove(late)

    def _take(self, event: str) -> Disturbance | None:
        for planned in self._planned:
            if planned.event in (None, event):
                planned.left -= 1
                if planned.left == 0:
                    self._planned.remove(planned)
                return planned
        return None
