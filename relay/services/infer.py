"""One metered call: pick a backend, hold, wait for a slot, call, settle or release."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from relay.crash import crash_point
from relay.domain.instants import utcnow
from relay.domain.jobs import Attempt
from relay.errors import (
    NoBackend,
    NoSuchModel,
    NotFound,
    PaymentRequired,
    PluginError,
    QueueFull,
    RelayError,
    Unavailable,
    Unsupported,
    UpstreamFailed,
    boundary,
)
from relay.ports.inference import CallContext, ChatRequest, Delta, InferenceBackend, Task
from relay.ports.storage import Tx
from relay.services.breaker import Breaker
from relay.services.meter import AlsoSettled, Call, Meter, Receipt
from relay.services.meter_gemini import COST_CLASS
from relay.services.metrics import Metrics
from relay.services.outputs import Outputs
from relay.services.running_calls import RunningCalls
from relay.services.slots import Place, Slots
from relay.services.tasks import Result, open_chat

log = structlog.get_logger("relay.infer")

T = TypeVar("T")
Perform = Callable[[InferenceBackend, CallContext], T]
"""Do something on this backend."""

CERTAIN = (Unsupported, Unavailable, UpstreamFailed, QueueFull)
"""Failures after which another backend may be asked: it is certain that no answer is under way."""


@dataclass(frozen=True, slots=True)
class Done:
    """`result`: the contract's object."""

    result: dict[str, Any]
    model: str
    backend: InferenceBackend


@dataclass(slots=True)
class Stream:
    """An answer that comes in pieces, paid before the first of them leaves. Iterate it once, then `close` it.

    `begun`: the first pieces, which have come already; `rest`: those to come. `places`: what it occupies till then.
    `answered`: to be told the result once it is complete.
    """

    call: Call
    backend: InferenceBackend
    begun: list[Delta]
    rest: Iterator[Delta]
    places: ExitStack
    answered: Callable[[dict[str, Any]], None] = lambda _result: None
    receipt: Receipt | None = None
    complete: bool = False

    def __iter__(self) -> Iterator[Delta]:
        yield from self.begun
        with boundary(self.backend.name):
            yield from self.rest
        self.complete = True

    def close(self) -> None:
        """Drop what has not come yet and give the places back. Calling it twice is harmless."""
        try:
            close = getattr(self.rest, "close", None)
            if close is not None:
                close()
        finally:
            self.places.close()


