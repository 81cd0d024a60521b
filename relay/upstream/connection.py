"""Connections that know whether they ever stood, and can be shut down from another thread."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from relay.errors import Unavailable

IDLE_SECONDS = 30.0
"""A connection that nobody used for so long is opened anew: what is in between may have forgotten it silently."""


class Interrupt:
    """Ends what one call waits for, by shutting down the connection it is using now.

    `fired` says that it did. A connection on its way back to the pool is let go first: the next call on it
    is somebody else's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wire: socket.socket | None = None
        self._stopped = False
        self.fired = False

    def watch(self, wire: socket.socket) -> None:
        with self._lock:
            self._wire = wire
            if self._stopped:
                self._shut(wire)

    def release(self) -> None:
        with self._lock:
            self._wire = None

    def stop(self) -> None:
        """From any thread, as often as wanted; neither waits nor raises."""
        with self._lock:
            self._stopped = True
            if self._wire is not None:
                self._shut(self._wire)

    def _shut(self, wire: socket.socket) -> None:
        self.fired = True
        with contextlib.suppress(OSError):
            # Not SSLSocket.shutdown, which would take the TLS layer away under the thread that reads.
            socket.socket.shutdown(wire, socket.SHUT_RDWR)


class _Thread(threading.local):
    """`interrupt` of the call this thread is making: the pool has no way to hand it to a connection."""

    interrupt: Interrupt | None = None


this_thread = _Thread()


class Connection(HTTPConnection):
    """Pool and http.client connect lazily and report a failed TLS handshake like a lost answer; only here is
    it certain that no byte of the request has left. `wire` outlives `sock`, which http.client drops when the
    server announces that it will close.
    """

    wire: socket.socket | None = None
    interrupt: Interrupt | None = None
    idle_since = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connect_seconds: float = self.timeout or 0.0

    def connect(self) -> None:
        patience = self.timeout
        self.timeout = min(patience, self._connect_seconds) if patience else self._connect_seconds
        try:
            super().connect()
        except (HTTPError, OSError, UnicodeError) as exc:
            raise Unavailable(
                f"the inference server could not be reached: {reason(exc)}; the operator finds its address in the log"
            ) from exc
        finally:
            self.timeout = patience
        self.wire = self.sock
        self.wire.settimeout(patience)
        self._readable = select.poll()
        self._readable.register(self.wire, select.POLLIN)
        self.attach()

    @property
    def is_connected(self) -> bool:
        """Whether the pool may hand it out again: nothing came since the last answer, neither bytes nor the end."""
        if self.sock is None or time.monotonic() - self.idle_since > IDLE_SECONDS:
            return False
        return not self._readable.poll(0)

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            self.attach()
        super().request(*args, **kwargs)

    def attach(self) -> None:
        self.interrupt = this_thread.interrupt
        if self.interrupt is not None and self.wire is not None:
            self.interrupt.watch(self.wire)

    def detach(self) -> None:
        if self.interrupt is not None:
            self.interrupt.release()
            self.interrupt = None

    def drop(self) -> None:
        """Hang up; whoever cancels the call afterwards must not reach a socket that has this one's number by then."""
        self.detach()
        self.close()


class TLSConnection(Connection, HTTPSConnection):
    pass


class Pool(HTTPConnectionPool):
    ConnectionCls = Connection

    def take(self, patience: float) -> Connection:
        """A connection that stands, on which nothing was asked yet, or an idle one. `patience`: seconds to connect.

        Raises Unavailable when there is none to be had, ClosedPoolError after `close`.
        """
        connection = self._get_conn()
        if not isinstance(connection, Connection):
            raise TypeError(f"a pool of {type(connection).__name__}")
        if connection.sock is not None:
            connection.attach()
            return connection
        connection.timeout = patience
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

    def give_back(self, connection: Connection) -> None:
        """For the next call. The answer to the last one was read to its end."""
        self._put_conn(connection)

    def _put_conn(self, conn: Any) -> None:
        if isinstance(conn, Connection):
            conn.detach()
            conn.idle_since = time.monotonic()
            if isinstance(conn.sock, ssl.SSLSocket) and conn.sock.pending():
                conn.close()  # more came than the answer, and was decrypted already: `is_connected` cannot see it
        super()._put_conn(conn)


class TLSPool(Pool, HTTPSConnectionPool):
    ConnectionCls = TLSConnection


def reason(exc: BaseException) -> str:
    """The innermost cause in words. urllib3's own text holds object addresses, so it is not used."""
    cause: BaseException = exc
    while inner := cause.__cause__ or next((arg for arg in cause.args if isinstance(arg, BaseException)), None):
        cause = inner
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message})"
    if isinstance(cause, TimeoutError):
        return "it did not answer in time"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return type(cause).__name__
