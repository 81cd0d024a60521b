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

        Lines on meetings are left out for a key that may not read those, so a page may be short, even empty, while
        `next` is not null; that of a search too. It goes on behind it.
        """
        rows, following = self._log.page(
            limit=query_int(req, "limit", default=50, low=1, high=500),
            before=req.get_param("before") or None,
            search=req.get_param("q") or None,
        )
        scopes = req.context.identity.scopes
        if scopes is not None and "meetings:read" not in scopes:
            # They tell titles, and the names of people.
            rows = [row for row in rows if not row["action"].startswith("meetings.")]
        answer(resp, {"ok": True, "rows": rows, "next": following})
