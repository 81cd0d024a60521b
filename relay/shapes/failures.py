"""What an answer other than 200 means, and one that makes no sense."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from relay.errors import BlockedByUpstream, NotAccepted, PluginError, Unavailable, UpstreamFailed, UpstreamTimeout
from relay.upstream import HTTPReply

log = structlog.get_logger("relay.upstream")

READ_BYTES = 4000
LOGGED_CHARACTERS = 100
SHORTEST_SECRET = 4  # a shorter one would be cut out of every word of a log
REFUSED = frozenset({400, 413, 422})
"""The request is at fault. What is said then often repeats it, so none of it is logged."""
GAVE_UP = frozenset({408, 504, 522, 524})
"""Somebody on the way stopped waiting; the server itself may still be at work (522 and 524 are Cloudflare's)."""
WORD = re.compile(r"[\w.-]{1,64}", re.ASCII)


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

    `setting` and `path`: what led here, like `plugins.spark.chat_path`. What the server said is not passed on; the
    log has its beginning, without secrets.
    """
    said = reply.body[:READ_BYTES].decode("utf-8", "replace")
    error = _error(reply.body)
    code, refused = error.get("code"), reply.status in REFUSED
    log.warning(
        "an inference server answered with an error",
        setting=setting,
        status=reply.status,
        **_loggable(error, "" if refused else said, server),
    )
    if (wrong := _for_the_operator(reply.status, code, server, setting, path)) is not None:
        return Unavailable(wrong)
    if reply.status in GAVE_UP:
        return UpstreamTimeout(f"{server.name} did not answer in the time it was given (status {reply.status})")
    if (known := named(code, said, server, refused=refused)) is not None:
        return known
    if refused:
        advice = "; send less at once" if reply.status == 413 else ""
        return NotAccepted(f"{server.name} does not accept this request (status {reply.status}){advice}")
    return UpstreamFailed(f"{server.name} answered with status {reply.status}; the relay's log may say more")


def _for_the_operator(status: int, code: object, server: ServerName, setting: str, path: str) -> str | None:
    """What the operator must put right before this can work."""
    if status in {401, 403} and code != "content_filter":
        wrong = f"{server.table}.{server.credential}"
        return f"{server.name} refused the relay's credential; the operator must correct {wrong}"
    if status == 402 or code == "insufficient_quota":
        return f"{server.name} wants to be paid first; the operator must top up the account there"
    if status in {404, 405}:
        return f"{server.name} has no {path}, or not that model; the operator must correct {setting}"
    return None


def failure_in_stream(said: Any, server: ServerName, setting: str) -> PluginError:
    """The error for an error object that came inside a stream. It has no status, so its own words must tell whether
    the request is at fault: vLLM's `"code": 400`, OpenAI's `"type": "invalid_request_error"`."""
    error = said if isinstance(said, dict) else {}
    code = error.get("code")
    refused = code in REFUSED if isinstance(code, int) else "request" in str(error.get("type", "")).lower()
    text = msgspec.json.encode(said)[:READ_BYTES].decode("utf-8", "replace")
    log.warning(
        "an inference server ended a stream with an error",
        setting=setting,
        **_loggable(error, "" if refused else text, server),
    )
    if (known := named(code, text, server, refused=refused)) is not None:
        return known
    if refused:
        return NotAccepted(f"{server.name} does not accept this request")
    return UpstreamFailed(f"{server.name} failed in the middle of its answer; the relay's log may say more")


def named(code: object, said: str, server: ServerName, *, refused: bool) -> PluginError | None:
    """The failures that are recognised by what the server says. `refused`: because of the request, which may be
    repeated in it."""
    lower = said.lower()
    if code == "content_filter":
        return BlockedByUpstream("the model refused this request")
    if "out of memory" in lower and not refused:
        return OutOfMemory(f"{server.name} ran out of GPU memory; try again later or send less at once")
    if (
        code == "context_length_exceeded"
        or "maximum context length" in lower  # OpenAI, vLLM
        or "exceed_context_size_error" in lower  # llama.cpp
    ):
        return NotAccepted("the text is longer than this model can read; send less at once")
    return None


def error_code(body: bytes) -> object:
    """`error.code` or top-level `code` of an error in OpenAI's shape, else None."""
    return _error(body).get("code")


def _error(body: bytes) -> dict[str, Any]:
    """The error object in OpenAI's shape or vLLM's, empty when there is none."""
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    if not isinstance(data, dict):
        return {}
    error = data.get("error")
    return error if isinstance(error, dict) else data


def _loggable(error: dict[str, Any], said: str, server: ServerName) -> dict[str, str]:
    """What of an error the log may hold: its code and type, when they are single words, and the beginning of `said`."""
    words = {name: str(error[name]) for name in ("code", "type") if WORD.fullmatch(str(error.get(name, "")))}
    found = words | ({"said": said} if said else {})
    return {name: server.without_secrets(text)[:LOGGED_CHARACTERS] for name, text in found.items()}


def unreadable(reply: HTTPReply, server: ServerName, setting: str, what: str) -> UpstreamFailed:
    """The error for an answer with status 200 that makes no sense.

    The beginning is logged only when it is not JSON: a broken JSON answer may hold what somebody said.
    """
    start = reply.body[:READ_BYTES].lstrip().decode("utf-8", "replace")
    log.warning(
        "an inference server gave an answer that cannot be used",
        setting=setting,
        reason=what,
        length=len(reply.body),
        content_type=reply.headers.get("content-type", "")[:100],
        start="" if start.startswith(("{", "[", '"')) else server.without_secrets(start)[:LOGGED_CHARACTERS],
    )
    return UpstreamFailed(f"{server.name} gave an answer that cannot be used: {what}")
