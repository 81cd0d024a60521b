"""Payments, the inbox, and what an operator decides about them."""

from __future__ import annotations

from typing import Annotated, Any

import falcon
from msgspec import Meta, Struct

from relay.domain.orders import STATES
from relay.errors import BadRequest
from relay.http.answers import answer
from relay.http.body import query_int, read_json
from relay.http.idempotency import once
from relay.services.core import Core


class ReasonBody(Struct):
    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class Payments:
    def __init__(self, core: Core) -> None:
        self._core = core

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`?state=&q=&limit=&offset=`; `next` is the offset of the next page, null at the end."""
        state = req.get_param("state") or None
        if state is not None and state not in STATES:
            raise BadRequest(f"state must be one of: {', '.join(STATES)}", details={"path": "state"})
        rows, following = self._core.till.desk.payments(
            limit=query_int(req, "limit", default=50, low=1, high=500),
            offset=query_int(req, "offset", default=0, low=0, high=10**9),
            state=state,
            search=req.get_param("q") or None,
        )
        answer(resp, {"ok": True, "payments": rows, "next": following})

    def on_get_one(self, _req: falcon.Request, resp: falcon.Response, order: str) -> None:
        answer(resp, {"ok": True, "payment": self._core.till.desk.payment(order)})

    def on_get_inbox(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`?q=&limit=&before=`, newest first."""
        limit = query_int(req, "limit", default=50, low=1, high=500)
        rows, following = self._core.till.desk.deliveries(
            limit=limit, before=req.get_param("before") or None, search=req.get_param("q") or None
        )
        answer(resp, {"ok": True, "deliveries": rows, "next": following})

    def on_post_recheck(self, req: falcon.Request, resp: falcon.Response, order: str) -> None:
        answer(resp, {"ok": True, "payment": self._core.till.desk.recheck(order, req.context.actor)})

    def on_post_credit(self, req: falcon.Request, resp: falcon.Response, order: str) -> None:
        self._decide(req, resp, lambda reason: self._core.till.desk.credit(order, reason, req.context.actor))

    def on_post_reverse(self, req: falcon.Request, resp: falcon.Response, order: str) -> None:
        self._decide(req, resp, lambda reason: self._core.till.desk.reverse(order, reason, req.context.actor))

    def on_post_dismiss(self, req: falcon.Request, resp: falcon.Response, order: str) -> None:
        self._decide(req, resp, lambda reason: self._core.till.desk.dismiss(order, reason, req.context.actor))

    def _decide(self, req: falcon.Request, resp: falcon.Response, act: Any) -> None:
        body = read_json(req, ReasonBody)
        with once(self._core, req, resp, req.context.actor) as change:
            if not change.replayed:
                answer(resp, {"ok": True, "payment": act(body.reason)})


class Reconcile:
    """`POST /admin/reconcile` and `POST /admin/<rail>/rescan`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        answer(resp, self._core.till.reconciler.all(actor=req.context.actor).view())

    def on_post_rescan(self, req: falcon.Request, resp: falcon.Response, rail: str) -> None:
        answer(resp, self._core.till.reconciler.rescan(rail, actor=req.context.actor).view())
