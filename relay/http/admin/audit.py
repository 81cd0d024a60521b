"""`GET /admin/audit`: who changed what."""

from __future__ import annotations

import falcon

from relay.http.answers import answer
from relay.http.body import query_int
from relay.services.core import Core


class AuditPage:
    def __init__(self, core: Core) -> None:
        self._log = core.audit

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`?limit=&before=&q=`, newest first; `next` is the `before` of the next page, null at the end.

        A page of a search may be short, even empty, while `next` is not null: the search goes on behind it.
        """
        rows, following = self._log.page(
            limit=query_int(req, "limit", default=50, low=1, high=500),
            before=req.get_param("before") or None,
            search=req.get_param("q") or None,
        )
        answer(resp, {"ok": True, "rows": rows, "next": following})
