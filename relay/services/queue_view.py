"""What there is to see of a backend's calls, running and waiting."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds until what runs now is done, and seconds per cost, both with all slots at work."""

    running: float
    per_cost: float

    def wait(self, cost_ahead: float) -> float:
        return self.running + self.per_cost * cost_ahead


@dataclass(frozen=True, slots=True)
class CallView:
    """One call in or before a backend. `position` from 1 is for those who wait; times are seconds."""

    server_job_id: str
    account: str
    state: Literal["running", "waiting"]
    position: int | None
    waited_seconds: float
    running_seconds: float | None
    estimate_seconds: float | None
    cost: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`mean_seconds`: of a call, per cost; None before the first one ended. `estimate_seconds`: how long a chat of
    somebody who has none waiting would wait now. `calls`: the running ones, then those waiting in their order."""

    running: int
    waiting: int
    max_concurrent: int
    queue_size: int
    mean_seconds: float | None
    estimate_seconds: float
    calls: tuple[CallView, ...]

    def view(self) -> dict[str, Any]:
        return asdict(self)
