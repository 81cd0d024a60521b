"""Jobs: what runs now, what has been, why it cost what it cost; cancel and refund."""

from __future__ import annotations

from typing import Annotated

import falcon
from msgspec import Meta, Struct

from relay.errors import BadRequest
from relay.http.admin.spans import query_instant
from relay.http.answers import answer
from relay.http.body import query_int, read_json
from relay.services.core import Core
from relay.services.jobs_admin import Filters, JobsAdmin

STATES = ("completed", "failed")


class ReasonBody(Struct):
    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class JobsPage:
    def __init__(self, core: Core) -> None:
        self._jobs = JobsAdmin(core.storage, core.policy, core.infer, core.jobs, core.credits, core.outputs)

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        answer(resp, {"ok": True, **self._jobs.live()})

    def on_get_history(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`?limit=&before=&q=&account=&task=&state=&backend=&from=&to=`; `before`: the `next` of the page before.

        A page may be short, even empty, while `next` is not null: the search goes on behind it.
        """
        state = req.get_param("state") or None
        if state is not None and state not in STATES:
            raise BadRequest(f"state must be one of: {', '.join(STATES)}", details={"path": "state"})
        search = req.get_param("q") or None
        wanted = Filters(
            search=None if search is None else search.strip().lower(),
            account=req.get_param("account") or None,
            task=req.get_param("task") or None,
            state=state,
            backend=req.get_param("backend") or None,
            begin=query_instant(req, "from"),
            end=query_instant(req, "to", end=True),
        )
        limit = query_int(req, "limit", default=50, low=1, high=500)
        rows, following = self._jobs.history(wanted, limit=limit, before=req.get_param("before") or None)
        answer(resp, {"ok": True, "rows": rows, "next": following})

    def on_get_details(self, _req: falcon.Request, resp: falcon.Response, job: str) -> None:
        answer(resp, {"ok": True, "job": self._jobs.details(job)})

    def on_post_cancel(self, req: falcon.Request, resp: falcon.Response, job: str) -> None:
        answer(resp, {"ok": True, "job": self._jobs.cancel(job, req.context.actor)})

    def on_post_refund(self, req: falcon.Request, resp: falcon.Response, job: str) -> None:
        body = read_json(req, ReasonBody)
        answer(resp, {"ok": True, "refunded": self._jobs.refund(job, body.reason, req.context.actor)})
