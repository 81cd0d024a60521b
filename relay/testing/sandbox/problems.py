"""Refusals with a body of their own, and answers that never leave."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from relay.testing.sandbox.service import Call, Reply, json_reply
from relay.testing.sandbox.wire import Cut


class Problem(ValueError):
    """What an API refuses: `body` is answered with `status`."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body


def answering(handler: Callable[[Call], Reply]) -> Callable[[Call], Reply]:
    """A handler whose problems are answered, and which has done its work when `lost_answer` cuts the connection."""

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
