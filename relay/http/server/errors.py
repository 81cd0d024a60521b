"""Answers that never reach the application, in the one error shape of the API."""

from __future__ import annotations

import logging
import secrets
from http import HTTPStatus
from typing import Any

import msgspec
from waitress.channel import ClientDisconnected
from waitress.task import ErrorTask as WaitressErrorTask

from relay.errors import BadRequest, HeadersTooLarge, Internal, RelayError, TooLarge

log = logging.getLogger(__name__)


def as_relay_error(error: Any) -> RelayError:
    """One of ours, or one of waitress's own (`waitress.utilities.Error`) as one of ours."""
    if isinstance(error, RelayError):
        return error
    if error.code == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        return HeadersTooLarge("the request line and headers are too large; send fewer or shorter headers")
    if error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge("the body is too large")
    # The API has no 501: a transfer coding nobody offered is a mistake of the caller.
    if error.code < HTTPStatus.INTERNAL_SERVER_ERROR or error.code == HTTPStatus.NOT_IMPLEMENTED:
        # What follows the quote is the line itself, which may be a header with a key in it.
        reason = str(error.body).partition(' "')[0]
        return BadRequest(f"the request is not valid HTTP: {reason}")
    return internal()


def internal() -> Internal:
    return Internal("the relay failed on this request; the operator finds the reason in the log")


class ErrorTask(WaitressErrorTask):  # type: ignore[misc]
    """Answers a request with its error and ends the connection."""

    def service(self) -> None:
        try:
            super().service()
        except ClientDisconnected:
            self.close_on_finish = True

    def execute(self) -> None:
        request = self.request
        error = as_relay_error(request.error)
        request_id = "req_" + secrets.token_hex(12)
        body = msgspec.json.encode(error.body(request_id))
        origin = None if request.head is None else request.head.headers.get("origin")
        self.status = f"{error.status} {HTTPStatus(error.status).phrase}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.response_headers.append(("X-Request-Id", request_id))
        if error.status == HTTPStatus.UNAUTHORIZED:
            self.response_headers.append(("WWW-Authenticate", 'Bearer realm="relay"'))
        if error.retry_after is not None:
            self.response_headers.append(("Retry-After", str(error.retry_after)))
        self.response_headers.extend(self.channel.server.options.cors_headers(request.asked_path, origin))
        # waitress reads this to write its own Connection header, once, for every HTTP version.
        request.headers["CONNECTION"] = "close"
        # The rest of the request may still be on its way.
        self.channel.lingers = True
        self.content_length = len(body)
        log.info("refused with %d %s, request %s", error.status, error.code, request_id)
        self.write(b"" if request.command == "HEAD" else body)
