"""A caller's own credits."""

from __future__ import annotations

import falcon
import msgspec

from relay.http.answers import answer
from relay.http.body import query_int
from relay.http.callers import Callers
from relay.services.core import Core


class OwnCredits:
    def __init__(self, core: Core, callers: Callers) -> None:
        self._core = core
        self._callers = callers

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        identity = self._callers.identify(req)
        answer(resp, {"ok": True, "credits": self._core.meter.read(identity)})

    def on_get_history(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Ledger entries, newest first; `next` is the `before` of the next page, null at the end."""
        identity = self._callers.identify(req)
        limit = query_int(req, "limit", default=50, low=1, high=500)
        before = query_int(req, "before", default=None, low=1, high=10**15)
        entries = self._core.credits.history(identity.account, limit=limit, before=before)
        following = entries[-1].n if len(entries) == limit and entries[-1].n > 1 else None
        answer(resp, {"ok": True, "entries": msgspec.to_builtins(entries), "next": following})
