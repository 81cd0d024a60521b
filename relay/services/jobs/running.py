"""A job that has not ended, as this process sees it: how far it is, and who waits to hear of it."""

from __future__ import annotations

import threading
from datetime import datetime

from relay.domain.work import State, Work, owner_of
from relay.ports.auth import Identity
from relay.ports.inference import CallContext
from relay.services.meter import Call


class RunningJob:
    """Waits in the line, then runs. `version` grows with every change."""

    def __init__(self, job_id: str, work: Work) -> None:
        self.id = job_id
        self.account = work.account
        self.call = call_of(job_id, work)
        self.state: State = work.state
        self.progress = 0.0
        self.created_at = work.created_at
        self.started_at: datetime | None = work.started_at
        self.version = 0
        self.over = False
        self._ctx: CallContext | None = None
        self._changed = threading.Condition()

    def begin(self, ctx: CallContext) -> bool:
        """From here on `cancel` reaches `ctx`. False when it was cancelled before, or runs already."""
        with self._changed:
            if self.over or self._ctx is not None:
                return False
            self._ctx = ctx
            return True

    def processing(self, started_at: datetime | None) -> None:
        with self._changed:
            self.state, self.started_at = "processing", started_at
            self._tell()

    def advance(self, fraction: float) -> None:
        """Progress goes forward only, and in hundredths, so that listeners hear of it a hundred times at most."""
        fraction = round(min(fraction, 1.0), 2) if fraction == fraction else 0.0  # noqa: PLR0124 - not a number
        with self._changed:
            if fraction > self.progress:
                self.progress = fraction
                self._tell()

    def cancel(self) -> None:
        """End whatever it does now, at once."""
        with self._changed:
            self.over = True
            ctx = self._ctx
        if ctx is not None:
            ctx.cancel()

    def end(self, state: State) -> None:
        """Tell those who wait."""
        with self._changed:
            self.over = True
            self.state = state
            self._tell()

    def wait(self, seen: int, timeout: float) -> int:
        """The version, as soon as it is another one than `seen`, or after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.version != seen, timeout)
            return self.version

    def _tell(self) -> None:
        self.version += 1
        self._changed.notify_all()


def call_of(job_id: str, work: Work) -> Call:
    """The metered call of the job, made again from its row."""
    identity = Identity(work.account, **work.who)
    return Call(work.call, identity, job_id, work.name, work.task, owner_of(job_id))


def forget(running: dict[str, RunningJob], job: RunningJob) -> None:
    """It has ended. Under the same id another run may have begun by now: that one stays."""
    if running.get(job.id) is job:
        del running[job.id]
