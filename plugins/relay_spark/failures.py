"""What an answer other than 200 means, and waiting while the server is busy."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import structlog

from relay.api import BlockedByUpstream, CallContext, HTTPReply, PluginError, Unavailable, UpstreamFailed

log = structlog.get_logger("relay.spark")

BUSY = frozenset({409, 429, 503})
MAX_TRIES = 5
FIRST_WAIT = 0.5
MAX_WAIT = 20.0
LOGGED_CHARACTERS = 500


def patiently(send: Callable[[float], HTTPReply], ctx: CallContext) -> HTTPReply:
    """The first answer that is not "busy". `send` is given the seconds left for one try.

    Waits as long as Retry-After asks, at most MAX_WAIT at a time and never past the deadline: then, and
    after MAX_TRIES, it raises Unavailable. A server that says it is busy has done nothing.
    """
    wait = 0.0
    for attempt in range(MAX_TRIES):
        reply = send(ctx.remaining())
        if reply.status not in BUSY:
            return reply
        wait = retry_after(reply, FIRST_WAIT * 2**attempt)
        if attempt + 1 == MAX_TRIES or wait >= ctx.remaining():
            break
        ctx.cancelled.wait(wait)
    raise Unavailable("the Spark server is busy; try again later", retry_after=max(1, math.ceil(wait)))


def retry_after(reply: HTTPReply, otherwise: float) -> float:
    """Seconds the answer asks to wait, between 0 and MAX_WAIT; `otherwise` when it gives no number."""
    try:
        seconds = float(reply.headers.get("retry-after", ""))
    except ValueError:
        seconds = otherwise
    return min(max(seconds, 0.0), MAX_WAIT) if math.isfinite(seconds) else MAX_WAIT


def failure(reply: HTTPReply, path_key: str, path: str, secret: str | None) -> PluginError:
    """The error for an answer with a status other than 200.

    `path_key` and `path`: the setting that led here, like `plugins.spark.chat_path`. What the server said is
    logged for the operator, cut and without `secret`, and not passed on.
    """
    text = reply.body[: 8 * LOGGED_CHARACTERS].decode("utf-8", "replace")
    said = (text.replace(secret, "***") if secret else text)[:LOGGED_CHARACTERS]
    log.warning("the Spark server answered with an error", setting=path_key, status=reply.status, said=said)
    table = path_key.rpartition(".")[0]
    if reply.status in {401, 403}:
        return Unavailable(f"the Spark server refused the relay's token; the operator must correct {table}.token")
    if reply.status in {404, 405}:
        return Unavailable(f"the Spark server has no {path}, or not that model; the operator must correct {path_key}")
    if error_code(reply.body) == "content_filter":
        return BlockedByUpstream("the model refused this request")
    lower = text.lower()
    if "out of memory" in lower:
        return UpstreamFailed("the Spark server ran out of GPU memory; try again later or send less at once")
    if "maximum context length" in lower:
        return UpstreamFailed("the text is longer than this model can read; send less at once")
    return UpstreamFailed(f"the Spark server answered with status {reply.status}; its text is in the relay's log")


def error_code(body: bytes) -> object:
    """`error.code` or top-level `code` of an error in OpenAI's shape, else None."""
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    error = data.get("error")
    return error.get("code") if isinstance(error, dict) else data.get("code")


def unreadable(reply: HTTPReply, path_key: str, what: str) -> UpstreamFailed:
    """The error for an answer with status 200 that makes no sense.

    The beginning is logged only when it is not JSON: a broken JSON answer may hold what somebody said.
    """
    start = reply.body.lstrip()[:LOGGED_CHARACTERS].decode("utf-8", "replace")
    log.warning(
        "the Spark server gave an answer that cannot be used",
        setting=path_key,
        reason=what,
        length=len(reply.body),
        content_type=reply.headers.get("content-type", "")[:100],
        start="" if start.startswith(("{", "[", '"')) else start,
    )
    return UpstreamFailed(f"the Spark server gave an answer that cannot be used: {what}")
