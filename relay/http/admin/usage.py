"""Figures over time, as JSON and as CSV."""

from __future__ import annotations

import falcon

from relay.errors import BadRequest
from relay.http.admin.spans import query_instant
from relay.http.answers import answer
from relay.services.core import Core
from relay.services.csv_export import EXPORTS, Exports
from relay.services.usage import By, Figures


class UsagePage:
    """`GET /admin/usage` and `GET /admin/dashboard.csv`, both with `?by=hour|day&from=&to=`."""

    def __init__(self, core: Core) -> None:
        self._figures = Figures(core.storage)
        self._exports = Exports(core.storage, core.policy, self._figures)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        span = self._figures.span(_by(req), query_instant(req, "from"), query_instant(req, "to", end=True))
        answer(resp, {"ok": True, **self._figures.usage(span)})

    def on_get_csv(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`?what=` one of EXPORTS. The rows come in batches, so the file may be longer than memory."""
        what = req.get_param("what") or "usage"
        if what not in EXPORTS:
            raise BadRequest(f"what must be one of: {', '.join(EXPORTS)}", details={"path": "what"})
        begin, end = query_instant(req, "from"), query_instant(req, "to", end=True)
        resp.stream = self._exports.lines(what, _by(req), begin, end)
        resp.content_type = "text/csv; charset=utf-8; header=present"
        resp.downloadable_as = f"relay-{what}.csv"
        resp.set_header("Cache-Control", "no-store")


def _by(req: falcon.Request) -> By:
    by = req.get_param("by") or "day"
    if by == "hour":
        return "hour"
    if by == "day":
        return "day"
    raise BadRequest("by must be hour or day", details={"path": "by"})
