"""`POST /admin/wipe-all`: everything about callers goes, behind a typed confirmation."""

from __future__ import annotations

import falcon
from msgspec import Struct

from relay.errors import Invalid
from relay.http.answers import answer
from relay.http.body import read_json
from relay.services.account_admin import By
from relay.services.core import Core

CONFIRM = "wipe all"


class WipeBody(Struct):
    confirm: str = ""
    force: bool = False
    reason: str = ""


class WipeAll:
    def __init__(self, core: Core) -> None:
        self._wipe = core.wipe

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`{"confirm": "wipe all", "force"?}`; for the master alone, as the table of scopes says."""
        body = read_json(req, WipeBody)
        if body.confirm != CONFIRM:
            raise Invalid(f'confirm must be "{CONFIRM}", letter by letter', "confirm")
        answer(resp, {"ok": True, "wiped": self._wipe.all(By(req.context.actor, body.reason), force=body.force)})
