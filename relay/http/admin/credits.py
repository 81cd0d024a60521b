"""The operator's table of accounts, and granting credits."""

from __future__ import annotations

from typing import Any

import falcon

from relay.errors import BadRequest
from relay.http.answers import answer
from relay.http.body import query_int, read_json
from relay.http.idempotency import once
from relay.services.core import Core
from relay.services.credits import SORTS

MAX_GRANT = 1_000_000


class AdminCredits:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._credits = core.credits

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`?limit=&offset=&sort=&order=&q=`; q finds a part of the credit_key."""
        sort, order = req.get_param("sort") or "credit_key", req.get_param("order") or "asc"
        if sort not in SORTS:
            raise BadRequest(f"sort must be one of: {', '.join(SORTS)}", details={"path": "sort"})
        if order not in {"asc", "desc"}:
            raise BadRequest("order must be asc or desc", details={"path": "order"})
        count, rows = self._credits.table(
            limit=query_int(req, "limit", default=100, low=1, high=1000),
            offset=query_int(req, "offset", default=0, low=0, high=10**9),
            sort=sort,
            descending=order == "desc",
            search=req.get_param("q") or None,
        )
        answer(resp, {"ok": True, "count": count, "rows": rows})

    def on_post_grant(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = read_json(req, Any)
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
        key = key.strip()
        with once(self._core, req, resp, "admin") as change:
            if change.replayed:
                return

            def granted(balance: int) -> dict[str, Any]:
                return {"ok": True, "credit_key": key, "granted": amount, "purchased_balance": balance}

            balance = self._credits.grant(
                key,
                amount,
                reason=reason,
                actor="admin",
                make_row=False,
                also=lambda tx: change.answered(tx, granted(self._credits.purchased(tx, key))),
            )
            answer(resp, granted(balance))
