"""The calls that somebody waits for at this moment, for the operator to look at and to end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from relay.domain.instants import utcnow
from relay.ports.inference import CallContext
from relay.services.meter import Call
from relay.services.slots import Place


@dataclass(slots=True)
class RunningCall:
    """`backend`, `place`: whom it asks now, and its place there; "" and None before the first."""

    call: Call
    ctx: CallContext
    since: datetime = field(default_factory=utcnow)
    backend: str = ""
    place: Place | None = None

    @property
    def waits(self) -> bool:
        """Whether it stands in a backend's line."""
        return self.place is not None and not self.place.started


class RunningCalls:
    """As many as there are threads for calls, at most. Safe between threads: each step is one change of a dict."""

    def __init__(self) -> None:
        self._calls: dict[str, RunningCall] = {}

    @contextmanager
    def shown(self, call: Call, ctx: CallContext) -> Iterator[None]:
        self._calls[call.id] = RunningCall(call, ctx)
        try:
            yield
        finally:
            del self._calls[call.id]

    def asks(self, call: Call, backend: str, place: Place) -> None:
        """From here on it waits for this backend. Nothing happens for a job in the background, which is not here."""
        running = self._calls.get(call.id)
        if running is not None:
            running.backend, running.place = backend, place

    def all(self) -> list[RunningCall]:
        """The oldest first."""
        return list(self._calls.values())

    def of_job(self, job_id: str) -> list[RunningCall]:
        return [running for running in self.all() if running.call.job_id == job_id]
