"""What happened in an hour or a day, in figures that can be added up.

Nothing here knows an account or a key. Names (tasks, backends, error codes, currencies) are bounded per row.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from msgspec import Struct, structs

BOUNDS_MS = (100, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_200_000)
"""Upper ends of the buckets of `times`; the last bucket is above all of them. Rows on disk are counted by these."""
MAX_NAMES = 64
OTHER = "other"
NO_TIMES = [0] * (len(BOUNDS_MS) + 1)

Names = dict[str, int]


class Usage(Struct, omit_defaults=True, gc=False):
    """Sums over a time. A new one is all zeros.

    `calls`: calls that ended; of them `failed` without an answer (by code in `errors`), `free` with an answer that cost
    nothing. `tasks`, `backends`: calls by task, answers by who gave them. `audio_ms`: length of answered recordings.
    `times`: how long answers took, in the buckets of BOUNDS_MS; for calls that somebody waited for.
    `charged`, `refunded`, `granted`, `sold`, `reversed`: credits, as their ledger entries add up. `owed`: credits taken
    back that had been spent, less those forgiven. `orders`: fulfilled ones. `money`, `money_back`: what they cost and
    what was taken back, by currency, in smallest units. `stored`: bytes added to the output store, less those removed.
    """

    calls: int = 0
    failed: int = 0
    free: int = 0
    charged: int = 0
    refunded: int = 0
    granted: int = 0
    sold: int = 0
    reversed: int = 0
    owed: int = 0
    audio_ms: int = 0
    queue_max: int = 0
    new_accounts: int = 0
    orders: int = 0
    stored: int = 0
    tasks: Names = {}
    backends: Names = {}
    errors: Names = {}
    money: Names = {}
    money_back: Names = {}
    times: list[int] = []

    def took(self, ms: int) -> None:
        """One answer's time."""
        if not self.times:
            self.times = list(NO_TIMES)
        self.times[bisect_left(BOUNDS_MS, ms)] += 1

    def add(self, more: Usage) -> None:
        """The sum of both; `queue_max` is the greater one."""
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(more, name))
        self.queue_max = max(self.queue_max, more.queue_max)
        for name in TABLES:
            mine = getattr(self, name)
            for key, n in getattr(more, name).items():
                count(mine, key, n)
        if more.times:
            mine = self.times or NO_TIMES
            self.times = [a + b for a, b in zip(mine, more.times, strict=True)]


TABLES = ("tasks", "backends", "errors", "money", "money_back")
SUMS = tuple(name for name in structs.asdict(Usage()) if name not in {*TABLES, "queue_max", "times"})


def count(names: Names, name: str, n: int = 1) -> None:
    """Add under a name; one too many is counted as OTHER, so that no caller can fill a row with names."""
    if name not in names and len(names) >= MAX_NAMES:
        name = OTHER
    names[name] = names.get(name, 0) + n


def total(rows: Iterable[Usage]) -> Usage:
    whole = Usage()
    for row in rows:
        whole.add(row)
    return whole


def quantile(times: Sequence[int], q: float) -> int | None:
    """The time in ms under which a share `q` of the answers stayed, within a bucket by proportion; None without any."""
    wanted, below = q * sum(times), 0
    if not wanted:
        return None
    for number, n in enumerate(times):
        if n and below + n >= wanted:
            low = BOUNDS_MS[number - 1] if number else 0
            high = BOUNDS_MS[number] if number < len(BOUNDS_MS) else low
            return round(low + (high - low) * (wanted - below) / n)
        below += n
    return BOUNDS_MS[-1]
