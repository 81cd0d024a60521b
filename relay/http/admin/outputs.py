"""The output store: what jobs answered, what that takes, and deleting it."""

from __future__ import annotations

from typing import Annotated

import falcon
from msgspec import UNSET, Meta, Struct, UnsetType

from relay.errors import Invalid
from relay.http.answers import answer
from relay.http.body import query_int, read_json
from relay.services.core import Core

JobId = Annotated[str, Meta(pattern="^job_[0-9a-f]{24}$")]


class DeleteBody(Struct, forbid_unknown_fields=True):
    """One of the three."""

    ids: Annotated[list[JobId], Meta(min_length=1, max_length=1000)] | UnsetType = UNSET
    older_than_days: Annotated[int, Meta(ge=0, le=36_500)] | UnsetType = UNSET
    all: bool | UnsetType = UNSET


class OutputsPage:
    def __init__(self, core: Core) -> None:
        self._outputs = core.outputs

    def on_get_output(self, _req: falcon.Request, resp: falcon.Response, job: str) -> None:
        resp.set_header("Cache-Control", "no-store")
        answer(resp, {"ok": True, "job_id": job, "outputs": self._outputs.of_job(job)})

    def on_get_stats(self, _req: falcon.Request, resp: falcon.Response) -> None:
        answer(resp, {"ok": True, **self._outputs.stats()})

    def on_get_ids(self, req: falcon.Request, resp: falcon.Response) -> None:
        limit = query_int(req, "limit", default=100, low=1, high=500)
        ids, count, following = self._outputs.ids(limit=limit, before=req.get_param("before") or None)
        answer(resp, {"ok": True, "ids": ids, "count": count, "next": following})

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = read_json(req, DeleteBody)
        given = [name for name in DeleteBody.__struct_fields__ if getattr(body, name) is not UNSET]
        if len(given) != 1 or body.all is False:
            raise Invalid('send one of: {"ids": […]}, {"older_than_days": n}, {"all": true}', "ids")
        deleted, more = self._outputs.delete(
            req.context.actor,
            jobs=None if body.ids is UNSET else body.ids,
            older_than_days=None if body.older_than_days is UNSET else body.older_than_days,
        )
        answer(resp, {"ok": True, "deleted": deleted, "more": more})
