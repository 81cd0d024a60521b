"""The operator's table of accounts, and granting credits."""

from __future__ import annotations

from typing import Any

import falcon

from relay.books import audit
from relay.errors import BadRequest
from relay.http.answers import answer
from relay.http.body import query_int, read_json
from relay.http.idempotency import once
from relay.ports.storage import Tx
from relay.services.account_table import SORTS, TYPES, AccountTable, Wish
from relay.services.core import Core

MAX_GRANT = 1_000_000
MAX_SEARCH = 200


class AdminCredits:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._credits = core.credits
        self._table = AccountTable(core.storage, core.policy)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`?limit=&offset=&sort=&order=&q=&type=&tier=&blocked=`; q finds a part of the credit_key."""
        count, capped, rows = self._table.page(
            _wish(req),
            limit=query_int(req, "limit", default=100, low=1, high=1000),
            offset=query_int(req, "offset", default=0, low=0, high=10**9),
        )
        answer(resp, {"ok": True, "count": count, "count_capped": capped, "rows": rows})

    def on_post_grant(self, req: falcon.Request, resp: falcon.Response) -> None:
        key, amount, reason = _grant(read_json(req, Any))
        actor = req.context.actor
        with once(self._core, req, resp, actor) as change:
            if change.replayed:
                return

            def granted(balance: int) -> dict[str, Any]:
                return {"ok": True, "credit_key": key, "granted": amount, "purchased_balance": balance}

            def also(tx: Tx) -> None:
                balance = self._credits.purchased(tx, key)
                before, after = {"purchased": balance - amount}, {"purchased": balance}
                audit.record(tx, actor, "credits.grant", key, before=before, after=after, reason=reason)
                change.answered(tx, granted(balance))

            balance = self._credits.grant(key, amount, reason=reason, actor=actor, make_row=False, also=also)
            answer(resp, granted(balance))


def _wish(req: falcon.Request) -> Wish:
    """Raises BadRequest."""
    search = req.get_param("q") or None
    if search is not None and len(search) > MAX_SEARCH:
        raise BadRequest(f"q must be at most {MAX_SEARCH} characters", details={"path": "q"})
    return Wish(
        sort=_one_of(req, "sort", SORTS) or "credit_key",
        descending=_one_of(req, "order", ("asc", "desc")) == "desc",
        search=search,
        type=_one_of(req, "type", TYPES),
        tier=req.get_param("tier") or None,
        blocked={"true": True, "false": False}.get(_one_of(req, "blocked", ("true", "false")) or ""),
    )


def _one_of(req: falcon.Request, name: str, allowed: Any) -> str | None:
    text = req.get_param(name) or None
    if text is not None and text not in allowed:
        raise BadRequest(f"{name} must be one of: {', '.join(allowed)}", details={"path": name})
    return text


def _grant(body: Any) -> tuple[str, int, str]:
    """Key, amount and reason. Raises BadRequest."""
    if not isinstance(body, dict):
        raise BadRequest("send an object with credit_key and amount", details={"path": "credit_key"})
    key, amount = body.get("credit_key"), body.get("amount")
    if not isinstance(key, str) or not key.strip():
        raise BadRequest("credit_key is required", details={"path": "credit_key"})
    if type(amount) is not int or not 1 <= amount <= MAX_GRANT:
        raise BadRequest(f"amount must be a whole number from 1 to {MAX_GRANT}", details={"path": "amount"})
    reason = body.get("reason", "")
    if not isinstance(reason, str) or len(reason) > 500:
        raise BadRequest("reason must be a text of at most 500 characters", details={"path": "reason"})
    return key.strip(), amount, reason
