"""The operator's settings: look, save, reset, history; quotas and prompts in their short forms."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import falcon
from msgspec import Meta, Struct

from relay.http.answers import answer
from relay.http.body import query_int, read_json
from relay.services.core import Core
from relay.services.settings_book import Saved
from relay.services.settings_view import settings_view

Version = Annotated[int, Meta(ge=0)]
Key = Annotated[str, Meta(min_length=1, max_length=200)]
Limit = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Reason = Annotated[str, Meta(max_length=500)]


class SaveBody(Struct, forbid_unknown_fields=True):
    version: Version
    changes: Annotated[dict[Key, Any], Meta(max_length=200)] = {}
    reset: Annotated[list[Key], Meta(max_length=200)] = []
    reason: Reason = ""


class QuotasBody(Struct, forbid_unknown_fields=True):
    tiers: Annotated[dict[Key, dict[Key, Limit | None]], Meta(min_length=1, max_length=200)]
    version: Version | None = None


class PromoteBody(Struct, forbid_unknown_fields=True):
    name: Literal["recap", "meeting_summary"]
    prompt: Annotated[str, Meta(min_length=1, max_length=20_000)]
    version: Version | None = None


class AdminSettings:
    def __init__(self, core: Core) -> None:
        self._book = core.settings_book

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        answer(resp, {"ok": True} | settings_view(self._book))

    def on_put(self, req: falcon.Request, resp: falcon.Response) -> None:
        """409 stale_settings when somebody saved since `version`; 422 with the key in `details.path`."""
        body = read_json(req, SaveBody)
        saved = self._book.save(
            req.context.actor, body.changes, reset=body.reset, version=body.version, reason=body.reason
        )
        answer(resp, saved_view(saved))

    def on_get_history(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Newest first, at most the last 200 changes."""
        limit = query_int(req, "limit", default=50, low=1, high=200)
        answer(resp, {"ok": True, "rows": self._book.history(limit)})

    def on_post_promote(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = read_json(req, PromoteBody)
        saved = self._book.promote(req.context.actor, body.name, body.prompt, body.version)
        answer(resp, {"ok": True, "version": saved.version, "name": body.name})

    def on_post_quotas(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = read_json(req, QuotasBody)
        answer(resp, saved_view(self._book.quotas(req.context.actor, body.tiers, body.version)))


def saved_view(saved: Saved) -> dict[str, Any]:
    return {"ok": True, "version": saved.version, "changed": saved.changed, "restart_needed": saved.restart_needed}
