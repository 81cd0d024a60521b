"""Connections that know whether they ever stood, and can be shut down from another thread."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from relay.errors import Unavailable


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
        self._attach()

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            self._attach()
        super().request(*args, **kwargs)

    def _attach(self) -> None:
        self.interrupt = this_thread.interrupt
        if self.interrupt is not None and self.wire is not None:
            self.interrupt.watch(self.wire)

    def detach(self) -> None:
        if self.interrupt is not None:
            self.interrupt.release()
            self.interrupt = None


class TLSConnection(Connection, HTTPSConnection):
    pass


class Pool(HTTPConnectionPool):
    ConnectionCls = Connection

    def _put_conn(self, conn: Any) -> None:
        if isinstance(conn, Connection):
            conn.detach()
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
