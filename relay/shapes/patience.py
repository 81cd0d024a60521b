"""Waiting while a server is busy."""

from __future__ import annotations

import math

from relay.errors import Unavailable
from relay.ports.inference import CallContext
from relay.shapes.failures import error_code
from relay.upstream import HTTPReply

BUSY = frozenset({409, 429, 503})
MAX_TRIES = 5
FIRST_WAIT = 0.5
MAX_WAIT = 20.0


def busy(reply: HTTPReply) -> bool:
    """It did nothing and wants to be asked again. 429 is also said of an empty account: no wait helps there."""
    return reply.status in BUSY and error_code(reply.body) != "insufficient_quota"


class Patience:
    """Waits as long as Retry-After asks, at most MAX_WAIT at a time, MAX_TRIES times, never past the deadline."""

    def __init__(self, server: str, ctx: CallContext) -> None:
        self._server = server
        self._ctx = ctx
        self._tries = 0

    def wait(self, reply: HTTPReply) -> None:
        """Raises Unavailable when it is not worth waiting any more, or the call was cancelled."""
        seconds = retry_after(reply, FIRST_WAIT * 2**self._tries)
        self._tries += 1
        if self._tries == MAX_TRIES or seconds >= self._ctx.remaining():
            raise Unavailable(f"{self._server} is busy; try again later", retry_after=max(1, math.ceil(seconds)))
        self._ctx.cancelled.wait(seconds)


def retry_after(reply: HTTPReply, otherwise: float) -> float:
    """Seconds the answer asks to wait, between 0 and MAX_WAIT; `otherwise` when it gives no number."""
    try:
        seconds = float(reply.headers.get("retry-after", ""))
    except ValueError:
        seconds = otherwise
    return min(max(seconds, 0.0), MAX_WAIT) if math.isfinite(seconds) else MAX_WAIT
