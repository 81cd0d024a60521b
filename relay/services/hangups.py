"""Noticing that a caller has hung up, so that the call behind it is cancelled and costs nothing more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from relay.ports.inference import CallContext

log = structlog.get_logger("relay.hangups")

POLL_SECONDS = 0.2


class Hangups:
    """One thread asks for all running calls. It lives from the first call that is watched until `stop`."""

    def __init__(self) -> None:
        self._calls: dict[int, CallContext] = {}
        self._stop = threading.Event()
        self._started = False
        self._lock = threading.Lock()

    @contextmanager
    def watching(self, ctx: CallContext) -> Iterator[None]:
        """While inside, `ctx.cancel()` is called soon after `ctx.gone()` became true."""
        self._start()
        key = id(ctx)
        self._calls[key] = ctx
        try:
            yield
        finally:
            del self._calls[key]

    def stop(self) -> None:
        self._stop.set()

    def _start(self) -> None:
        if self._started:
            return
        with self._lock:
            if not self._started:
                threading.Thread(target=self._run, name="hang-ups", daemon=True).start()
                self._started = True

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            for ctx in tuple(self._calls.values()):
                try:
                    if not ctx.cancelled.is_set() and ctx.gone():
                        ctx.cancel()
                except Exception:
                    # A plugin's `stop` that raises must not end this for everybody else.
                    log.exception("cancel_failed")