class Infer:
    def __init__(
        self,
        meter: Meter,
        backends: dict[str, InferenceBackend],
        routes: dict[Task, tuple[InferenceBackend, ...]],
        max_calls: int,
        metrics: Metrics,
        outputs: Outputs,
    ) -> None:
        self._meter = meter
        self._outputs = outputs
        self._metrics = metrics
        self._backends = backends
        self._routes = routes
        self._places = threading.BoundedSemaphore(max_calls)
        self._listeners = threading.BoundedSemaphore(max(1, max_calls // 4))
        self.slots = {name: Slots(name, b.max_concurrent, b.queue_size) for name, b in backends.items()}
        self.breaker = Breaker(list(backends))
        self.running = RunningCalls()

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
        listed = {b.name: b.models(task) for b in route}
        # Who lists nothing may have it, which is worth a try only where nobody is known to.
        having = [b for b in route if model in listed[b.name]] or [b for b in route if not listed[b.name]]
        if not having:
            raise NotFound(f"no model {model!r} for {task} here; see /relay/capabilities"[:300])
        return having

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of the server's threads for something that lasts. Raises QueueFull when none may be taken."""
        if not self._places.acquire(blocking=False):
            raise QueueFull("this relay is busy with other calls; try again", retry_after=2)
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def listener(self) -> Iterator[None]:
        """A place for somebody who only listens: a quarter of them at most. Raises QueueFull."""
        if not self._listeners.acquire(blocking=False):
            raise QueueFull("too many listen to jobs already; ask for the job itself now and then", retry_after=10)
        try:
            with self.place():
                yield
        finally:
            self._listeners.release()

    def run(
        self,
        call: Call,
        candidates: Sequence[InferenceBackend],
        perform: Perform[Result],
        ctx: CallContext,
        settling: Callable[[Done], AlsoSettled | None] = lambda _done: None,
    ) -> tuple[Done, Receipt]:
        """Charge one credit for one answer, or none for none. Raises the RelayError the caller is told.

        `settling` sees the answer before it is charged and may add to that transaction.
        """
        with self.released(call):
            with self.place(), self.running.shown(call, ctx):
                done = self.answer(call, candidates, perform, ctx)
            crash_point("infer.answered")
            also = _both(settling(done), self._outputs.prepare(call, done.result))
        return done, self._settle(call, done.backend, done.model, also)

    def stream(
        self,
        call: Call,
        candidates: Sequence[InferenceBackend],
        request: ChatRequest,
        ctx: CallContext,
        also: AlsoSettled | None = None,
    ) -> Stream:
        """Charge as soon as the first piece of the answer is here; the rest of it is the caller's to take."""
        with self.released(call), ExitStack() as places:
            places.enter_context(self.place())
            places.enter_context(self.running.shown(call, ctx))
            stream = self._open(call, candidates, request, ctx)
            places.push(stream.places)
            stream.places = places.pop_all()
        crash_point("infer.answered")
        model = next((delta.model for delta in stream.begun if delta.model), request.model or "")
        try:
            stream.receipt = self._settle(call, stream.backend, model, also)
        except BaseException:
            stream.close()
            raise
        stream.answered = lambda result: self._outputs.keep(call, result)
        self._metrics.stream_opened()
        stream.places.callback(lambda: self._metrics.stream_ended("ended" if stream.complete else "cut"))
        return stream

    def answer(
        self,
        call: Call,
        candidates: Sequence[InferenceBackend],
        perform: Perform[Result],
        ctx: CallContext,
    ) -> Done:
        """The first answer of the candidates, charging nothing. Raises the failure that helps the caller most."""

        def ask(backend: InferenceBackend) -> Done:
            with self._slot(call, backend, ctx):
                crash_point("infer.calling")
                with self._metrics.upstream_call(backend.name, call.task):
                    result, model = perform(backend, ctx)
            return Done(result, model, backend)

        return self._first(call, candidates, ask, ctx)

    def _open(
        self, call: Call, candidates: Sequence[InferenceBackend], request: ChatRequest, ctx: CallContext
    ) -> Stream:
        def ask(backend: InferenceBackend) -> Stream:
            with ExitStack() as slot:
                slot.enter_context(self._slot(call, backend, ctx))
                crash_point("infer.calling")
                with self._metrics.upstream_call(backend.name, call.task):
                    begun, rest = open_chat(backend, request, ctx)
                return Stream(call, backend, begun, rest, slot.pop_all())

        return self._first(call, candidates, ask, ctx)

    def _slot(self, call: Call, backend: InferenceBackend, ctx: CallContext) -> Place:
        place = self.slots[backend.name].hold(ctx, call.identity.account, call.cost, call.job_id)
        self.running.asks(call, backend.name, place)
        return place

    def _first(
        self,
        call: Call,
        candidates: Sequence[InferenceBackend],
        ask: Callable[[InferenceBackend], T],
        ctx: CallContext,
    ) -> T:
        failures: list[RelayError] = []
        for backend in self.breaker.order(candidates):
            if backend.cost_class == COST_CLASS and not self._meter.claim_gemini(call):
                # It may have been this call's to find out whether the backend is well again.
                self.breaker.abandoned(backend.name)
                failures.append(gemini_spent())
                continue
            at, started = utcnow(), time.monotonic()
            try:
                answer = ask(backend)
            except RelayError as exc:
                call.attempts.append(Attempt(backend.name, at, elapsed(started), exc.code))
                if ctx.cancelled.is_set() or ctx.gone():
                    self.breaker.abandoned(backend.name)
                    raise
                self.breaker.failed(backend.name, exc)
                if not isinstance(exc, CERTAIN):
                    raise
                log.warning("backend_failed", backend=backend.name, code=exc.code, error=exc.message, job=call.job_id)
                failures.append(exc)
                if time.monotonic() >= ctx.deadline:
                    break
            else:
                call.attempts.append(Attempt(backend.name, at, elapsed(started)))
                self.breaker.succeeded(backend.name)
                return answer
        try:
            raise worst(failures, call.task)
        finally:
            failures.clear()  # each knows this frame, and the frame them: a circle that would hold the whole call

    def _settle(self, call: Call, backend: InferenceBackend, model: str, also: AlsoSettled | None) -> Receipt:
        return self._meter.settle(call, backend=backend.name, model=model, cost_class=backend.cost_class, also=also)

    @contextmanager
    def released(self, call: Call) -> Iterator[None]:
        """Whatever is raised inside gives the call's hold back."""
        try:
            yield
        except BaseException as exc:
            self._give_up(call, exc if isinstance(exc, RelayError) else None)
            raise

    def _give_up(self, call: Call, error: RelayError | None) -> None:
        try:
            self._meter.release(call, error)
        except RelayError as exc:
            log.warning("release_failed", job=call.job_id, error=exc.message, note="the sweep gives the credit back")


def _both(also: AlsoSettled | None, keep: Callable[[Tx], None] | None) -> AlsoSettled | None:
    if keep is None:
        return also

    def both(tx: Tx, receipt: Receipt) -> None:
        keep(tx)
        if also is not None:
            also(tx, receipt)

    return both


def elapsed(started: float) -> int:
    return int((time.monotonic() - started) * 1000)


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
    if failures and all(isinstance(failure, NoSuchModel) for failure in failures):
        return NotFound("; ".join(failure.message for failure in failures)[:300])
    why = [failure.message for failure in failures if isinstance(failure, PluginError)]
    return NoBackend(
        f"no backend here can do this {task} call now" + (f": {'; '.join(why)}" if why else ""),
        details={"reasons": why},
    )
