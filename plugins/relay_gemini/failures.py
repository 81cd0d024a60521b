"""What an error answer of Gemini means, and when to ask again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import structlog
from google.genai import errors

from relay.api import (
    CallContext,
    NotAccepted,
    OutcomeUnknown,
    PluginError,
    Unavailable,
    UpstreamFailed,
    UpstreamTimeout,
)

log = structlog.get_logger("relay.gemini")

T = TypeVar("T")

MAX_WAIT = 20.0
LOGGED_CHARACTERS = 100
REFUSED = frozenset({400, 413, 422})
"""What Gemini says of a request it refuses may repeat it, so none of that is logged."""
TRIES = {429: 3, 500: 2, 503: 3}
FIRST_WAIT = {429: 2.0, 500: 0.5, 503: 1.0}


def patiently(attempt: Callable[[], T], ctx: CallContext, where: str, secret: str) -> T:
    """What `attempt` returns, asked again while Gemini says that it did nothing and later may help.

    Waits as long as Gemini asks, at most MAX_WAIT at a time and never past the deadline. `where`: the settings
    table, for messages. `secret` stays out of the log. Raises what `failure` makes of the last answer.
    """
    tries = 0
    while True:
        tries += 1
        try:
            return attempt()
        except errors.APIError as exc:
            wait = _wait(exc, tries)
            if wait is None or wait >= ctx.remaining():
                raise failure(exc, where, secret) from exc
        ctx.cancelled.wait(wait)
        ctx.remaining()


def _wait(exc: errors.APIError, tries: int) -> float | None:
    """Seconds until it makes sense to ask again, None when it does not."""
    if tries >= TRIES.get(exc.code, 1) or (exc.code == 429 and _daily(exc)):
        return None
    asked = _retry_delay(exc)
    if asked is not None:
        return asked if asked <= MAX_WAIT else None
    wait = FIRST_WAIT[exc.code] * math.ldexp(1, tries - 1)
    return wait * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, no secret


def failure(exc: errors.APIError, where: str, secret: str) -> PluginError:
    """The relay's error for an error answer. The beginning of Gemini's own text goes to the log, and no further."""
    text = str(exc.message or "").replace(secret, "***")
    code = exc.code if isinstance(exc.code, int) else 0
    said = {} if code in REFUSED else {"said": text[:LOGGED_CHARACTERS]}
    log.warning("Gemini answered with an error", status=code, word=str(exc.status)[:LOGGED_CHARACTERS], **said)
    if _about_key(exc, text):
        return Unavailable(f"Gemini refused the relay's API key; the operator must correct {where}.api_key")
    if code == 400:
        return _bad_request(exc, text, where)
    if code == 429:
        return _too_many(exc, where)
    if 300 <= code < 400:
        return Unavailable(f"Gemini's address leads to another one; the operator must correct {where}.base_url")
    known: dict[int, PluginError] = {
        404: Unavailable(f"Gemini has no such model, or no longer; the operator must correct the models in {where}"),
        408: UpstreamTimeout("Gemini did not finish in the time it was given; send less at once"),
        413: NotAccepted("this is more than Gemini takes at once; send less at once"),
        422: NotAccepted("Gemini refused the request as invalid"),
        499: OutcomeUnknown("Gemini says the call was cancelled before it was answered"),
        503: Unavailable("Gemini is overloaded; try again later", retry_after=_whole(_retry_delay(exc))),
        504: UpstreamTimeout("Gemini did not finish in the time it was given; send less at once"),
    }
    return known.get(code) or UpstreamFailed(f"Gemini answered with status {code}; the relay's log may say more")


def _about_key(exc: errors.APIError, text: str) -> bool:
    reasons = {detail.get("reason") for detail in _details(exc)}
    return exc.code in {401, 403} or (exc.code == 400 and ("API key" in text or "API_KEY_INVALID" in reasons))


def _bad_request(exc: errors.APIError, text: str, where: str) -> PluginError:
    if exc.status == "FAILED_PRECONDITION":
        return Unavailable(
            f"Gemini does not serve this account or region; the operator must look at the billing of {where}.api_key"
        )
    if "token" in text and "exceed" in text:
        return NotAccepted("this is longer than the model can read; send less at once")
    return NotAccepted("Gemini refused the request as invalid")


def _too_many(exc: errors.APIError, where: str) -> PluginError:
    if _daily(exc):
        return Unavailable(f"the daily quota of {where}.api_key is used up; try again tomorrow", retry_after=3600)
    return Unavailable(
        f"the rate limit of {where}.api_key is reached; try again later", retry_after=_whole(_retry_delay(exc)) or 30
    )


def _daily(exc: errors.APIError) -> bool:
    """A quota per day: waiting does not help."""
    violations = (item for detail in _details(exc) for item in _list(detail.get("violations")))
    return any("PerDay" in str(item.get("quotaId", "")) for item in violations if isinstance(item, dict))


def _retry_delay(exc: errors.APIError) -> float | None:
    """`retryDelay` of google.rpc.RetryInfo, like "17s", in seconds."""
    for detail in _details(exc):
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and delay.endswith("s"):
            try:
                seconds = float(delay[:-1])
            except ValueError:
                continue
            if math.isfinite(seconds) and seconds >= 0:
                return seconds
    return None


def _details(exc: errors.APIError) -> Iterator[dict[str, Any]]:
    body = exc.details if isinstance(exc.details, dict) else {}
    error = body.get("error")
    found = error.get("details") if isinstance(error, dict) else None
    return (detail for detail in _list(found) if isinstance(detail, dict))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else max(1, math.ceil(seconds))
