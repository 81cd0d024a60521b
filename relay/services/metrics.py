"""What is counted while the relay works, at a price the hot path can pay: plain numbers behind one short lock.

Nothing here knows an account, a key or a URL. What cannot be counted without asking around (queues, holds, memory)
is asked at the time of a scrape, in relay/services/exposition.py.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from relay.errors import RelayError

MAX_SERIES = 500
"""Per metric. What would be one more is counted under OTHER, so that no caller can fill the memory with names."""
OTHER = "other"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
REQUEST_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
UPSTREAM_SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0)

Labels = tuple[str, ...]


class Counts:
    """A number for each combination of labels. The owner has the lock."""

    def __init__(self) -> None:
        self.values: dict[Labels, int] = {}

    def add(self, labels: Labels, n: int = 1) -> None:
        values = self.values
        if labels not in values and len(values) >= MAX_SERIES:
            labels = (OTHER,) * len(labels)
        values[labels] = values.get(labels, 0) + n


class Histogram:
    """How often a time fell between two bounds, for each combination of labels. The owner has the lock.

    `values`: per labels the count of each bucket (not cumulative; the last is above all bounds) and the sum.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.values: dict[Labels, tuple[list[int], list[float]]] = {}

    def observe(self, labels: Labels, seconds: float) -> None:
        found = self.values.get(labels)
        if found is None:
            if len(self.values) >= MAX_SERIES:
                labels = (OTHER,) * len(labels)
            found = self.values.setdefault(labels, ([0] * (len(self.bounds) + 1), [0.0]))
        buckets, total = found
        buckets[bisect_left(self.bounds, seconds)] += 1
        total[0] += seconds


class Metrics:
    """Safe to use from any thread; a call costs about a microsecond."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests = Counts()
        self.request_seconds = Histogram(REQUEST_SECONDS)
        self.upstream_calls = Counts()
        self.upstream_seconds = Histogram(UPSTREAM_SECONDS)
        self.refusals = Counts()
        self.streams = Counts()
        self.credits_charged = 0
        self.streams_opened = 0
        self.server: Callable[[], Mapping[str, float]] | None = None
        """What the HTTP server is doing; see relay/http/metrics.py."""

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """One answer. `route`: the template, "?" for a path that is none; for a stream, until its first byte."""
        method = method if method in METHODS else "?"
        with self._lock:
            self.requests.add((route, method, str(status)))
            self.request_seconds.observe((route,), seconds)

    def upstream(self, backend: str, task: str, seconds: float, code: str = "ok") -> None:
        """One call of a backend, without the wait in its line. `code`: "ok", or that of the error."""
        with self._lock:
            self.upstream_calls.add((backend, task, code))
            self.upstream_seconds.observe((backend, task), seconds)

    @contextmanager
    def upstream_call(self, backend: str, task: str) -> Iterator[None]:
        """Around one call of a backend, inside its slot."""
        started, code = time.monotonic(), "ok"
        try:
            yield
        except RelayError as exc:
            code = exc.code
            raise
        except BaseException:
            code = OTHER
            raise
        finally:
            self.upstream(backend, task, time.monotonic() - started, code)

    def refused(self, code: str) -> None:
        """An error left for a caller, with this code of the contract."""
        with self._lock:
            self.refusals.add((code,))

    def charged(self, credits_spent: int) -> None:
        if credits_spent:
            with self._lock:
                self.credits_charged += credits_spent

    def stream_opened(self) -> None:
        with self._lock:
            self.streams_opened += 1

    def stream_ended(self, outcome: str) -> None:
        """`outcome`: "ended" when it came to its end, "cut" when it broke off."""
        with self._lock:
            self.streams.add((outcome,))

    def copy_of(self, counts: Counts) -> dict[Labels, int]:
        with self._lock:
            return dict(counts.values)

    def copy_of_times(self, histogram: Histogram) -> dict[Labels, tuple[list[int], float]]:
        with self._lock:
            return {labels: (list(buckets), total[0]) for labels, (buckets, total) in histogram.values.items()}
