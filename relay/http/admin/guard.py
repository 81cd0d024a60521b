"""Everything under `/admin/` needs a session or a scoped key, apart from the few open routes.

What counts is the route that the router found, not how the path was spelled: a check by path can be talked past.
"""

from __future__ import annotations

from typing import Any

import falcon
from msgspec import Struct

from relay.books import audit
from relay.domain.access import MASTER
from relay.errors import AuthRejected, Forbidden, Unauthenticated
from relay.http.admin.access import needed
from relay.ports.rails import Connectable
from relay.services.admin import Admin
from relay.services.admin_sessions import Session, same
from relay.services.core import Core

OPEN = frozenset({"/admin/login", "/admin/status", "/admin/{rail}/callback"})
"""The callback is where a payment service sends the browser back: across sites, so without our cookie, but with a
secret of its own."""
COOKIE = "relay_session"
READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Identity(Struct, frozen=True):
    """`actor`: as in the audit log. `scopes`: None for the master, who is logged in by password."""

    actor: str
    scopes: frozenset[str] | None = None
    session: Session | None = None

    def check(self, scope: str) -> None:
        """Raises Forbidden."""
        if self.scopes is None or scope in self.scopes:
            return
        what = "only who is logged in with the password may do this" if scope == MASTER else f"this needs {scope}"
        raise Forbidden(f"this key may not do that: {what}", details={"needed": scope})


def identify(admin: Admin, req: falcon.Request) -> Identity | None:
    """Who asks; None when nothing is said about that. Raises AuthRejected for a wrong key, whatever the cookie."""
    scheme, _, secret = (req.get_header("Authorization") or "").partition(" ")
    if scheme.lower() == "bearer":
        holder = admin.keys.holder(secret.strip())
        if holder is None:
            raise AuthRejected("this key is wrong, expired or revoked", code="bad_key")
        return Identity(f"key:{holder.id}", holder.scopes)
    token = req.cookies.get(COOKIE)
    session = admin.sessions.find(token) if token else None
    return None if session is None else Identity("admin", session=session)


class Guard:
    """Falcon middleware. Behind it `req.context.actor` says who acts: "admin" or "key:<id>", or "" on an open route;
    `req.context.identity` says the rest."""

    def __init__(self, core: Core) -> None:
        self._admin = core.admin
        connectable = [name for name, rail in core.till.rails.items() if isinstance(rail, Connectable)]
        self._open = {"/admin/login", "/admin/status", *(f"/admin/{name}/callback" for name in connectable)}

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        audit.address_of_request.set(req.context.address)
        if not req.path.startswith("/admin/"):
            return
        identity = req.context.identity = identify(self._admin, req)
        req.context.actor = "" if identity is None else identity.actor
        if req.path not in self._open:
            _check_change(req, _known(identity))

    def process_resource(self, req: falcon.Request, _resp: falcon.Response, _resource: Any, _params: Any) -> None:
        template = req.uri_template or ""
        if not template.startswith("/admin") or template in OPEN:
            return
        identity = _known(getattr(req.context, "identity", None))
        _check_change(req, identity)
        if req.method != "OPTIONS":
            identity.check(needed(req.method, template))

    def process_response(self, _req: falcon.Request, _resp: falcon.Response, _resource: Any, _ok: bool) -> None:  # noqa: FBT001
        audit.address_of_request.set("")


def _known(identity: Identity | None) -> Identity:
    if identity is None:
        raise Unauthenticated("log in first: POST /admin/login with the admin password, or send a key")
    return identity


def _check_change(req: falcon.Request, identity: Identity) -> None:
    """A browser sends the cookie by itself, so a change needs what only our own pages can add."""
    if identity.session is None or req.method in READS:
        return
    if not same(req.get_header("X-CSRF-Token") or "", identity.session.csrf_token):
        raise Forbidden("the X-CSRF-Token header is missing or wrong; /admin/status tells it")
