"""BTCPay's error bodies: an object with a code, or a list of fields for what is not valid."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from relay.testing.sandbox.service import Call, Reply, json_reply
from relay.testing.sandbox.wire import Cut

CODES = {400: "generic-error", 401: "unauthenticated", 403: "missing-permission", 404: "not-found"}


class Problem(ValueError):
    """What the API refuses: `body` is answered with `status`."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body


def problem(status: int, code: str, message: str, **more: Any) -> Problem:
    return Problem(status, {"code": code, "message": message, **more})


def invalid(path: str, message: str) -> Problem:
    """422 with a list, as BTCPay answers what does not validate."""
    return Problem(422, [{"path": path, "message": message}])


def error_body(status: int, message: str) -> Reply:
    if status == 422:
        return json_reply([{"path": "", "message": message}], status)
    return json_reply({"code": CODES.get(status, "generic-error"), "message": message}, status)


def answering(handler: Callable[[Call], Reply]) -> Callable[[Call], Reply]:
    """A handler whose problems are answered, and which falls silent when it is told to."""

    @wraps(handler)
    def answer(call: Call) -> Reply:
        try:
            reply = handler(call)
        except Problem as exc:
            return json_reply(exc.body, exc.status)
        if call.has_fault("lost_answer"):
            raise Cut
        return reply

    return answer
