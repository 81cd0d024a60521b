"""`GET /admin/internal-meetings/{id}/events`: how far a meeting is, as server-sent events, until its run has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import falcon

from relay.errors import Draining, RelayError
from relay.http.held import HeldPieces
from relay.http.streams import event
from relay.services.core import Core

KEEP_ALIVE_SECONDS = 15.0
LOOK_SECONDS = 1.0
UNDER_WAY = frozenset({"uploaded", "processing"})
TOLD = ("id", "state", "step", "progress", "eta_seconds", "version")


class MeetingEvents:
    def __init__(self, core: Core) -> None:
        self._core = core

    def on_get(self, req: falcon.Request, resp: falcon.Response, meeting: str) -> None:
        """`state` and `progress` with what the list says of it, `done` with its row at the end; `error` otherwise."""
        self._core.meetings.row(meeting)
        gone = req.env.get("waitress.client_disconnected", lambda: False)
        resp.content_type = "text/event-stream"
        resp.set_header("Cache-Control", "no-store")
        resp.set_header("X-Accel-Buffering", "no")
        with ExitStack() as held:
            held.enter_context(self._core.infer.listener())
            following = Following(self._core, meeting, req.context.request_id, gone)
            resp.stream = HeldPieces(following, held.pop_all())


class Following:
    """The events, to be read once."""

    def __init__(self, core: Core, meeting: str, request_id: str, gone: Callable[[], bool]) -> None:
        self._core = core
        self._meeting = meeting
        self._request_id = request_id
        self._gone = gone

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._follow()
        except RelayError as exc:
            yield event("error", exc.body(self._request_id))

    def _follow(self) -> Iterator[bytes]:
        """The present state at once, then each change of it."""
        told: tuple[Any, ...] = ()
        spoke = time.monotonic()
        while not self._gone():
            row = self._core.meetings.row(self._meeting)
            now = (row["state"], row["step"], row["progress"])
            if now != told:
                name = "progress" if told[:1] == now[:1] else "state"
                yield event(name, {key: row[key] for key in TOLD})
                told, spoke = now, time.monotonic()
            if row["state"] not in UNDER_WAY:
                yield event("done", {"ok": True, "meeting": row})
                return
            if time.monotonic() - spoke >= KEEP_ALIVE_SECONDS:
                yield b": keep-alive\n\n"
                spoke = time.monotonic()
            if self._core.draining.wait(LOOK_SECONDS):
                raise Draining("the relay is stopping; the meeting goes on after its restart", retry_after=5)
