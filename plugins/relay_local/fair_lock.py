"""A lock that the one who has just released it does not win again while another waits."""

from __future__ import annotations

import threading
import time
from types import TracebackType


class FairLock:
    """Whoever wants it waits at the door first: one who comes back finds the door taken by the one who waits inside."""

    def __init__(self) -> None:
        self._door = threading.Lock()
        self._lock = threading.Lock()

    def acquire(self, timeout: float) -> bool:
        """`timeout` in seconds. False when the lock could not be had in that time."""
        end = time.monotonic() + timeout
        if not self._door.acquire(timeout=max(timeout, 0)):
            return False
        try:
            return self._lock.acquire(timeout=max(end - time.monotonic(), 0))
        finally:
            self._door.release()

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> None:
        with self._door:
            self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()
