"""What the holder of the operator key does with the accounts of its users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import falcon
from msgspec import Meta, Struct

from relay.books import audit
from relay.http.answers import answer
from relay.http.body import read_json
from relay.http.callers import Callers
from relay.http.idempotency import Once, once
from relay.identity import check_id
from relay.ports.storage import Tx
from relay.services.core import Core

Days = Annotated[int, Meta(ge=1, le=3660)]
ACTOR = "operator key"


class TierBody(Struct):
    tier: str
    period_days: Days | None = None


class ExtendBody(Struct):
    tier: str
    period_days: Days


class CreditsBody(Struct):
    amount: Annotated[int, Meta(ge=1, le=1_000_000)]
    reason: Annotated[str, Meta(max_length=500)] = ""


class Users:
    def __init__(self, core: Core, callers: Callers) -> None:
        self._core = core
        self._credits = core.credits
        self._callers = callers

    def on_get(self, req: falcon.Request, resp: falcon.Response, user: str) -> None:
        self._answer(resp, self._key(req, user))

    def on_put_tier(self, req: falcon.Request, resp: falcon.Response, user: str) -> None:
        key = self._key(req, user)
        body = read_json(req, TierBody)
        with once(self._core, req, resp, key) as change:
            if not change.replayed:
                also = self._done(change, key, "credits.tier")
                self._credits.set_tier(key, body.tier, body.period_days, actor=ACTOR, also=also)
                self._answer(resp, key)

    def on_post_extend(self, req: falcon.Request, resp: falcon.Response, user: str) -> None:
        key = self._key(req, user)
        body = read_json(req, ExtendBody)
        with once(self._core, req, resp, key) as change:
            if not change.replayed:
                also = self._done(change, key, "credits.extend_tier")
                self._credits.extend_tier(key, body.tier, body.period_days, actor=ACTOR, also=also)
                self._answer(resp, key)

    def on_post_credits(self, req: falcon.Request, resp: falcon.Response, user: str) -> None:
        key = self._key(req, user)
        body = read_json(req, CreditsBody)
        with once(self._core, req, resp, key) as change:
            if not change.replayed:
                also = self._done(change, key, "credits.grant", body.reason)
                self._credits.grant(key, body.amount, reason=body.reason, actor=ACTOR, make_row=True, also=also)
                self._answer(resp, key)

    def _key(self, req: falcon.Request, user: str) -> str:
        self._callers.require_operator(req)
        return f"user:{check_id(user, 'the user id')}"

    def _done(self, change: Once, key: str, action: str, reason: str = "") -> Callable[[Tx], None]:
        """What belongs into the transaction of the change: its line in the audit log, and the answer. What was before
        is read a moment earlier."""
        before = _told(self._credits.user(key))

        def done(tx: Tx) -> None:
            user = self._credits.user_view(tx, key)
            audit.record(tx, "operator", action, key, before=before, after=_told(user), reason=reason)
            change.answered(tx, {"ok": True, "user": user})

        return done

    def _answer(self, resp: falcon.Response, key: str) -> None:
        answer(resp, {"ok": True, "user": self._credits.user(key)})


def _told(user: dict[str, Any]) -> dict[str, Any]:
    ends, purchased = user["subscription_expires_at"], user["credits"]["purchased"]
    return {"tier": user["tier"], "subscription_expires_at": ends, "purchased": purchased}
