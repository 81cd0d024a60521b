"""Wrong passwords: limited per address, slowed down over all of them, and noted without letting anybody fill the disk.

None of this touches a session that is logged in.
"""

from __future__ import annotations

import threading

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from relay.books import audit
from relay.errors import TooMany
from relay.ports.storage import Storage

PER_ADDRESS: RateLimitItem = RateLimitItemPerMinute(10)
OVERALL: RateLimitItem = RateLimitItemPerMinute(60)
"""Past this many wrong ones, whoever sent them, passwords are tried at the pace of SLOW."""
SLOW: RateLimitItem = RateLimitItemPerSecond(1, 2)
NOTED: RateLimitItem = RateLimitItemPerHour(20)
"""Lines of the audit log; the next one says how many tries it stands for."""


class Attempts:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._lock = threading.Lock()
        self._unnoted = 0

    def admit(self, address: str) -> None:
        """Before a password is tried. Raises TooMany."""
        if not self._limiter.test(PER_ADDRESS, address):
            raise TooMany("too many wrong passwords from this address; wait a minute", retry_after=60)
        if not self._limiter.test(OVERALL, "all") and not self._limiter.hit(SLOW, "slow"):
            raise TooMany("too many wrong passwords from everywhere; try again in a few seconds", retry_after=2)

    def wrong(self, address: str, action: str) -> None:
        self._limiter.hit(PER_ADDRESS, address)
        self._limiter.hit(OVERALL, "all")
        with self._lock:
            self._unnoted += 1
            if not self._limiter.hit(NOTED, "noted"):
                return
            tries, self._unnoted = self._unnoted, 0
        self._storage.transact(
            lambda tx: audit.record(tx, "nobody", action, after={"attempts": tries}, address=address)
        )
