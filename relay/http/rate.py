"""How many requests a caller may send in a minute, at a price that does not grow with the callers ever seen."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

MINUTE = 60.0


class PerMinute:
    """At most `limit` hits of one caller in any 60 seconds. Callers that were idle for that long are forgotten.

    `limit` (at least 1) may be changed at any time."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._hits: OrderedDict[str, deque[float]] = OrderedDict()
        """The caller of the newest hit last."""
        self._lock = threading.Lock()

    def hit(self, caller: str) -> int:
        """0 and it is counted; or the seconds until there is room, and it is not."""
        now = self._clock()
        with self._lock:
            self._forget(now)
            hits = self._hits.get(caller)
            if hits is None:
                hits = self._hits[caller] = deque()
            while hits and hits[0] <= now - MINUTE:
                hits.popleft()
            if len(hits) >= self.limit:
                return max(1, math.ceil(hits[len(hits) - self.limit] + MINUTE - now))
            hits.append(now)
            self._hits.move_to_end(caller)
            return 0

    def _forget(self, now: float) -> None:
        """Two for each hit: they go faster than they come."""
        for _ in range(2):
            if not self._hits:
                return
            caller, hits = next(iter(self._hits.items()))
            if hits and hits[-1] > now - MINUTE:
                return
            del self._hits[caller]
