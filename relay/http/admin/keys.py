"""`/admin/keys`: scoped keys. Only for who is logged in with the password, reading too."""

from __future__ import annotations

import falcon

from relay.domain.access import ROLES
from relay.http.answers import answer
from relay.http.body import read_json
from relay.services.admin_keys import NewKey
from relay.services.core import Core


class AdminKeysPage:
    def __init__(self, core: Core) -> None:
        self._keys = core.admin.keys

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        roles = {role: sorted(scopes) for role, scopes in ROLES.items()}
        answer(resp, {"ok": True, "keys": self._keys.list(), "roles": roles})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The key is in this answer and never again."""
        made = self._keys.create(read_json(req, NewKey), actor=req.context.actor)
        resp.set_header("Cache-Control", "no-store")
        answer(resp, {"ok": True, **made}, 201)

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        self._keys.revoke(key, actor=req.context.actor)
        answer(resp, {"ok": True, "id": key})
