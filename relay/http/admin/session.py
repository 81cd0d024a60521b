"""Login, logout, status."""

from __future__ import annotations

import falcon
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from msgspec import Struct

from relay.errors import TooMany, Unauthenticated
from relay.http.admin.guard import COOKIE
from relay.http.answers import answer
from relay.http.body import read_json
from relay.services.admin import SESSION_HOURS
from relay.services.core import Core

WRONG_PER_MINUTE = RateLimitItemPerMinute(10)


class LoginBody(Struct):
    password: str


class Login:
    """Wrong passwords are limited per address; sessions that are logged in are not touched by that."""

    def __init__(self, core: Core) -> None:
        self._admin = core.admin
        self._secure = core.settings.relay.public_url.startswith("https://")
        self._wrong = MovingWindowRateLimiter(MemoryStorage())

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = read_json(req, LoginBody)
        address = req.context.address
        if not self._wrong.test(WRONG_PER_MINUTE, address):
            raise TooMany("too many wrong passwords from this address; wait a minute", retry_after=60)
        if not self._admin.check_password(body.password):
            self._wrong.hit(WRONG_PER_MINUTE, address)
            raise Unauthenticated("wrong password", code="bad_password")
        token, session = self._admin.login()
        resp.set_cookie(
            COOKIE,
            token,
            max_age=SESSION_HOURS * 3600,
            path="/",
            secure=self._secure or req.context.https,
            http_only=True,
            same_site="Strict",
        )
        answer(resp, {"ok": True, "authenticated": True, "csrf_token": session.csrf_token})


class Logout:
    def __init__(self, core: Core) -> None:
        self._admin = core.admin

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._admin.logout(req.context.token)
        resp.unset_cookie(COOKIE, path="/", same_site="Strict")
        answer(resp, {"ok": True, "authenticated": False})


class Status:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        session = req.context.session
        body = {"ok": True, "authenticated": session is not None}
        if session is not None:
            body["csrf_token"] = session.csrf_token
        answer(resp, body)
