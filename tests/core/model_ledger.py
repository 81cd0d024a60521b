"""What the books must do, as plainly as it can be said: the oracle of `test_books_model.py`."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

MONTH = timedelta(days=30)
CORE, PRO = 3, 4


@dataclass
class Model:
    core_used: int = 0
    core_closed: bool = False
    pro_until: datetime | None = None
    pro: bool = False
    month: datetime | None = None
    month_used: int = 0
    bought: int = 0
    holds: dict[str, tuple[str, datetime | None, set[str]]] = field(default_factory=dict)
    paid: dict[str, tuple[str, datetime | None]] = field(default_factory=dict)

    def tick(self, now: datetime) -> None:
        if self.pro and self.pro_until is not None and now >= self.pro_until:
            self.pro, self.pro_until = False, None
        if self.pro and self.month is not None and now >= self.month + MONTH:
            self.month += (now - self.month) // MONTH * MONTH
            self.month_used = 0

    def left(self) -> int:
        if self.pro:
            return max(0, PRO - self.month_used)
        return 0 if self.core_closed else max(0, CORE - self.core_used)

    def move(self, bucket: str, month: datetime | None, amount: int) -> None:
        if bucket == "core":
            self.core_used += amount
        elif bucket == "bought":
            self.bought -= amount
        elif month == self.month:
            self.month_used += amount

    def begin(self, job: str, call: str) -> bool:
        if job in self.paid:
            return True
        if job not in self.holds:
            bucket = ("pro" if self.pro else "core") if self.left() else "bought" if self.bought else None
            if bucket is None:
                return False
            self.move(bucket, self.month, 1)
            self.holds[job] = (bucket, self.month, set())
        self.holds[job][2].add(call)
        return True

    def settle(self, job: str, call: str) -> int:
        if job not in self.holds or call not in self.holds[job][2]:
            return 0
        bucket, month, _ = self.holds.pop(job)
        self.paid[job] = (bucket, month)
        return 1

    def release(self, job: str, call: str) -> None:
        if job in self.holds and call in self.holds[job][2]:
            bucket, month, calls = self.holds[job]
            calls.discard(call)
            if not calls:
                del self.holds[job]
                self.move(bucket, month, -1)

    def refund(self, job: str) -> None:
        bucket, month = self.paid.pop(job)
        gone = (bucket == "pro" and month != self.month) or (bucket == "core" and self.core_closed)
        self.move("bought" if gone else bucket, month, -1)

    def to_pro(self, now: datetime, until: datetime | None, *, fresh: bool) -> None:
        if not self.pro:
            self.bought += 0 if fresh or self.core_closed else self.left()
            self.core_closed, self.pro, self.month, self.month_used = True, True, now, 0
        self.pro_until = until
