"""Accepting a job: the credit first, then a place in the line, then everything on disk in one transaction."""

from __future__ import annotations

import io
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from relay.books import holds, work
from relay.crash import crash_point
from relay.domain.work import Work, owner_of
from relay.errors import Conflict, NoBackend, QueueFull
from relay.ports.auth import Identity
from relay.ports.storage import Storage, Tx
from relay.services.infer import Infer
from relay.services.jobs import orders
from relay.services.jobs.line import Line, LineFull
from relay.services.jobs.orders import Order
from relay.services.jobs.runner import Runner
from relay.services.jobs.running import RunningJob
from relay.services.jobs.view import work_view
from relay.services.meter import Call, Meter

GUESS_SECONDS = 30.0
"""How long a job takes, as long as none has ended."""


@dataclass(frozen=True, slots=True)
class Upload:
    """The recording that came along; it is copied."""

    path: Path
    filename: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """`secret` signs the callback; "" without one. `credits`: what is left, in the contract's shape."""

    job: dict[str, Any]
    secret: str
    credits: dict[str, Any]


Accepting = Callable[[Accepted], Callable[[Tx], None] | None]
"""Sees what will be answered before it is true; what it returns is part of the transaction that makes it true."""


@dataclass(frozen=True, slots=True)
class Desk:
    storage: Storage
    meter: Meter
    infer: Infer
    line: Line
    running: dict[str, RunningJob]
    runner: Runner
    workers: int
    clock: Callable[[], datetime]
    entering: threading.Lock
    """Held while a job that is on disk gets into memory, or one that was cancelled out of it."""

    def submit(
        self, identity: Identity, name: str | None, order: Order, upload: Upload | None, accepting: Accepting
    ) -> Accepted:
        """Raises NotFound, PaymentRequired, NoBackend; what `Meter.begin` raises or Conflict (job_running); QueueFull.

        Until the job is on disk the hold is this process's: a crash before that gives it back.
        """
        routed = [(task, self.infer.candidates(task, backend, model)) for task, backend, model in orders.routed(order)]
        for task, candidates in routed:
            if not candidates:
                self.meter.check(identity, name)
                raise NoBackend(f"no backend here can {task}; see /relay/capabilities")
        call = self.meter.begin(identity, name, orders.task_of(order), also=refuse_running)
        with self.infer.released(call):
            position = self._reserve(identity.account)
            try:
                row, accepted, also = self._prepare(call, order, upload, position, accepting)
                self.storage.transact(lambda tx: _accept(tx, call, row, also))
            except BaseException:
                self.line.give_up(identity.account)
                raise
        crash_point("jobs.accepted")
        with self.entering:
            # It may have been cancelled since, and the next job of this id may be here already.
            now = self.storage.read(lambda tx: work.get(tx, call.job_id))
            if now is None or now.ended or now.call != call.id:
                self.line.give_up(identity.account)
            else:
                self.running[call.job_id] = RunningJob(call.job_id, row)
                self.line.put(identity.account, call.job_id)
        return accepted

    def _prepare(
        self, call: Call, order: Order, upload: Upload | None, position: int, accepting: Accepting
    ) -> tuple[Work, Accepted, Callable[[Tx], None] | None]:
        row = self._row(call, order)
        row.request = self.storage.put_blob(io.BytesIO(msgspec.json.encode(order)))
        if upload is not None:
            row.filename = upload.filename
            with upload.path.open("rb") as file:
                row.upload = self.storage.put_blob(file)
        crash_point("jobs.stored")
        view = work_view(call.job_id, row, None) | {"position": position}
        left = self.meter.read(call.identity)
        del left["subscription_expires_at"]
        accepted = Accepted(view, row.callback_secret, {"charged": 0} | left)
        return row, accepted, accepting(accepted)

    def _row(self, call: Call, order: Order) -> Work:
        who = call.identity
        identity = {
            "strategy": who.strategy,
            "tier": who.tier,
            "allowance": who.allowance,
            "credential": who.credential,
        }
        task = orders.task_of(order)
        row = Work(who.account, call.job_name, task, call.id, identity, self.clock(), open_at=time.time_ns())
        if order.callback_url is not None:
            row.callback_url, row.callback_secret = order.callback_url, f"rcs_{secrets.token_urlsafe(32)}"
        return row

    def _reserve(self, account: str) -> int:
        try:
            return self.line.reserve(account)
        except LineFull as exc:
            seconds = exc.position * (self.runner.mean_seconds or GUESS_SECONDS) / self.workers
            raise QueueFull(
                "too many jobs wait already, of yours or of everybody; try again when some have ended",
                details={"position": exc.position, "estimate_seconds": round(seconds)},
                retry_after=int(min(max(seconds, 5), 600)),
            ) from None


def refuse_running(tx: Tx, call: Call) -> None:
    """Part of `begin`. Raises Conflict when the job is in the background already."""
    row = work.get(tx, call.job_id)
    if row is not None and not row.ended:
        raise Conflict(
            f"job {call.job_name} has not ended; see /relay/jobs/{call.job_id}, cancel it, or start a new job id",
            code="job_running",
        )


def _accept(tx: Tx, call: Call, row: Work, also: Callable[[Tx], None] | None) -> None:
    """From here on the job answers for the hold, whatever becomes of this process."""
    refuse_running(tx, call)
    work.put(tx, call.job_id, row)
    hold = holds.get(tx, call.job_id)
    if hold is not None and call.id in hold.calls:
        hold.calls[call.id] = owner_of(call.job_id)
        holds.put(tx, hold)
    if also is not None:
        also(tx)
