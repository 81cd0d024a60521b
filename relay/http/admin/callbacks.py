"""The operator's view of messages to other servers that wait, or could not be delivered."""

from __future__ import annotations

import falcon

from relay.http.answers import answer
from relay.http.body import query_int
from relay.services.core import Core


class AdminCallbacks:
    def __init__(self, core: Core) -> None:
        self._outbox = core.outbox

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`?limit=&offset=`, for both lists: the next due first, the newest dead first."""
        limit = query_int(req, "limit", default=100, low=1, high=200)
        offset = query_int(req, "offset", default=0, low=0, high=10**9)
        pending, waiting = self._outbox.pending(limit, offset)
        dead, given_up = self._outbox.dead(limit, offset)
        body = {"ok": True, "pending": {"count": pending, "rows": waiting}, "dead": {"count": dead, "rows": given_up}}
        answer(resp, body)

    def on_post_retry(self, req: falcon.Request, resp: falcon.Response, delivery: str) -> None:
        self._outbox.retry(delivery, actor=req.context.actor)
        answer(resp, {"ok": True, "id": delivery})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, delivery: str) -> None:
        self._outbox.drop(delivery, actor=req.context.actor)
        answer(resp, {"ok": True, "id": delivery})
