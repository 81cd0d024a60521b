"""Everything under `/admin/` needs a session, apart from the few open paths; changes need its CSRF token too."""

from __future__ import annotations

import re

import falcon

from relay.errors import Forbidden, Unauthenticated
from relay.services.admin import same
from relay.services.core import Core

OPEN = frozenset({"/admin/login", "/admin/status"})
CALLBACK = re.compile(r"/admin/[a-z0-9_]+/callback")
"""Where a payment service sends the browser back: across sites, so without our cookie, but with a secret of its own."""
COOKIE = "relay_session"
READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Falcon middleware. `req.context.session` is the session, or None on an open path without one."""

    def __init__(self, core: Core) -> None:
        self._admin = core.admin

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        if not req.path.startswith("/admin/"):
            return
        token = req.cookies.get(COOKIE)
        session = self._admin.session(token) if token else None
        req.context.session, req.context.token = session, token
        req.context.actor = "admin"
        if req.path in OPEN or CALLBACK.fullmatch(req.path):
            return
        if session is None:
            raise Unauthenticated("log in first: POST /admin/login with the admin password")
        given = req.get_header("X-CSRF-Token") or ""
        if req.method not in READS and not same(given, session.csrf_token):
            raise Forbidden("the X-CSRF-Token header is missing or wrong; /admin/status tells it", code="forbidden")
