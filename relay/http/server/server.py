"""The server: waitress with our channel, our loop and an orderly end."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from relay.errors import Draining
from relay.http.server.channel import Channel
from relay.http.server.listening import BACKLOG
from relay.http.server.options import Gate, ServerOptions
from relay.http.server.process import allow_open_files
from relay.http.server.spool import Spool

log = logging.getLogger(__name__)

MAX_HEADER_BYTES = 64 * 1024
SWEEP_SECONDS = 1.0
ACCEPTS_PER_TURN = 64
# A connection may hold a spool file beside its socket; the rest is for storage, upstream and logs.
SPARE_FILES = 512


def _adjustments(sock: socket.socket, options: ServerOptions) -> Adjustments:
    return Adjustments(
        sockets=[sock],
        threads=options.threads,
        backlog=BACKLOG,
        connection_limit=options.connection_limit,
        asyncore_use_poll=True,
        # Without it nobody notices that a caller hung up while the application works.
        channel_request_lookahead=1,
        max_request_header_size=MAX_HEADER_BYTES,
        # The gate decides; waitress's own limit would answer before it.
        max_request_body_size=sys.maxsize,
        ident=None,
        expose_tracebacks=False,
        log_socket_errors=False,
        # Forwarded headers are the business of a middleware. waitress trusts none and touches none.
        trusted_proxy=None,
        clear_untrusted_proxy_headers=False,
    )


class Server(TcpWSGIServer):  # type: ignore[misc]
    """Serves `app` on `sock`, which must be listening. The server owns the socket from here on.

    Raises ConfigError when the spool folder cannot be made.
    """

    channel_class = Channel

    def __init__(self, app: Callable[..., Any], sock: socket.socket, gate: Gate, options: ServerOptions) -> None:
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        allow_open_files(2 * options.connection_limit + SPARE_FILES)
        self.gate = gate
        self.options = options
        self.spool = Spool(options.spool_dir, options.max_spool_bytes)
        self.draining = False
        self.network_thread = 0
        self._stop_at: float | None = None
        self._next_sweep = 0.0
        super().__init__(
            app,
            _sock=sock,
            dispatcher=ThreadedTaskDispatcher(),
            adj=_adjustments(sock, options),
            sockinfo=(sock.family, sock.type, sock.proto, sock.getsockname()),
            bind_socket=False,
        )
        os.set_blocking(self.trigger.trigger, False)
        # Closed when nobody can pull it any more. Earlier, its number could belong to another file by then.
        weakref.finalize(self, self.trigger.close)

    def run(self) -> bool:
        """Serve in this thread until `stop`. True when every request that had arrived got its answer."""
        self.network_thread = threading.get_ident()
        self.task_dispatcher.set_thread_count(self.options.threads)
        try:
            while self._stop_at is None:
                self._turn(SWEEP_SECONDS)
            return self._drain()
        finally:
            self._end()

    def stop(self, drain_seconds: float) -> None:
        """Make `run` stop accepting, finish what it has for at most `drain_seconds`, and return.

        Returns at once; any thread and a signal handler may call it. A second call can only shorten the time.
        """
        stop_at = time.monotonic() + drain_seconds
        self._stop_at = stop_at if self._stop_at is None else min(self._stop_at, stop_at)
        self.pull_trigger()

    def pull_trigger(self, then: Callable[[], None] | None = None) -> None:
        """Wake the network thread, and let it run `then`."""
        # No lock here: held across the write it would queue up the workers. A full pipe wakes the loop as well.
        with contextlib.suppress(BlockingIOError):
            self.trigger.pull_trigger(then)

    def add_task(self, channel: Channel) -> None:
        channel.tasks += 1
        super().add_task(channel)

    def handle_accept(self) -> None:
        """Several at once: every turn of the loop looks at all connections, which a crowd would pay for each time."""
        self._accept_waiting(ACCEPTS_PER_TURN)

    def _accept_waiting(self, at_most: int) -> None:
        room = self.options.connection_limit - len(self._map)
        for _ in range(min(room, at_most)):
            before = len(self.active_channels)
            super().handle_accept()
            if len(self.active_channels) == before:
                return

    def accept(self) -> Any:
        try:
            return super().accept()
        except OSError as exc:
            # Out of file descriptors or memory: the port stays readable, so asking again at once would spin.
            log.warning("cannot accept connections for a second: %s", exc)
            self.accepting = False
            return None

    def maintenance(self, now: float) -> None:
        """waitress's own is replaced by the deadlines of each connection."""

    def _turn(self, timeout: float) -> None:
        wasyncore.poll2(timeout, self._map)
        now = time.monotonic()
        if now < self._next_sweep:
            return
        self._next_sweep = now + SWEEP_SECONDS
        self.accepting = not self.draining
        for connection in list(self._map.values()):
            if connection is not self and connection is not self.trigger:
                connection.enforce_deadlines(now)

    def _drain(self) -> bool:
        """What the kernel took on our behalf still gets an answer; whoever has not asked is let go."""
        self._accept_waiting(BACKLOG)
        self.draining = True
        wasyncore.dispatcher.close(self)
        self._turn(0)
        while True:
            for channel in self._channels():
                channel.wind_down(Draining("the relay is stopping; try again in a moment", retry_after=5))
            left = (self._stop_at or 0) - time.monotonic()
            # Only the trigger stays to the end.
            if len(self._map) == 1 or left <= 0:
                break
            self._turn(min(left, SWEEP_SECONDS))
        unfinished = len(self._channels())
        if unfinished:
            log.warning("%d requests did not finish in time and were abandoned", unfinished)
        return not unfinished

    def _channels(self) -> list[Channel]:
        return list(self.active_channels.values())

    def _end(self) -> None:
        for connection in list(self._map.values()):
            if connection is not self and connection is not self.trigger:
                connection.handle_close()
        self.task_dispatcher.shutdown(timeout=1)
        wasyncore.dispatcher.close(self)
        self._map.clear()
