"""What an answer other than 200 means, and one that makes no sense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from relay.errors import BlockedByUpstream, PluginError, Unavailable, UpstreamFailed
from relay.upstream import HTTPReply

log = structlog.get_logger("relay.upstream")

LOGGED_CHARACTERS = 500
SHORTEST_SECRET = 4  # a shorter one would be cut out of every word of a log


@dataclass(frozen=True, slots=True)
class ServerName:
    """`name` as callers read it, like `the Spark server`; `table`: its settings, like `plugins.spark`;
    `credential`: which of them authorises; `secrets`: what no log may hold."""

    name: str
    table: str
    credential: str = "token"
    secrets: tuple[str, ...] = ()

    def without_secrets(self, text: str) -> str:
        for secret in self.secrets:
            if len(secret) >= SHORTEST_SECRET:
                text = text.replace(secret, "***")
        return text


class OutOfMemory(UpstreamFailed):
    """The GPU's memory is too small for what was sent at once."""


def failure(reply: HTTPReply, server: ServerName, setting: str, path: str) -> PluginError:
    """The error for an answer with a status other than 200.

    `setting` and `path`: what led here, like `plugins.spark.chat_path`. What the server said is logged for
    the operator, cut and without secrets, and not passed on.
    """
    said = reply.body[: 8 * LOGGED_CHARACTERS].decode("utf-8", "replace")
    log.warning(
        "an inference server answered with an error",
        setting=setting,
        status=reply.status,
        said=server.without_secrets(said)[:LOGGED_CHARACTERS],
    )
    code = error_code(reply.body)
    if reply.status in {401, 403} and code != "content_filter":
        wrong = f"{server.table}.{server.credential}"
        return Unavailable(f"{server.name} refused the relay's credential; the operator must correct {wrong}")
    if reply.status == 402 or code == "insufficient_quota":
        return Unavailable(f"{server.name} wants to be paid first; the operator must top up the account there")
    if reply.status in {404, 405}:
        return Unavailable(f"{server.name} has no {path}, or not that model; the operator must correct {setting}")
    return named(code, said, server) or UpstreamFailed(
        f"{server.name} answered with status {reply.status}; its text is in the relay's log"
    )


def failure_in_stream(said: Any, server: ServerName, setting: str) -> PluginError:
    """The error for an error object that came inside a stream."""
    text = msgspec.json.encode(said).decode()
    log.warning(
        "an inference server ended a stream with an error",
        setting=setting,
        said=server.without_secrets(text)[:LOGGED_CHARACTERS],
    )
    code = said.get("code") if isinstance(said, dict) else None
    return named(code, text, server) or UpstreamFailed(
        f"{server.name} failed in the middle of its answer; its text is in the relay's log"
    )


def named(code: object, said: str, server: ServerName) -> PluginError | None:
    """The failures that are recognised by what the server says, whatever the status."""
    lower = said.lower()
    if code == "content_filter":
        return BlockedByUpstream("the model refused this request")
    if "out of memory" in lower:
        return OutOfMemory(f"{server.name} ran out of GPU memory; try again later or send less at once")
    if (
        code == "context_length_exceeded"
        or "maximum context length" in lower  # OpenAI, vLLM
        or "exceed_context_size_error" in lower  # llama.cpp
    ):
        return UpstreamFailed("the text is longer than this model can read; send less at once")
    return None


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


def unreadable(reply: HTTPReply, server: ServerName, setting: str, what: str) -> UpstreamFailed:
    """The error for an answer with status 200 that makes no sense.

    The beginning is logged only when it is not JSON: a broken JSON answer may hold what somebody said.
    """
    start = reply.body[: 8 * LOGGED_CHARACTERS].lstrip().decode("utf-8", "replace")
    log.warning(
        "an inference server gave an answer that cannot be used",
        setting=setting,
        reason=what,
        length=len(reply.body),
        content_type=reply.headers.get("content-type", "")[:100],
        start="" if start.startswith(("{", "[", '"')) else server.without_secrets(start)[:LOGGED_CHARACTERS],
    )
    return UpstreamFailed(f"{server.name} gave an answer that cannot be used: {what}")
