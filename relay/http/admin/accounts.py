"""One account: look at it and its entries; debit, tier, block, move and erase it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import falcon
import msgspec
from msgspec import Meta, Struct

from relay.errors import Invalid
from relay.http.admin.credits import MAX_GRANT
from relay.http.answers import answer
from relay.http.body import query_int, read_json
from relay.http.idempotency import once
from relay.ports.storage import Tx
from relay.services.account_admin import Also, By
from relay.services.core import Core

Amount = Annotated[int, Meta(ge=1, le=MAX_GRANT)]
Text = Annotated[str, Meta(max_length=500)]
View = Callable[[Tx], dict[str, Any]]


class ReasonBody(Struct):
    reason: Text


class DebitBody(Struct):
    amount: Amount
    reason: Text


class TierBody(Struct):
    tier: str
    reason: Text
    period_days: Annotated[int, Meta(ge=1, le=3660)] | None = None


class MoveBody(Struct):
    """Without an amount: all there is."""

    to: Annotated[str, Meta(max_length=300)]
    reason: Text
    amount: Annotated[int, Meta(ge=1, le=2**52)] | None = None


class EraseBody(Struct):
    confirm: str
    reason: Text


class AdminAccounts:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._accounts = core.account_admin
        self._erasing = core.erasing

    def on_get(self, _req: falcon.Request, resp: falcon.Response, key: str) -> None:
        answer(resp, {"ok": True, "account": self._accounts.one(key)})

    def on_get_history(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        """Ledger entries, newest first; `next` is the `before` of the next page, null at the end."""
        limit = query_int(req, "limit", default=50, low=1, high=500)
        before = query_int(req, "before", default=None, low=1, high=10**15)
        entries = self._accounts.history(key, limit=limit, before=before)
        following = entries[-1].n if len(entries) == limit and entries[-1].n > 1 else None
        answer(resp, {"ok": True, "entries": msgspec.to_builtins(entries), "next": following})

    def on_post_debit(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        body = read_json(req, DebitBody)
        self._do(
            req,
            resp,
            body.reason,
            lambda by, also: self._accounts.debit(key, body.amount, by, also),
            lambda tx: self._account(tx, key) | {"debited": body.amount},
        )

    def on_post_tier(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        body = read_json(req, TierBody)
        self._do(
            req,
            resp,
            body.reason,
            lambda by, also: self._accounts.set_tier(key, body.tier, body.period_days, by, also),
            lambda tx: self._account(tx, key),
        )

    def on_post_block(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        self._block(req, resp, key, blocked=True)

    def on_post_unblock(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        self._block(req, resp, key, blocked=False)

    def on_post_move(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        body = read_json(req, MoveBody)
        to, moved = body.to.strip(), [0]

        def move(by: By, also: Also) -> None:
            def noted(tx: Tx, amount: int) -> None:
                moved[0] = amount
                also(tx)

            self._accounts.move(key, to, body.amount, by, noted)

        def view(tx: Tx) -> dict[str, Any]:
            return self._account(tx, key) | {"to": self._accounts.row(tx, to), "moved": moved[0]}

        self._do(req, resp, body.reason, move, view)

    def on_post_erase(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        body = read_json(req, EraseBody)
        if body.confirm != key:
            raise Invalid("confirm must be the account's credit_key, letter by letter", "confirm")
        self._do(
            req,
            resp,
            body.reason,
            lambda by, also: self._erasing.erase(key, by, also),
            lambda _tx: {"ok": True, "erased": True},
        )

    def _block(self, req: falcon.Request, resp: falcon.Response, key: str, *, blocked: bool) -> None:
        body = read_json(req, ReasonBody)
        self._do(
            req,
            resp,
            body.reason,
            lambda by, also: self._accounts.block(key, by, also, blocked=blocked),
            lambda tx: self._account(tx, key),
        )

    def _account(self, tx: Tx, key: str) -> dict[str, Any]:
        return {"ok": True, "account": self._accounts.row(tx, key)}

    def _do(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        reason: str,
        change: Callable[[By, Also], None],
        view: View,
    ) -> None:
        """Make the change once for its Idempotency-Key; the answer is what the transaction that made it saw."""
        if not reason.strip():
            raise Invalid("reason is required: it stands in the audit log", "reason")
        by, body = By(req.context.actor, reason.strip()), {}
        with once(self._core, req, resp, by.actor) as done:
            if done.replayed:
                return

            def also(tx: Tx) -> None:
                body.update(view(tx))
                done.answered(tx, body)

            change(by, also)
            answer(resp, body)
