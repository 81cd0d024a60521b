"""One connection."""

from __future__ import annotations

import threading
import time
from typing import Any

from waitress.channel import HTTPChannel

from relay.errors import BadRequest, RelayError
from relay.http.server.errors import ErrorTask
from relay.http.server.linger import LingeringClose
from relay.http.server.parser import RequestParser
from relay.http.server.task import RequestTask


class Channel(HTTPChannel):  # type: ignore[misc]
    """waitress's channel with deadlines, a lingering close, and bodies that are given back in every case.

    The network thread calls everything but `service`, which a worker thread runs.
    """

    task_class = RequestTask
    error_task_class = ErrorTask
    request: RequestParser | None
    requests: list[RequestParser]
    socket: Any
    lingers = False
    # Turns this connection has in the workers' queue; changed under requests_lock.
    tasks = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seen_activity = self.last_activity
        self._quiet_since = time.monotonic()

    def parser_class(self, adj: Any) -> RequestParser:
        """waitress calls this as a class: the parser of the next request."""
        return RequestParser(adj, self.server.gate, self.server.spool)

    def received(self, data: bytes) -> bool:
        requests = self.requests
        if requests and requests[-1].error is not None:
            # Still the body of a refused request, whose answer is about to leave.
            return False
        more: bool = super().received(data)
        if not self.connected and self.request is not None:
            # The caller left while 100 Continue was sent, and waitress went on to the next request in `data`.
            self.request.close()
        return more

    def refuse(self, error: RelayError) -> None:
        """Answer the request that is only half here with `error`. Nothing happens without one."""
        with self.requests_lock:
            if self.request is None or self.will_close or self.close_when_flushed:
                return
            request, self.request = self.request, None
            self.sent_continue = False
            request.refuse(error)
            self.requests.append(request)
            if len(self.requests) == 1:
                self.server.add_task(self)

    def wind_down(self, error: RelayError) -> None:
        """Close a connection that has nothing to do; refuse a request that is only half here with `error`."""
        # In this order: a worker writes its answer before it takes the request off the list.
        if self.requests or self.total_outbufs_len:
            return
        if self.request is None:
            self.handle_close()
        else:
            self.refuse(error)

    def enforce_deadlines(self, now: float) -> None:
        """Refuse a caller who sends too slowly, cut one who is silent or does not read. Called every second."""
        request = self.request
        if self.total_outbufs_len == 0 and request is not None and not self.requests:
            self._enforce_arrival(request, now)
            return
        if request is not None:
            # We were not reading, or the caller was right to wait: this time is not counted.
            request.waiting_since = now
        working = self.requests and not self.total_outbufs_len
        if working or self.last_activity != self._seen_activity:
            self._seen_activity = self.last_activity
            self._quiet_since = now
        elif now - self._quiet_since > self.server.options.idle_seconds:
            self.handle_close()

    def _enforce_arrival(self, request: RequestParser, now: float) -> None:
        self._quiet_since = now
        options = self.server.options
        seconds = options.body_seconds if request.headers_finished else options.head_seconds
        if now - request.waiting_since <= seconds:
            return
        if not request.headers_finished and not request.header_plus.strip():
            # A stray line end is no request, and an answer to it would be taken for that of the next one.
            self.handle_close()
            return
        self.refuse(BadRequest(f"the request did not arrive within {seconds:g} seconds"))

    def send_continue(self) -> None:
        """waitress calls this from a worker too, which then writes the same bytes as the network thread."""
        if threading.get_ident() == self.server.network_thread:
            super().send_continue()
        else:
            self.server.pull_trigger(self._send_late_continue)

    def _send_late_continue(self) -> None:
        with self.requests_lock:
            request = self.request
            waits = request is not None and request.expect_continue and request.headers_finished
            if waits and self.connected and not self.requests and not self.sent_continue:
                super().send_continue()

    def service(self) -> None:
        super().service()
        with self.requests_lock:
            self.tasks -= 1
            # When the caller left, waitress forgets what waits behind the request just served.
            if not self.connected and self.tasks == 0:
                self._drop_requests()

    def cancel(self) -> None:
        with self.requests_lock:
            self._drop_requests()
        super().cancel()

    def handle_close(self) -> None:
        lingering = None
        if self.lingers and self.connected and not self.total_outbufs_len:
            # Taken away before waitress closes it.
            lingering, self.socket = self.socket, None
        super().handle_close()
        if self.request is not None:
            # It stays where it is: waitress may be in the middle of feeding it.
            self.request.close()
        if lingering is not None:
            LingeringClose(lingering, self._map)

    def _drop_requests(self) -> None:
        for request in self.requests:
            request.close()
        self.requests = []
