"""What all metered calls share: claim the key, hold, call, settle, answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import falcon
import msgspec

from relay.http.callers import Callers
from relay.http.context import elapsed_ms
from relay.http.idempotency import claim, replay
from relay.http.streams import Copy, EventStream, Frames
from relay.ports.auth import Identity
from relay.ports.inference import CallContext, ChatRequest, Task
from relay.ports.storage import Tx
from relay.services.core import Core
from relay.services.idempotency import Replay, Ticket
from relay.services.infer import Done, Perform
from relay.services.meter import AlsoSettled, Call, Inputs, Receipt
from relay.services.tasks import Result

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Ask:
    """One call as it was understood. `meaning`: its body, apart from how it was written down. `cost`: what it
    weighs in a backend's queue. `inputs`: the figures for the job's record. `prepare`: what is too dear to do for a
    call that is answered from the store, or that nobody can pay; it may still change `inputs` and `cost`."""

    task: Task
    perform: Perform[Result]
    meaning: Callable[[], bytes]
    backend: str | None = None
    model: str | None = None
    inputs: Inputs = field(default_factory=dict)
    cost: float = 1.0
    prepare: Callable[[], None] | None = None


Head = Callable[[Done, dict[str, Any]], bytes]
"""The answer's bytes (from what was done, and `meta`) up to where the credits follow."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How an answer is written down: `head`, the credits, `tail`. So it can be stored before they are known.

    `tail` None: the format has no place for the credits.
    """

    head: Head
    tail: bytes | None = b"}"
    content_type: str = "application/json"

    def rest(self, receipt: Receipt) -> bytes:
        return b"" if self.tail is None else _encode(receipt.credits) + self.tail


def relay_head(done: Done, meta: dict[str, Any]) -> bytes:
    """The contract's own shape."""
    return _encode({"ok": True, "result": done.result, "meta": meta})[:-1] + b',"credits":'


RELAY = Shape(relay_head)


class Metered:
    def __init__(self, core: Core, callers: Callers) -> None:
        self._core = core
        self._callers = callers

    def _run(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        identity: Identity,
        ask: Ask,
        shape: Shape = RELAY,
    ) -> None:
        """One answer."""
        ticket = claim(self._core, req, identity.account, ask.meaning)
        if isinstance(ticket, Replay):
            replay(resp, ticket)
            return
        with ExitStack() as until_answered:
            if ticket is not None:
                until_answered.enter_context(ticket.freed())
            candidates = self._core.infer.candidates(ask.task, ask.backend, ask.model)
            if ask.prepare is not None:
                self._core.meter.check(identity, req.context.job_name)
                ask.prepare()
            ctx = self._context(req, ticket)
            until_answered.enter_context(self._core.hangups.watching(ctx))
            # Last: from here on only `run` may fail, which gives the hold back.
            call = self._begin(req, identity, ask, ticket)
            begun = b""

            def settling(done: Done) -> AlsoSettled | None:
                nonlocal begun
                begun = shape.head(done, meta(req, call, done.backend.name, done.model))
                if ticket is None:
                    return None
                ticket.keep(begun)
                headers = {"Content-Type": shape.content_type}
                return lambda tx, receipt: ticket.answered(tx, 200, headers, shape.rest(receipt))

            _, receipt = self._core.infer.run(call, candidates, ask.perform, ctx, settling)
        if ticket is not None:
            ticket.end()
        resp.content_type = shape.content_type
        resp.data = begun + shape.rest(receipt)

    def _stream(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        identity: Identity,
        ask: Ask,
        request: ChatRequest,
        frames: Frames,
        held: ExitStack,
    ) -> None:
        """An answer in pieces. `held` is what the call occupies; the stream takes it over and gives it back."""
        ticket = claim(self._core, req, identity.account, ask.meaning)
        if isinstance(ticket, Replay):
            replay(resp, ticket)
            return
        with ExitStack() as until_begun:
            if ticket is not None:
                until_begun.enter_context(ticket.freed())
            candidates = self._core.infer.candidates(ask.task, ask.backend, ask.model)
            ctx = self._context(req, ticket)
            watched = ExitStack()
            watched.enter_context(self._core.hangups.watching(ctx))
            until_begun.push(watched)
            copy = None if ticket is None else Copy(self._core.spool_dir)
            # Last: from here on only `stream` may fail, which gives the hold back.
            call = self._begin(req, identity, ask, ticket)

            def charged(tx: Tx, _receipt: Receipt) -> None:
                if ticket is not None:
                    ticket.charged(tx, call.job_id)

            stream = self._core.infer.stream(call, candidates, request, ctx, charged)
            held.push(watched.pop_all())

        def about(model: str) -> dict[str, Any]:
            return meta(req, call, stream.backend.name, model)

        stored = None if ticket is None or copy is None else (ticket, copy)
        body = EventStream(stream, request, frames, about, stored, held.pop_all())
        resp.content_type = "text/event-stream"
        resp.set_header("Cache-Control", "no-store")
        resp.set_header("X-Accel-Buffering", "no")
        resp.stream = body

    def _begin(self, req: falcon.Request, identity: Identity, ask: Ask, ticket: Ticket | None) -> Call:
        """The hold. An unfinished answer under the same key goes on as a call of the job it was charged to."""
        under = "" if ticket is None else ticket.job
        call = self._core.meter.begin(identity, req.context.job_name, ask.task, under=under)
        call.inputs, call.cost = ask.inputs, ask.cost
        return call

    def _context(self, req: falcon.Request, ticket: Ticket | None) -> CallContext:
        """With a key the call runs to its end, because its answer is stored for the retry."""
        deadline = time.monotonic() + self._core.settings.relay.call_seconds
        gone = _never if ticket is not None else req.env.get("waitress.client_disconnected", _never)
        return CallContext(deadline, gone=gone)


def meta(req: falcon.Request, call: Call, backend: str, model: str) -> dict[str, Any]:
    return {
        "request_id": req.context.request_id,
        "job_id": call.job_name,
        "server_job_id": call.job_id,
        "backend": backend,
        "model": model,
        "elapsed_ms": elapsed_ms(req),
    }


def _never() -> bool:
    return False
