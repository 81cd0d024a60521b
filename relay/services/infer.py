"""One metered call: pick a backend, hold, wait for a slot, call, settle or release."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from relay.crash import crash_point
from relay.errors import (
    NoBackend,
    NotFound,
    PaymentRequired,
    PluginError,
    QueueFull,
    RelayError,
    Unavailable,
    Unsupported,
    UpstreamFailed,
)
from relay.ports.auth import Identity
from relay.ports.inference import CallContext, InferenceBackend, Task
from relay.services.meter import Call, Meter, Receipt
from relay.services.meter_gemini import COST_CLASS
from relay.services.slots import Slots

log = structlog.get_logger("relay.infer")

Perform = Callable[[InferenceBackend, CallContext], tuple[dict[str, Any], str]]
"""Do the task on this backend; returns the `result` object and the model's name."""

CERTAIN = (Unsupported, Unavailable, UpstreamFailed, QueueFull)
"""Failures after which another backend may be asked: it is certain that no answer is under way."""


@dataclass(frozen=True, slots=True)
class Answer:
    result: dict[str, Any]
    backend: str
    model: str
    call: Call
    receipt: Receipt


class Infer:
    def __init__(
        self,
        meter: Meter,
        backends: dict[str, InferenceBackend],
        routes: dict[Task, tuple[InferenceBackend, ...]],
        max_calls: int,
    ) -> None:
        self._meter = meter
        self._backends = backends
        self._routes = routes
        self._places = threading.BoundedSemaphore(max_calls)
        self._slots = {name: Slots(name, b.max_concurrent, b.queue_size) for name, b in backends.items()}

    def candidates(self, task: Task, backend: str | None, model: str | None) -> list[InferenceBackend]:
        """Who may be asked, in order. NotFound for a backend or model that this relay does not have."""
        if backend is not None:
            found = self._backends.get(backend)
            if found is None or task not in found.tasks:
                raise NotFound(f"no backend {backend!r} for {task} here; see /relay/capabilities")
            route = [found]
        else:
            route = [b for b in self._routes[task] if task in b.tasks]
        if model is None or not route:
            return route
        able = [b for b in route if not (names := b.models(task)) or model in names]
        if not able:
            raise NotFound(f"no model {model!r} for {task} here; see /relay/capabilities")
        return able

    def run(
        self,
        identity: Identity,
        job_name: str | None,
        task: Task,
        candidates: list[InferenceBackend],
        perform: Perform,
        ctx: CallContext,
    ) -> Answer:
        """Charge one credit for one answer, or none for none. Raises the RelayError the caller is told."""
        call = self._meter.begin(identity, job_name, task)
        try:
            result, model, backend = self._within_places(call, candidates, perform, ctx)
        except RelayError as exc:
            self._give_up(call, exc)
            raise
        except BaseException:
            self._give_up(call, None)
            raise
        crash_point("infer.answered")
        receipt = self._meter.settle(call, backend=backend.name, model=model, cost_class=backend.cost_class)
        return Answer(result, backend.name, model, call, receipt)

    def _give_up(self, call: Call, error: RelayError | None) -> None:
        try:
            self._meter.release(call, error)
        except RelayError as exc:
            log.warning("release_failed", job=call.job_id, error=exc.message, note="the sweep gives the credit back")

    def _within_places(
        self, call: Call, candidates: list[InferenceBackend], perform: Perform, ctx: CallContext
    ) -> tuple[dict[str, Any], str, InferenceBackend]:
        if not self._places.acquire(blocking=False):
            raise QueueFull("this relay is busy with other calls; try again", retry_after=2)
        try:
            return self._first_answer(call, candidates, perform, ctx)
        finally:
            self._places.release()

    def _first_answer(
        self, call: Call, candidates: list[InferenceBackend], perform: Perform, ctx: CallContext
    ) -> tuple[dict[str, Any], str, InferenceBackend]:
        failures: list[RelayError] = []
        for backend in candidates:
            if backend.cost_class == COST_CLASS and not self._meter.claim_gemini(call):
                failures.append(gemini_spent())
                continue
            try:
                with self._slots[backend.name].hold(ctx):
                    crash_point("infer.calling")
                    result, model = perform(backend, ctx)
            except CERTAIN as exc:
                ctx.remaining()
                log.warning("backend_failed", backend=backend.name, code=exc.code, error=exc.message, job=call.job_id)
                failures.append(exc)
            else:
                return result, model, backend
        raise worst(failures, call.task)


def gemini_spent() -> PaymentRequired:
    return PaymentRequired(
        "the gemini calls of your tier are used up, and there is no purchased credit to use instead",
        code="gemini_limit_reached",
        details={"needed": 1, "available": 0, "checkout_path": "/relay/credits/checkout"},
    )


def worst(failures: list[RelayError], task: str) -> RelayError:
    """The failure that helps the caller most: a real one before "cannot do that", the first one asked first."""
    real = [failure for failure in failures if not isinstance(failure, Unsupported)]
    if real:
        return real[0]
    why = [failure.message for failure in failures if isinstance(failure, PluginError)]
    return NoBackend(
        f"no backend here can do this {task} call now" + (f": {'; '.join(why)}" if why else ""),
        details={"reasons": why},
    )
