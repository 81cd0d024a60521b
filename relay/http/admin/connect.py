"""The connect wizard of a payment service: `/admin/<rail>/…`."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qs

import falcon
from msgspec import Meta, Struct

from relay.errors import BadRequest, Forbidden, RelayError
from relay.http.answers import answer
from relay.http.body import read_json
from relay.ports.rails import Step
from relay.services.core import Core

MAX_FORM = 64 * 1024
AFTER = "/dashboard"
"""Where the browser goes afterwards: a clean address, without the secret of the one it came back to."""


class StoreBody(Struct):
    store: Annotated[str, Meta(min_length=1, max_length=128)]


class Connect:
    def __init__(self, core: Core) -> None:
        self._connecting = core.till.connecting

    def on_get(self, _req: falcon.Request, resp: falcon.Response, rail: str) -> None:
        answer(resp, {"ok": True, "connection": self._connecting.connection(rail)})

    def on_post(self, req: falcon.Request, resp: falcon.Response, rail: str) -> None:
        """`{"redirect"}`: where the operator gives consent."""
        answer(resp, {"ok": True, "redirect": self._connecting.start(rail, actor=req.context.actor)})

    def on_post_choose(self, req: falcon.Request, resp: falcon.Response, rail: str) -> None:
        body = read_json(req, StoreBody)
        answer(resp, {"ok": True, **step_view(self._connecting.choose(rail, body.store, actor=req.context.actor))})

    def on_post_disconnect(self, req: falcon.Request, resp: falcon.Response, rail: str) -> None:
        answer(resp, {"ok": True, "done": self._connecting.disconnect(rail, actor=req.context.actor)})

    def on_post_callback(self, req: falcon.Request, resp: falcon.Response, rail: str) -> None:
        """The browser, sent back by the service with a form that holds the key: it is never logged."""
        self._finish(req, resp, rail, _form(req))

    def on_get_callback(self, req: falcon.Request, resp: falcon.Response, rail: str) -> None:
        """Old servers put the form into the query."""
        query = parse_qs(req.query_string, keep_blank_values=True, max_num_fields=100)
        if "apiKey" not in query:
            raise BadRequest("the payment service sent nothing back; begin again")
        self._finish(req, resp, rail, query)

    def _finish(self, req: falcon.Request, resp: falcon.Response, rail: str, form: dict[str, list[str]]) -> None:
        state = req.get_param("state") or ""
        form.pop("state", None)
        try:
            step = self._connecting.finish(rail, state, form)
            result = "choose" if step.choose else "connected"
        except Forbidden:
            raise
        except RelayError:
            result = "failed"
        resp.status = falcon.HTTP_303
        resp.set_header("Location", f"{AFTER}?{rail}={result}#payments")
        resp.set_header("Referrer-Policy", "no-referrer")
        resp.set_header("Cache-Control", "no-store")


def step_view(step: Step) -> dict[str, Any]:
    return {"done": step.done or None, "choose": None if step.choose is None else dict(step.choose)}


def _form(req: falcon.Request) -> dict[str, list[str]]:
    raw = req.bounded_stream.read(MAX_FORM + 1)
    if len(raw) > MAX_FORM:
        raise BadRequest("the form is too large")
    try:
        return parse_qs(raw.decode(), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise BadRequest("the form cannot be read") from None
