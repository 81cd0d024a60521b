"""Who is next: a line that is fair across accounts, by deficit round robin.

Accounts take turns in a ring. A turn adds one to what an account has saved up; when that reaches the cost of its
oldest entry, the entry is served. So an account with one entry waits for one turn of each of the others, however
many entries they have, and an entry that costs ten takes ten turns. Within an account it is first come first served.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar


class Waiting(Protocol):
    @property
    def account(self) -> str: ...

    @property
    def cost(self) -> float:
        """At least 1."""


W = TypeVar("W", bound=Waiting)


@dataclass(slots=True)
class _Account(Generic[W]):
    saved: float = 0.0
    entries: deque[W] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class _Newcomer:
    account: str
    cost: float


class FairLine(Generic[W]):
    """Not thread-safe: the owner has the lock. `pop` looks at each waiting account three times at most."""

    def __init__(self) -> None:
        self._ring: OrderedDict[str, _Account[W]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def of(self, account: str) -> int:
        """How many entries of this account wait."""
        waiting = self._ring.get(account)
        return len(waiting.entries) if waiting else 0

    def push(self, entry: W) -> None:
        waiting = self._ring.get(entry.account)
        if waiting is None:
            waiting = self._ring[entry.account] = _Account()
        waiting.entries.append(entry)
        self._length += 1

    def pop(self) -> W:
        """Serve the next entry. Raises IndexError when nobody waits."""
        if not self._ring:
            raise IndexError("nobody waits")
        while True:
            for _ in range(len(self._ring)):
                account, waiting = next(iter(self._ring.items()))
                self._ring.move_to_end(account)
                waiting.saved += 1
                if waiting.saved >= waiting.entries[0].cost:
                    return self._serve(account, waiting)
            self._skip_idle_rounds()

    def _skip_idle_rounds(self) -> None:
        """Whole rounds in which nobody could be served yet are taken in one step."""
        idle = min(math.ceil(waiting.entries[0].cost - waiting.saved) for waiting in self._ring.values()) - 1
        for waiting in self._ring.values():
            waiting.saved += idle

    def _serve(self, account: str, waiting: _Account[W]) -> W:
        entry = waiting.entries.popleft()
        waiting.saved -= entry.cost
        if not waiting.entries:
            del self._ring[account]
        self._length -= 1
        return entry

    def remove(self, entry: W) -> None:
        """Take an entry out that waits no more. Raises ValueError when it is not in line."""
        waiting = self._ring.get(entry.account)
        if waiting is None:
            raise ValueError("not in line")
        oldest = waiting.entries[0]
        waiting.entries.remove(entry)
        self._length -= 1
        if not waiting.entries:
            del self._ring[entry.account]
        elif entry is oldest:
            # Else one could save up with an entry that is never meant to be served.
            waiting.saved = 0.0

    def copy(self) -> FairLine[W]:
        twin: FairLine[W] = FairLine()
        twin._length = self._length
        for account, waiting in self._ring.items():
            twin._ring[account] = _Account(waiting.saved, waiting.entries.copy())
        return twin

    def in_order(self) -> Iterator[W]:
        """Everybody in the order in which they will be served if nobody comes or leaves."""
        twin = self.copy()
        while twin:
            yield twin.pop()

    def outlook(self, account: str, cost: float) -> tuple[int, float]:
        """What an entry would have if it came now: its position, from 1, and the cost of all before it."""
        twin: FairLine[Any] = self.copy()
        newcomer = _Newcomer(account, cost)
        twin.push(newcomer)
        position, ahead = 1, 0.0
        while (entry := twin.pop()) is not newcomer:
            position += 1
            ahead += entry.cost
        return position, ahead
