"""`/admin/license-cache`: what licence servers said of the licences seen here."""

from __future__ import annotations

from itertools import chain
from typing import Annotated

import falcon
from msgspec import Meta, Struct

from relay.books import audit
from relay.errors import NotFound
from relay.http.answers import answer
from relay.http.body import query_int, read_json
from relay.ports.auth import LicenceCache
from relay.services.core import Core

MAX_ROWS = 1000


class LicenceBody(Struct):
    licence: Annotated[str, Meta(pattern="^(lic:)?[0-9a-f]{16}$")]


class LicenceRows:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._caches = [auth for auth in core.registry.auth if isinstance(auth, LicenceCache)]

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`?limit=&q=`, the last checked first; `q`: a part of the licence, its verdict, reason or tier."""
        limit = query_int(req, "limit", default=100, low=1, high=MAX_ROWS)
        wanted = (req.get_param("q") or "").lower()
        seen = chain.from_iterable(cache.verdicts(MAX_ROWS if wanted else limit) for cache in self._caches)
        rows = [dict(row) for row in seen if wanted in " ".join(str(value) for value in row.values()).lower()]
        answer(resp, {"ok": True, "enabled": bool(self._caches), "count": len(rows), "verdicts": rows[:limit]})

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Have its server asked at the licence's next call; the last verdict counts until it answers."""
        account = "lic:" + read_json(req, LicenceBody).licence.removeprefix("lic:")
        if not any(cache.ask_again(account) for cache in self._caches):
            raise NotFound(f"no licence {account} was seen here")
        actor = req.context.actor
        self._core.storage.transact(lambda tx: audit.record(tx, actor, "licences.ask_again", account))
        answer(resp, {"ok": True, "licence": account})
