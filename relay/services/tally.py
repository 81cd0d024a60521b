"""What keeps the figures in order: closes hours that are over, notes how long the lines are, forgets old hours."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from relay.books import usage
from relay.domain.instants import utcnow
from relay.ports.storage import Storage
from relay.services.usage import HOURS_KEPT_DAYS


class Tally:
    """`waiting`: how many calls are in line now."""

    def __init__(self, storage: Storage, waiting: Callable[[], int], clock: Callable[[], datetime] = utcnow) -> None:
        self._storage = storage
        self._waiting = waiting
        self._clock = clock

    def round(self) -> None:
        """One round of housekeeping."""
        now = self._clock()
        while self._storage.transact(lambda tx: usage.close_hours(tx, now)):
            pass
        if waiting := self._waiting():
            self._storage.transact(lambda tx: usage.waited(tx, now, waiting))
        before = now - timedelta(days=HOURS_KEPT_DAYS)
        while self._storage.transact(lambda tx: usage.prune_hours(tx, before)):
            pass
