"""`GET /relay/openapi.json`: what this relay can be asked, for programs."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import falcon

from relay.services.core import Core


class OpenAPI:
    """Made at the first request, from the routes the app has by then; its parts are not loaded before."""

    def __init__(self, core: Core, app: falcon.App[Any, Any]) -> None:
        self._app = app
        self._public_url = core.settings.relay.public_url
        self._lock = threading.Lock()
        self._body = b""
        self._etag = ""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        with self._lock:
            if not self._body:
                from relay.http.openapi.document import encoded

                body = encoded(self._app, self._public_url)
                self._etag = hashlib.sha256(body).hexdigest()[:20]
                self._body = body
        resp.etag = self._etag
        resp.set_header("Cache-Control", "no-cache")
        if any(tag in {"*", self._etag} for tag in req.if_none_match or ()):
            resp.status = falcon.HTTP_304
            return
        resp.content_type = "application/json"
        resp.data = self._body
