"""Closing a connection whose caller is still sending, so that the caller reads our answer."""

from __future__ import annotations

import socket
import time
from typing import Any

from waitress.wasyncore import dispatcher

LINGER_SECONDS = 5.0
LINGER_BYTES = 64 * 1024 * 1024
_READ = 64 * 1024


class LingeringClose(dispatcher):  # type: ignore[misc]
    """Says that we are done, then reads and discards until the caller closes too, or for a bounded while.

    Closing a socket with unread bytes resets the connection, and a reset can destroy the answer on its way
    (RFC 9112 section 9.6).
    """

    def __init__(self, sock: socket.socket, sockets: dict[int, Any]) -> None:
        super().__init__(sock, map=sockets)
        self.connected = True
        self.until = time.monotonic() + LINGER_SECONDS
        self._bytes_left = LINGER_BYTES
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()

    def writable(self) -> bool:
        return False

    def handle_read(self) -> None:
        try:
            data = self.recv(_READ)
        except OSError:
            self.close()
            return
        self._bytes_left -= len(data)
        if self._bytes_left <= 0:
            self.close()

    def handle_close(self) -> None:
        self.close()

    def enforce_deadlines(self, now: float) -> None:
        if now > self.until:
            self.close()
