"""Who may come in, the accounts, and the log of changes."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from relay.http.admin.accounts import DebitBody, EraseBody, MoveBody, ReasonBody, TierBody
from relay.http.admin.credits import MAX_GRANT, MAX_SEARCH
from relay.http.admin.licences import LicenceBody
from relay.http.admin.session import LoginBody, LogoutBody, PasswordBody
from relay.http.admin.wipe import WipeBody
from relay.http.openapi import admin_answers as answers
from relay.http.openapi.operation import (
    Operation,
    Operations,
    Param,
    choice,
    limit,
    number,
    offset,
    paging,
    text,
)
from relay.services.account_table import SORTS, TYPES
from relay.services.admin_keys import NewKey

TAG = "Operator: accounts"
WHO = "Operator: who may come in"


class GrantBody(Struct):
    """The key is trimmed."""

    credit_key: Annotated[str, Meta(pattern=r"\S")]
    amount: Annotated[int, Meta(ge=1, le=MAX_GRANT)]
    reason: Annotated[str, Meta(max_length=500)] = ""


SEARCH = text("q", "A part of the account's key.", MAX_SEARCH)
TABLE: tuple[Param, ...] = (
    limit(100, 1000),
    offset(),
    choice("sort", "What to sort by.", *SORTS),
    choice("order", "Which way.", "asc", "desc"),
    SEARCH,
    choice("type", "Only accounts of this type.", *TYPES),
    text("tier", "Only accounts in this tier."),
    choice("blocked", "Only blocked ones.", "true", "false"),
)
ACCESS: Operations = {
    ("POST", "/admin/login"): Operation(
        "Log in",
        WHO,
        answers.LoggedIn,
        text="Sets the session cookie. Wrong passwords are limited per address.",
        who="admin",
        body=LoginBody,
        errors=(401, 429),
        headers={"Set-Cookie": "The session: HttpOnly, SameSite=Strict."},
        sends={"password": "correct horse battery staple"},
    ),
    ("POST", "/admin/logout"): Operation(
        "Log out", WHO, answers.LoggedOut, who="admin", body=LogoutBody, body_optional=True, sends={"everywhere": True}
    ),
    ("GET", "/admin/status"): Operation("Is somebody logged in?", WHO, answers.AdminStatus, who="admin"),
    ("POST", "/admin/password"): Operation(
        "Change the password",
        WHO,
        text="409 `password_in_config` when the settings or the environment say it.",
        media={"application/json": "How many other sessions ended."},
        who="admin",
        body=PasswordBody,
        errors=(409,),
    ),
    ("GET", "/admin/sessions"): Operation("Open sessions", WHO, answers.SessionsAnswer, who="admin"),
    ("DELETE", "/admin/sessions/{session}"): Operation("End a session", WHO, answers.EndedAnswer, who="admin"),
    ("GET", "/admin/keys"): Operation(
        "Scoped keys, and what each role may do", WHO, answers.AdminKeysAnswer, who="admin"
    ),
    ("POST", "/admin/keys"): Operation(
        "Make a scoped key",
        WHO,
        answers.AdminKeyMade,
        201,
        text="Shown once.",
        who="admin",
        body=NewKey,
        errors=(409,),
        sends={"role": "read-only", "label": "prometheus"},
        gives={
            "ok": True,
            "id": "ks_0a1b2c3d",
            "key": "ks_…",
            "role": "license-issuer",
            "label": "the shop",
            "scopes": ["licences:read", "licences:write"],
        },
    ),
    ("DELETE", "/admin/keys/{key}"): Operation("Revoke a scoped key", WHO, answers.EndedAnswer, who="admin"),
    ("GET", "/admin/audit"): Operation(
        "Who changed what, newest first",
        WHO,
        answers.AuditAnswer,
        params=(*paging(50, 500), text("q", "A part of the time, actor, action or target.")),
        who="admin",
    ),
}
ACCOUNTS: Operations = {
    ("GET", "/admin/credits"): Operation(
        "The table of accounts", TAG, answers.AccountsAnswer, params=TABLE, who="admin"
    ),
    ("POST", "/admin/credits/grant"): Operation(
        "Grant credits",
        TAG,
        answers.GrantedAnswer,
        text="404 for an account that has no row; none is made.",
        who="admin",
        body=GrantBody,
        once=True,
        errors=(404,),
        sends={"credit_key": "user:anna", "amount": 20, "reason": "a lost payment"},
        gives={"ok": True, "credit_key": "user:anna", "granted": 20, "purchased_balance": 25},
    ),
    ("GET", "/admin/license-cache"): Operation(
        "What licence servers said",
        TAG,
        answers.LicenceVerdicts,
        params=(limit(100, 1000), text("q", "A part of the licence, its verdict, reason or tier.")),
        who="admin",
    ),
    ("DELETE", "/admin/license-cache"): Operation(
        "Ask again about a licence",
        TAG,
        answers.AskedAgain,
        text="The last verdict counts until its server answers.",
        who="admin",
        body=LicenceBody,
        errors=(404,),
        sends={"licence": "lic:0011223344556677"},
    ),
}
WHY = {"reason": "asked by mail"}
ONE_ACCOUNT: Operations = {
    ("GET", "/admin/credits/{key}"): Operation("One account", TAG, answers.AccountAnswer, who="admin"),
    ("GET", "/admin/credits/{key}/history"): Operation(
        "Its ledger entries, newest first",
        TAG,
        answers.AccountHistory,
        params=(limit(50, 500), number("before", "The `next` of an earlier page.", 1, 10**15)),
        who="admin",
    ),
    ("POST", "/admin/credits/{key}/debit"): Operation(
        "Take purchased credits",
        TAG,
        answers.DebitedAnswer,
        who="admin",
        body=DebitBody,
        once=True,
        sends={"amount": 1, **WHY},
    ),
    ("POST", "/admin/credits/{key}/tier"): Operation(
        "Put an account into a tier",
        TAG,
        answers.AccountAnswer,
        text="Without `period_days` it has no end.",
        who="admin",
        body=TierBody,
        once=True,
        sends={"tier": "pro", "period_days": 30, **WHY},
    ),
    ("POST", "/admin/credits/{key}/block"): Operation(
        "Block an account", TAG, answers.AccountAnswer, who="admin", body=ReasonBody, once=True, sends=WHY
    ),
    ("POST", "/admin/credits/{key}/unblock"): Operation(
        "Unblock an account", TAG, answers.AccountAnswer, who="admin", body=ReasonBody, once=True, sends=WHY
    ),
    ("POST", "/admin/credits/{key}/move"): Operation(
        "Move purchased credits to another account",
        TAG,
        answers.MovedAnswer,
        text="All of them without an `amount`.",
        who="admin",
        body=MoveBody,
        once=True,
        sends={"to": "user:carl", "amount": 1, **WHY},
    ),
    ("POST", "/admin/credits/{key}/erase"): Operation(
        "Erase an account",
        TAG,
        answers.ErasedAnswer,
        text="`confirm` is the account's key. Its ledger entries stay.",
        who="admin",
        body=EraseBody,
        errors=(409,),
        sends={"confirm": "user:anna", **WHY},
        gives={"ok": True, "erased": True},
    ),
    ("POST", "/admin/wipe-all"): Operation(
        "Delete everything",
        TAG,
        answers.WipedAnswer,
        text="`confirm` is `wipe all`.",
        who="admin",
        body=WipeBody,
        errors=(409,),
        sends={"confirm": "wipe all"},
    ),
}
OPERATIONS: Operations = {**ACCESS, **ACCOUNTS, **ONE_ACCOUNT}
