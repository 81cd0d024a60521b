"""What happens to one job, as server-sent events, until it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from relay.errors import Draining, RelayError
from relay.http.streams import event
from relay.ports.auth import Identity
from relay.services.core import Core

KEEP_ALIVE_SECONDS = 15.0
LOOK_SECONDS = 1.0
"""How long a listener waits before it looks again by itself: for its place in the line, a hang-up, the relay's end."""
ENDED = frozenset({"completed", "failed", "cancelled"})


class JobEvents:
    """The events, to be read once."""

    def __init__(
        self,
        core: Core,
        identity: Identity,
        name: str,
        *,
        request_id: str,
        gone: Callable[[], bool],
    ) -> None:
        self._core = core
        self._identity = identity
        self._name = name
        self._request_id = request_id
        self._gone = gone

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._follow()
            yield event("done", {"ok": True, "job": self._core.jobs.view(self._identity, self._name)})
        except RelayError as exc:
            yield event("error", exc.body(self._request_id))

    def _follow(self) -> Iterator[bytes]:
        """The present state at once, then each change of it. Ends with the job; raises Draining."""
        told: dict[str, Any] = {}
        seen, spoke = -1, time.monotonic()
        while not self._gone():
            job = self._core.jobs.view(self._identity, self._name, result=False)
            now = {key: job[key] for key in ("id", "server_job_id", "state", "position", "progress")}
            if now != told:
                moved = told and (now["state"], now["position"]) == (told["state"], told["position"])
                yield event("progress" if moved else "state", now)
                told, spoke = now, time.monotonic()
            if job["state"] in ENDED:
                return
            if self._core.draining.is_set():
                raise Draining("the relay is stopping; the job goes on after its restart", retry_after=5)
            if time.monotonic() - spoke >= KEEP_ALIVE_SECONDS:
                yield b": keep-alive\n\n"
                spoke = time.monotonic()
            seen = self._core.jobs.wait(job["server_job_id"], seen, LOOK_SECONDS)
