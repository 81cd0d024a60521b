"""Login, logout, status, the sessions there are, and changing the password."""

from __future__ import annotations

from typing import Any

import falcon
from msgspec import Struct

from relay import __version__
from relay.domain.instants import iso
from relay.http.admin.guard import COOKIE
from relay.http.answers import answer
from relay.http.body import read_json
from relay.services.admin_sessions import SESSION_HOURS
from relay.services.core import Core


class LoginBody(Struct):
    password: str


class LogoutBody(Struct):
    everywhere: bool = False


class PasswordBody(Struct):
    current: str
    new: str


class Login:
    def __init__(self, core: Core) -> None:
        self._admin = core.admin
        self._secure = core.settings.relay.public_url.startswith("https://")

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = read_json(req, LoginBody)
        token, session = self._admin.login(body.password, req.context.address)
        resp.set_cookie(
            COOKIE,
            token,
            max_age=SESSION_HOURS * 3600,
            path="/",
            secure=self._secure or req.context.https,
            http_only=True,
            same_site="Strict",
        )
        told = {"csrf_token": session.csrf_token, "expires_at": iso(session.expires_at)}
        answer(resp, {"ok": True, "authenticated": True, **told, "version": __version__})


class Logout:
    def __init__(self, core: Core) -> None:
        self._sessions = core.admin.sessions

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`{"everywhere": true}` ends all sessions; without a body only this one."""
        body = read_json(req, LogoutBody) if req.content_length else LogoutBody()
        token = req.cookies.get(COOKIE, "")
        ended = self._sessions.logout(token, everywhere=body.everywhere, actor=req.context.actor)
        resp.unset_cookie(COOKIE, path="/", same_site="Strict")
        answer(resp, {"ok": True, "authenticated": False, "ended": ended})


class Status:
    """Open to all, so that a page can ask whether to show the login."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        identity = req.context.identity
        body: dict[str, Any] = {"ok": True, "authenticated": identity is not None, "version": __version__}
        if identity is not None:
            body["actor"] = identity.actor
            if identity.session is not None:
                body["csrf_token"] = identity.session.csrf_token
                body["expires_at"] = iso(identity.session.expires_at)
            else:
                body["scopes"] = sorted(identity.scopes)
        answer(resp, body)


class OpenSessions:
    def __init__(self, core: Core) -> None:
        self._sessions = core.admin.sessions

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        answer(resp, {"ok": True, "sessions": self._sessions.list(req.context.identity.session.id)})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, session: str) -> None:
        self._sessions.end(session, actor=req.context.actor)
        answer(resp, {"ok": True, "id": session})


class Password:
    def __init__(self, core: Core) -> None:
        self._admin = core.admin

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = read_json(req, PasswordBody)
        ended = self._admin.change_password(
            body.current,
            body.new,
            token=req.cookies.get(COOKIE, ""),
            address=req.context.address,
            actor=req.context.actor,
        )
        answer(resp, {"ok": True, "sessions_ended": ended})
