"""`/relay/jobs`: work that goes on while nobody waits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import falcon
import msgspec

from relay import audio
from relay.errors import BadRequest, Invalid
from relay.fetch import check_url
from relay.http.answers import answer
from relay.http.body import query_int, read_json
from relay.http.callers import Callers, job_name
from relay.http.held import HeldPieces
from relay.http.idempotency import claim, json_meaning, replay
from relay.http.job_events import JobEvents
from relay.http.relay.recordings import form_meaning
from relay.http.uploads import read_upload, scratch
from relay.ports.auth import Identity
from relay.ports.storage import Tx
from relay.services.core import Core
from relay.services.idempotency import Replay, Ticket
from relay.services.jobs import Accepted, AnalyzeJob, Order, Upload, check_order, url_of
from relay.services.requests import from_fields

STATES = ("queued", "processing", "completed", "failed", "cancelled")
_encode = msgspec.json.Encoder().encode

Received = tuple[Order, Upload | None, Callable[[], bytes]]


class OwnJobs:
    def __init__(self, core: Core, callers: Callers) -> None:
        self._core = core
        self._callers = callers

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Newest first; `next` is the `before` of the next page, null at the end."""
        identity = self._callers.identify(req)
        limit = query_int(req, "limit", default=50, low=1, high=100)
        state = req.get_param("state")
        if state is not None and state not in STATES:
            raise BadRequest(f"state must be one of {', '.join(STATES)}", details={"path": "state"})
        jobs, following = self._core.jobs.page(identity, limit=limit, before=req.get_param("before"), state=state)
        answer(resp, {"ok": True, "jobs": jobs, "next": following})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        identity = self._callers.identify(req)
        folder = self._core.spool_dir / req.context.request_id
        with self._callers.one_call(req, identity), scratch(folder), ExitStack() as until_accepted:
            req.context.job_name = job_name(req)
            order, upload, meaning = received(req, folder)
            ticket = claim(self._core, req, identity.account, meaning)
            if isinstance(ticket, Replay):
                replay(resp, ticket)
                return
            if ticket is not None:
                until_accepted.enter_context(ticket.freed())
            for url in filter(None, (url_of(order), order.callback_url)):
                check_url(url)
            self._submit(req, resp, identity, order, upload, ticket)

    def _submit(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        identity: Identity,
        order: Order,
        upload: Upload | None,
        ticket: Ticket | None,
    ) -> None:
        headers = {"Content-Type": "application/json"}
        body = b""

        def accepting(accepted: Accepted) -> Callable[[Tx], None] | None:
            nonlocal body
            headers["Location"] = f"/relay/jobs/{accepted.job['id']}"
            body = _encode(accepted_view(accepted))
            if ticket is None:
                return None
            ticket.keep(body)
            return lambda tx: ticket.answered(tx, 202, headers)

        self._core.jobs.submit(identity, req.context.job_name, order, upload, accepting)
        if ticket is not None:
            ticket.end()
        resp.status = falcon.HTTP_202
        for name, value in headers.items():
            resp.set_header(name, value)
        resp.data = body


class OneJob:
    def __init__(self, core: Core, callers: Callers) -> None:
        self._core = core
        self._callers = callers

    def on_get(self, req: falcon.Request, resp: falcon.Response, job: str) -> None:
        identity = self._callers.identify(req)
        answer(resp, {"ok": True, "job": self._core.jobs.view(identity, job)})

    def on_delete(self, req: falcon.Request, resp: falcon.Response, job: str) -> None:
        """Cancel. A job that has ended is answered as it is."""
        identity = self._callers.identify(req)
        answer(resp, {"ok": True, "job": self._core.jobs.cancel(identity, job)})

    def on_get_events(self, req: falcon.Request, resp: falcon.Response, job: str) -> None:
        identity = self._callers.identify(req)
        self._core.jobs.view(identity, job, result=False)
        gone = req.env.get("waitress.client_disconnected", _never)
        resp.content_type = "text/event-stream"
        resp.set_header("Cache-Control", "no-store")
        resp.set_header("X-Accel-Buffering", "no")
        with ExitStack() as held:
            held.enter_context(self._callers.one_call(req, identity))
            held.enter_context(self._core.infer.listener())
            place = held.pop_all()
        events = JobEvents(self._core, identity, job, request_id=req.context.request_id, gone=gone)
        resp.stream = HeldPieces(events, place)


def received(req: falcon.Request, folder: Path) -> Received:
    """The order, the recording that came along, and what the body means, for its fingerprint."""
    if (req.content_type or "").partition(";")[0].strip().lower() == "multipart/form-data":
        return _form(req, folder)
    order: Order = read_json(req, cast("type[Any]", Order))
    if not isinstance(order, AnalyzeJob) and order.url is None:
        raise Invalid(
            "url is required in a JSON body; or send the recording as multipart with a part named file", "url"
        )
    check_order(order)
    return order, None, lambda: json_meaning(req)


def _form(req: falcon.Request, folder: Path) -> Received:
    sent = read_upload(req, folder)
    fields: dict[str, Any] = dict(sent.fields)
    if schema := fields.get("schema"):
        try:
            fields["schema"] = msgspec.json.decode(schema)
        except (msgspec.DecodeError, RecursionError):
            raise Invalid("schema is not JSON", "schema") from None
    order: Order = from_fields(fields, cast("type[Any]", Order))
    if isinstance(order, AnalyzeJob):
        raise Invalid("analyze takes no recording; send its fields as JSON", "task")
    if order.url is not None:
        raise Invalid("send a file or a url, not both", "url")
    check_order(order)
    probe: Callable[[Path], float | None] = req.env.get("relay.probe", audio.probe)
    probe(sent.path)
    return order, Upload(sent.path, sent.filename), lambda: form_meaning(sent.fields, sent.path)


def accepted_view(accepted: Accepted) -> dict[str, Any]:
    keys = ("id", "server_job_id", "task", "state", "position", "created_at")
    body: dict[str, Any] = {"ok": True, "job": {key: accepted.job[key] for key in keys}}
    if accepted.secret:
        body["callback_secret"] = accepted.secret
    return body | {"credits": accepted.credits}


def _never() -> bool:
    return False
