"""Work beside the calls: one check of a key at a time, a few keys at once, and no more waiting than can be done."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger("relay.keysat")

WORKERS = 4
MAX_WAITING = 1000


@dataclass(slots=True)
class Check:
    """One that waits or runs. `since` on the monotonic clock."""

    work: Callable[[], None]
    since: float = field(default_factory=time.monotonic)
    done: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> None:
        """Until it is done, or is so many seconds old: who comes late does not wait as long."""
        self.done.wait(max(0.0, self.since + seconds - time.monotonic()))


class Checks:
    """Threads are started when there is work and end when there is none, so that nothing has to be closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Check] = {}
        self._waiting: deque[tuple[str, Check]] = deque()
        self._workers = 0

    def start(self, name: str, work: Callable[[], None]) -> Check | None:
        """Have `work` done soon. A check of this name that waits or runs already is joined. None: too many wait, ask
        again later."""
        with self._lock:
            check = self._running.get(name)
            if check is not None:
                return check
            if len(self._waiting) >= MAX_WAITING:
                return None
            check = self._running[name] = Check(work)
            self._waiting.append((name, check))
            if self._workers < WORKERS:
                self._workers += 1
                threading.Thread(target=self._work, name="licence-check", daemon=True).start()
        return check

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._workers -= 1
                    return
                name, check = self._waiting.popleft()
            try:
                check.work()
            except Exception as exc:  # noqa: BLE001 - the thread must live, and whoever waits must be told
                # Not its text and no traceback, which may hold the licence.
                log.error("licence_check_broke", error=type(exc).__name__)  # noqa: TRY400
            with self._lock:
                del self._running[name]
            check.done.set()
