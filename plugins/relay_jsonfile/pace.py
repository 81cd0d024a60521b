"""Giving way: work in the background takes a share of one CPU, in small pieces."""

from __future__ import annotations

import time

REST = 2.0
"""So many times as long as the last piece took."""
LONGEST_REST = 0.05


class Pace:
    """Call it between small pieces of work. `rest`: 0 for work that somebody waits for."""

    def __init__(self, rest: float = REST) -> None:
        self._rest = rest
        self._since = time.perf_counter()

    def __call__(self) -> None:
        if self._rest:
            took = time.perf_counter() - self._since
            time.sleep(min(LONGEST_REST, took * self._rest))
            self._since = time.perf_counter()
