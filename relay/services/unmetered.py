"""Asking backends for the relay itself: in their lines like everybody, and nothing is charged."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from relay.errors import NoBackend, OutcomeUnknown, PluginError, QueueFull, RelayError
from relay.ports.inference import CallContext, InferenceBackend, Task
from relay.services.infer import Infer, worst

log = structlog.get_logger("relay.unmetered")
T = TypeVar("T")
Perform = Callable[[InferenceBackend, CallContext], T]
FAILURES = (PluginError, QueueFull)
"""After these another backend is asked."""


def ask(
    infer: Infer,
    task: Task,
    backend: str | None,
    ctx: CallContext,
    perform: Perform[T],
    *,
    account: str,
    reference: str,
    cost: float = 1.0,
) -> tuple[T, InferenceBackend]:
    """What the first backend that can says, and which that was. `backend`: ask this one only.

    Unlike a caller's question, one whose outcome is unknown may be asked again: it costs nobody a credit. Raises the
    failure that says most; NoBackend when there is none.
    """
    candidates = infer.candidates(task, backend, None)
    if not candidates:
        raise NoBackend(f"no backend here can {task}; enable one in plugins.toml")
    failures: list[RelayError] = []
    for found in infer.breaker.order(candidates):
        try:
            with infer.slots[found.name].hold(ctx, account, cost, reference):
                answer = perform(found, ctx)
        except RelayError as exc:
            if ctx.cancelled.is_set():
                infer.breaker.abandoned(found.name)
                raise
            infer.breaker.failed(found.name, exc)
            if not isinstance(exc, FAILURES) or time.monotonic() >= ctx.deadline:
                raise
            log.warning("backend_failed", backend=found.name, code=exc.code, error=exc.message, reference=reference)
            failures.append(exc)
        else:
            infer.breaker.succeeded(found.name)
            return answer, found
    try:
        raise worst(failures, task)
    finally:
        failures.clear()  # each knows this frame, and the frame them


def patiently(act: Callable[[], T], pauses: Sequence[float], ctx: CallContext) -> T:
    """`act`, tried again after each of the pauses (seconds) while its failure may pass. Raises the last one."""
    for pause in pauses:
        try:
            return act()
        except RelayError as exc:
            ctx.remaining()
            if not (exc.retryable or isinstance(exc, OutcomeUnknown)):
                raise
        ctx.cancelled.wait(pause)
        ctx.remaining()
    return act()
