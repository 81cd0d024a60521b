"""Every failure becomes the contract's error shape here, once."""

from __future__ import annotations

from typing import Any

import falcon
import msgspec
import structlog
from falcon.constants import COMBINED_METHODS

from relay.errors import (
    BadRequest,
    Internal,
    MethodNotAllowed,
    NotFound,
    RelayError,
    TooLarge,
    UnsupportedMedia,
)

log = structlog.get_logger("relay.http")


def install(app: falcon.App[Any, Any]) -> None:
    app.add_error_handler(Exception, _unexpected)
    app.add_error_handler(falcon.HTTPError, _falcon)
    app.add_error_handler(RelayError, _ours)


def _ours(req: falcon.Request, resp: falcon.Response, exc: Any, _params: Any) -> None:
    req.context.error_code = exc.code
    resp.status = falcon.code_to_http_status(exc.status)
    resp.content_type = "application/json"
    resp.data = msgspec.json.encode(exc.body(req.context.request_id))
    resp.text = resp.stream = None
    if exc.retry_after is not None:
        resp.set_header("Retry-After", str(exc.retry_after))
    if exc.status == 401:
        resp.set_header("WWW-Authenticate", 'Bearer realm="relay"')


def _falcon(req: falcon.Request, resp: falcon.Response, exc: Any, params: Any) -> None:
    """What falcon itself refuses."""
    error: RelayError
    if exc.status_code == 404:
        error = NotFound(f"there is nothing at {req.path}"[:300])
    elif exc.status_code == 405 or req.method not in COMBINED_METHODS:
        error = MethodNotAllowed(f"{req.method} is not possible here")
        for name, value in dict(exc.headers or {}).items():
            resp.set_header(name, value)
    elif exc.status_code == 413:
        error = TooLarge("the request is too large")
    elif exc.status_code == 415:
        error = UnsupportedMedia("this content type is not supported here")
    elif 400 <= exc.status_code < 500:
        error = BadRequest(exc.description or exc.title or "the request could not be read")
    else:
        _unexpected(req, resp, exc, params)
        return
    _ours(req, resp, error, params)


def _unexpected(req: falcon.Request, resp: falcon.Response, exc: Any, params: Any) -> None:
    log.error("internal_error", id=req.context.request_id, path=req.uri_template or "?", exc_info=exc)
    error = Internal("something went wrong inside this relay; its log has the details under this request id")
    _ours(req, resp, error, params)
