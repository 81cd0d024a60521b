"""BTCPay's error bodies: an object with a code, or a list of fields for what is not valid."""

from __future__ import annotations

from typing import Any

from relay.testing.sandbox.problems import Problem
from relay.testing.sandbox.service import Reply, json_reply

CODES = {400: "generic-error", 401: "unauthenticated", 403: "missing-permission", 404: "not-found"}


def problem(status: int, code: str, message: str, **more: Any) -> Problem:
    return Problem(status, {"code": code, "message": message, **more})


def invalid(path: str, message: str) -> Problem:
    """422 with a list, as BTCPay answers what does not validate."""
    return Problem(422, [{"path": path, "message": message}])


def error_body(status: int, message: str) -> Reply:
    if status == 422:
        return json_reply([{"path": "", "message": message}], status)
    return json_reply({"code": CODES.get(status, "generic-error"), "message": message}, status)
