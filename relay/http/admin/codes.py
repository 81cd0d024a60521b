"""`/admin/codes`: the operator's discount codes."""

from __future__ import annotations

import falcon

from relay.http.answers import answer
from relay.http.body import query_int, read_json
from relay.services.codes import Change, Codes, NewCode


class AdminCodes:
    def __init__(self, codes: Codes) -> None:
        self._codes = codes

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`?limit=&offset=`, the newest first."""
        limit = query_int(req, "limit", default=100, low=1, high=1000)
        offset = query_int(req, "offset", default=0, low=0, high=10**9)
        count, rows = self._codes.page(limit, offset)
        answer(resp, {"ok": True, "count": count, "rows": rows})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        made = self._codes.create(read_json(req, NewCode), actor=req.context.actor)
        answer(resp, {"ok": True, "code": made}, 201)

    def on_patch_one(self, req: falcon.Request, resp: falcon.Response, code: str) -> None:
        changed = self._codes.change(code, read_json(req, Change), actor=req.context.actor)
        answer(resp, {"ok": True, "code": changed})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, code: str) -> None:
        """409 once an order uses it: disable it instead."""
        answer(resp, {"ok": True, "code": self._codes.delete(code, actor=req.context.actor)})
