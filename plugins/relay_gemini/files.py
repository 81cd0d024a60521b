"""Recordings too large for a request wait in Google's Files API: not a second longer than they are needed."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from relay.api import CallContext, NotAccepted, OutcomeUnknown, PluginError, Unavailable

if TYPE_CHECKING:
    from relay_gemini.client import Client

log = structlog.get_logger("relay.gemini")

PREFIX = "recap-relay-"
LEFT_OVER = timedelta(hours=3)  # longer than any call: another relay may be using the same key
TIDY_SECONDS = 5.0
FIRST_WAIT, MAX_WAIT = 0.2, 5.0


@contextmanager
def uploaded(client: Client, path: Path, mime_type: str, ctx: CallContext) -> Iterator[dict[str, Any]]:
    """A part that stands for the file, which Google keeps while the block runs.

    Raises NotAccepted when Google cannot read it. One that cannot be deleted is logged; Google does it in 48 h.
    """
    with _no_model_asked(ctx):
        file = client.upload(path, mime_type, PREFIX + secrets.token_hex(8), ctx)
    name = file.name or ""
    try:
        wait = FIRST_WAIT
        while _word(file.state) != "ACTIVE":
            if _word(file.state) == "FAILED":
                raise NotAccepted("Gemini could not read the recording")
            ctx.cancelled.wait(min(wait, ctx.remaining()))
            wait = min(wait * 2, MAX_WAIT)
            with _no_model_asked(ctx):
                file = client.file(name, ctx)
        yield {"file_data": {"file_uri": file.uri, "mime_type": mime_type}}
    finally:
        _delete(client, name)


@contextmanager
def _no_model_asked(ctx: CallContext) -> Iterator[None]:
    """Whatever became of the file, no answer is under way: a failure here is certain, unless the time is over."""
    try:
        yield
    except OutcomeUnknown as exc:
        ctx.remaining()
        raise Unavailable(f"the recording could not be brought to Gemini: {exc.message}") from exc


def sweep(client: Client, ctx: CallContext) -> None:
    """Delete what a relay that was killed has left behind. Ends early with `ctx`, in whose call it runs."""
    oldest = datetime.now(UTC) - LEFT_OVER
    moment = CallContext(min(ctx.deadline, time.monotonic() + TIDY_SECONDS), ctx.cancelled, ctx.gone)
    try:
        with ctx.interruptible(moment.cancel):
            for file in client.files(moment):
                ours = (file.display_name or "").startswith(PREFIX)
                if ours and file.name and file.create_time is not None and file.create_time < oldest:
                    client.delete(file.name, moment)
    except PluginError as exc:
        log.warning("could not delete old files at Gemini", error=exc.message)


def _delete(client: Client, name: str) -> None:
    """Also when the call itself has no time left or was cancelled."""
    try:
        client.delete(name, CallContext(time.monotonic() + TIDY_SECONDS))
    except PluginError as exc:
        log.warning(
            "a recording was not deleted at Gemini; Google does it after 48 hours", file=name, error=exc.message
        )


def _word(state: Any) -> str:
    return str(getattr(state, "value", state) or "")
