"""Which models the server lists: asked at the first use, then once a minute while it is in use, beside the calls."""

from __future__ import annotations

import threading
import time

from relay.api import CallContext, Endpoint, PluginError, openai_models

REFRESH_SECONDS = 60.0
AFTER_FAILURE_SECONDS = 5.0
ASKING_SECONDS = 5.0
FIRST_ASKING_SECONDS = 2.0


class Listing:
    """Safe to share between threads. The last list is kept until there is another, whatever fails meanwhile."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._names: tuple[str, ...] = ()
        self._stale_at = 0.0
        self._doubted = False
        self._idle = threading.Event()
        self._idle.set()

    def latest(self) -> tuple[str, ...]:
        """Empty when not known. Never waits."""
        self._refresh_if_stale()
        return self._names

    def for_call(self, ctx: CallContext) -> tuple[str, ...]:
        """Waits where nothing is known, or a call has failed since it was. Raises what `openai_models` does."""
        if not self.latest() or self._doubted:
            self._idle.wait(min(FIRST_ASKING_SECONDS, ctx.remaining()))
        return self.ask(ctx) if not self._names or self._doubted else self._names

    def ask(self, ctx: CallContext) -> tuple[str, ...]:
        names = openai_models(self._endpoint, ctx)
        self._names, self._doubted, self._stale_at = names, False, time.monotonic() + REFRESH_SECONDS
        return names

    def doubt(self) -> None:
        """A call failed: the server may have been given other models."""
        self._doubted = True

    def _refresh_if_stale(self) -> None:
        with self._lock:
            if time.monotonic() < self._stale_at or not self._idle.is_set():
                return
            self._idle.clear()
        threading.Thread(target=self._refresh, name="openai-models", daemon=True).start()

    def _refresh(self) -> None:
        try:
            self.ask(CallContext(deadline=time.monotonic() + ASKING_SECONDS))
        except PluginError:  # the client has logged it
            self._stale_at = time.monotonic() + AFTER_FAILURE_SECONDS
        finally:
            self._idle.set()
