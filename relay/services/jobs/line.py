"""The line of jobs that wait for a worker: fair across accounts, bounded in all and per account."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass

from relay.services.fair_line import FairLine

WAKE_SECONDS = 5.0


class LineFull(Exception):
    """`position`: the place the job would have had."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    account: str
    job: str
    cost: float = 1.0


class Line:
    """Safe between threads."""

    def __init__(self, limit: int, per_account: int) -> None:
        self._limit = limit
        self._per_account = per_account
        self._waiting: FairLine[_Entry] = FairLine()
        self._entries: dict[str, _Entry] = {}
        self._reserved: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._closed = False

    def reserve(self, account: str) -> int:
        """A place for a job that is not ready yet, for `put` to use or `give_up` to return; its position by now.

        Raises LineFull.
        """
        with self._changed:
            position, _ = self._waiting.outlook(account, 1.0)
            own = self._waiting.of(account) + self._reserved[account]
            everybody = len(self._waiting) + self._reserved.total()
            if own >= self._per_account or everybody >= self._limit:
                raise LineFull(position)
            self._reserved[account] += 1
            return position

    def give_up(self, account: str) -> None:
        with self._changed:
            self._unreserve(account)

    def put(self, account: str, job: str) -> None:
        """Use a reserved place."""
        with self._changed:
            self._unreserve(account)
            self._push(account, job)

    def restore(self, account: str, job: str) -> None:
        """A job that had its place before a restart: it comes in whatever the limits."""
        with self._changed:
            self._push(account, job)

    def take(self) -> str | None:
        """The next job, as soon as there is one; None once the line is closed."""
        with self._changed:
            while not self._closed and not self._waiting:
                self._changed.wait(WAKE_SECONDS)
            if self._closed:
                return None
            entry = self._waiting.pop()
            self._entries.pop(entry.job, None)
            return entry.job

    def remove(self, job: str) -> None:
        """Harmless when it does not wait any more."""
        with self._changed:
            entry = self._entries.pop(job, None)
            if entry is not None:
                self._waiting.remove(entry)

    def positions(self) -> dict[str, int]:
        """The place of every waiting job, 1 for the next."""
        with self._changed:
            return {entry.job: place for place, entry in enumerate(self._waiting.in_order(), 1)}

    def close(self) -> None:
        """Nobody gets a job any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _push(self, account: str, job: str) -> None:
        before = self._entries.pop(job, None)
        if before is not None:
            self._waiting.remove(before)
        entry = self._entries[job] = _Entry(account, job)
        self._waiting.push(entry)
        self._changed.notify()

    def _unreserve(self, account: str) -> None:
        self._reserved[account] -= 1
        if not self._reserved[account]:
            del self._reserved[account]
