"""The connections under Google's SDK: they know the call they work for, so that it can be ended from outside.

The SDK has no way to stop a call that waits, and its timeout starts anew with every byte. Here every read and
write of a socket is given no more than what is left of the call's time, and `Guard.stop` ends the one that waits.
Proxies and keys from the environment never get this far: there is one place to connect to.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpcore2
import httpx2

from relay.api import CallContext, OutcomeUnknown, Unavailable, UpstreamFailed, UpstreamTimeout

MAX_ANSWER_BYTES = 64 * 1024 * 1024
SLICE = 64 * 1024

_current: ContextVar[Guard | None] = ContextVar("relay_gemini_call", default=None)


class Guard:
    """One call, and the socket that its thread waits for just now."""

    def __init__(self, ctx: CallContext) -> None:
        self.ctx = ctx
        self._lock = threading.Lock()
        self._waits_for: socket.socket | None = None
        self._stopped = False
        self._received = 0

    @contextmanager
    def active(self) -> Iterator[None]:
        """Connections used inside belong to this call."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    @contextmanager
    def waiting(self, sock: socket.socket, timeout: float | None) -> Iterator[float]:
        """Gives the seconds to wait at most. Outside, the socket may be another call's already."""
        left = self.ctx.remaining()
        with self._lock:
            if self._stopped:
                raise Unavailable("the call was cancelled")
            self._waits_for = sock
        try:
            yield left if timeout is None else min(left, timeout)
        finally:
            with self._lock:
                self._waits_for = None

    def stop(self) -> None:
        """End the read or write that is under way, and refuse every later one."""
        with self._lock:
            self._stopped = True
            if self._waits_for is not None:
                with contextlib.suppress(OSError):
                    # Not the method of SSLSocket: that one takes the TLS state away from under the reading thread.
                    socket.socket.shutdown(self._waits_for, socket.SHUT_RDWR)

    def count(self, received: int) -> None:
        self._received += received
        if self._received > MAX_ANSWER_BYTES:
            raise UpstreamFailed(f"Gemini sent an answer of more than {MAX_ANSWER_BYTES} bytes")


class _Stream(httpcore2.NetworkStream):
    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner

    def _waiting(self, timeout: float | None) -> contextlib.AbstractContextManager[float | None]:
        guard = _current.get()
        sock = self._inner.get_extra_info("socket")
        return contextlib.nullcontext(timeout) if guard is None else guard.waiting(sock, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with self._waiting(timeout) as patience:
            data = self._inner.read(max_bytes, patience)
        if (guard := _current.get()) is not None:
            guard.count(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for at in range(0, len(buffer), SLICE):  # the time is looked at again before each
            with self._waiting(timeout) as patience:
                self._inner.write(buffer[at : at + SLICE], patience)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        with self._waiting(timeout) as patience:
            return _Stream(self._inner.start_tls(ssl_context, server_hostname, patience))

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Network(httpcore2.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        guard = _current.get()
        if guard is not None:
            left = guard.ctx.remaining()
            timeout = left if timeout is None else min(left, timeout)
        return _Stream(super().connect_tcp(host, port, timeout, local_address, socket_options))


class Transport(httpx2.BaseTransport):
    """One pool to one place. Failures leave as the relay's errors, which say whether anything happened there."""

    def __init__(self, base_url: str, connect_timeout: float) -> None:
        self._home = _origin(httpx2.URL(base_url))
        self._connect_timeout = connect_timeout
        self._pool = httpcore2.ConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=None,  # the core bounds the calls
            max_keepalive_connections=32,
            keepalive_expiry=15,
            network_backend=_Network(),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if _origin(request.url) != self._home:
            raise UpstreamFailed(
                "Gemini's server wanted to send this call to another server, which the relay does not do"
            )
        assert isinstance(request.stream, httpx2.SyncByteStream)
        timeouts = dict(request.extensions.get("timeout", {}), connect=self._connect_timeout)
        sent = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions={**request.extensions, "timeout": timeouts},
        )
        with _our_errors():
            reply = self._pool.handle_request(sent)
        assert isinstance(reply.stream, Iterable)
        return httpx2.Response(reply.status, headers=reply.headers, stream=_Body(reply), extensions=reply.extensions)

    def close(self) -> None:
        self._pool.close()


class _Body(httpx2.SyncByteStream):
    def __init__(self, reply: httpcore2.Response) -> None:
        self._reply = reply

    def __iter__(self) -> Iterator[bytes]:
        with _our_errors():
            yield from self._reply.iter_stream()

    def close(self) -> None:
        self._reply.close()


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except (httpcore2.ConnectError, httpcore2.ConnectTimeout, httpcore2.PoolTimeout) as exc:
        _alive()
        raise Unavailable(f"Gemini could not be reached: {_reason(exc)}") from exc
    except httpcore2.TimeoutException as exc:
        _alive()
        raise UpstreamTimeout("Gemini did not finish its answer in time") from exc
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as exc:
        _alive()
        raise OutcomeUnknown(f"the connection to Gemini was lost after the request was sent: {_reason(exc)}") from exc


def _alive() -> None:
    """Raises what happened first, when the connection ended because the call did."""
    if (guard := _current.get()) is not None:
        guard.ctx.remaining()


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _reason(exc: BaseException) -> str:
    """The innermost cause in words, without addresses of objects or what was sent."""
    cause = exc
    while inner := cause.__cause__ or next((arg for arg in cause.args if isinstance(arg, BaseException)), None):
        cause = inner
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message})"
    if isinstance(cause, TimeoutError):
        return "it did not answer in time"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return type(cause).__name__
