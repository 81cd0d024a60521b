"""A small HTTP client for inference backends on one kept urllib3 pool.

urllib3 instead of `requests`, because a metered call pays for its transport on every request. What this
file adds is the money question, "did anything happen there?", answered for every way a call can fail.
"""

from __future__ import annotations

import re
import secrets
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec
import structlog
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Retry, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ClosedPoolError, DecodeError, HTTPError, LocationParseError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse
from urllib3.util import parse_url

from relay import __version__
from relay.errors import OutcomeUnknown, PluginError, Unavailable, UpstreamFailed, UpstreamTimeout

log = structlog.get_logger("relay.upstream")

MAX_REPLY_BYTES = 64 * 1024 * 1024
PIECE_BYTES = 64 * 1024
NO_RETRY = Retry(total=False, redirect=False)
BAD_HEADER = re.compile(r"[^\x20-\x7e]")

Body = bytes | IO[bytes] | Iterable[bytes] | None


@dataclass(frozen=True, slots=True)
class HTTPReply:
    """An answer, whatever its status. `headers` ignores letter case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Connection(HTTPConnection):
    """A connection that knows whether it ever stood.

    Pool and http.client connect lazily and report a failed TLS handshake like a lost answer; only here is
    it certain that no byte of the request has left. `wire` outlives `sock`, which http.client drops when the
    server announces that it will close.
    """

    wire: socket.socket | None = None

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
                f"the inference server could not be reached: {_reason(exc)}; the operator finds its address in the log"
            ) from exc
        finally:
            self.timeout = patience
        self.wire = self.sock
        self.wire.settimeout(patience)


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class HTTPClient:
    """One service at one base URL, over connections that are kept; safe to share between threads.

    `base_url` is http or https and may have a path, which goes before every path. `headers` go with every
    request. `connect_timeout` in seconds for the connection, `read_timeout` in seconds for a whole call. Up
    to `pool_size` idle connections are kept; more calls at once open more. Nothing is contacted here.

    Proxies named in the environment are not used and redirects are not followed: recordings go where the
    setting says and nowhere else. Raises ValueError, without the value of any header, for what cannot work.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 600.0,
        pool_size: int = 64,
    ) -> None:
        scheme, self._host, port, self._prefix = _split(base_url)
        self._headers = {"user-agent": f"recap-relay/{__version__}", **_checked(headers)}
        self._json_headers = {**self._headers, "content-type": "application/json"}
        self._read_timeout = read_timeout
        timeout = Timeout(connect=connect_timeout, read=read_timeout)
        self._pool: HTTPConnectionPool
        if scheme == "https":
            # One context for all connections: loading the machine's certificates takes milliseconds.
            self._pool = HTTPSConnectionPool(
                self._host, port, timeout=timeout, maxsize=pool_size, ssl_context=ssl.create_default_context()
            )
            self._pool.ConnectionCls = _TLSConnection
        else:
            self._pool = HTTPConnectionPool(self._host, port, timeout=timeout, maxsize=pool_size)
            self._pool.ConnectionCls = _Connection
        self.where = f"{self._host}:{self._pool.port}"

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        max_bytes: int = MAX_REPLY_BYTES,
    ) -> HTTPReply:
        """Send one request, once, and read the whole answer.

        `timeout`: seconds left for everything; never more than the client's `read_timeout`. A `body` without
        a known length is sent in chunks unless `headers` carry its content-length.

        Raises Unavailable (no connection, so nothing happened), UpstreamTimeout, UpstreamFailed (the answer
        is over `max_bytes`, or its content-encoding is broken), OutcomeUnknown (lost after sending).
        """
        merged = {**self._headers, **_checked(headers)} if headers else self._headers
        return self._send(method, path, body, merged, timeout=timeout, max_bytes=max_bytes)

    def post_json(
        self, path: str, obj: Any, *, timeout: float | None = None, max_bytes: int = MAX_REPLY_BYTES
    ) -> HTTPReply:
        """POST `obj` as JSON; the rest as in `request`."""
        body = msgspec.json.encode(obj)
        return self._send("POST", path, body, self._json_headers, timeout=timeout, max_bytes=max_bytes)

    def post_multipart(
        self,
        path: str,
        fields: Iterable[tuple[str, str]],
        file: tuple[str, str, Path, str],
        *,
        timeout: float | None = None,
        max_bytes: int = MAX_REPLY_BYTES,
    ) -> HTTPReply:
        """POST form `fields` and one `file` (field name, file name, path, content type), read from disk in pieces."""
        name, filename, source, kind = file
        boundary = secrets.token_hex(16)
        head = "".join(f"--{boundary}\r\n{_disposition(key)}\r\n\r\n{value}\r\n" for key, value in fields)
        head += f'--{boundary}\r\n{_disposition(name)}; filename="{_quoted(filename)}"\r\ncontent-type: {kind}\r\n\r\n'
        first, last = head.encode(), f"\r\n--{boundary}--\r\n".encode()
        size = source.stat().st_size
        headers = {
            **self._headers,
            "content-type": f"multipart/form-data; boundary={boundary}",
            "content-length": str(len(first) + size + len(last)),
        }
        deadline = time.monotonic() + self._limit(timeout)
        body = _form(first, source, size, last, deadline)
        return self._send("POST", path, body, headers, timeout=timeout, max_bytes=max_bytes)

    def close(self) -> None:
        """Close the idle connections; calls made afterwards fail with Unavailable."""
        self._pool.close()

    def _limit(self, timeout: float | None) -> float:
        return self._read_timeout if timeout is None else min(timeout, self._read_timeout)

    def _send(
        self, method: str, path: str, body: Body, headers: dict[str, str], *, timeout: float | None, max_bytes: int
    ) -> HTTPReply:
        """Where the server is belongs in the operator's log, not in what a caller is told."""
        try:
            return self._ask(method, path, body, headers, timeout=timeout, max_bytes=max_bytes)
        except PluginError as exc:
            log.warning("inference_server_failed", server=self.where, error=exc.message)
            raise

    def _ask(
        self, method: str, path: str, body: Body, headers: dict[str, str], *, timeout: float | None, max_bytes: int
    ) -> HTTPReply:
        limit = self._limit(timeout)
        if limit <= 0:
            raise UpstreamTimeout("no time was left to ask the inference server")
        deadline = time.monotonic() + limit
        try:
            response = self._pool.urlopen(
                method,
                f"{self._prefix}/{path.lstrip('/')}",
                body,
                headers,
                NO_RETRY,
                redirect=False,
                assert_same_host=False,
                timeout=Timeout(total=limit),
                preload_content=False,
            )
            try:
                content = b"".join(self._pieces(response, deadline, max_bytes))
            except BaseException:
                response.close()
                raise
            return HTTPReply(response.status, response.headers, content)
        except ClosedPoolError as exc:
            raise Unavailable("the relay is stopping") from exc
        except DecodeError as exc:
            raise UpstreamFailed("the inference server sent an answer whose content-encoding is broken") from exc
        except HTTPError as exc:
            if isinstance(exc, ReadTimeoutError) or any(isinstance(arg, TimeoutError) for arg in exc.args):
                raise self._timed_out() from exc
            raise OutcomeUnknown(
                f"the connection to the inference server was lost after the request was sent: {_reason(exc)}"
            ) from exc

    def _pieces(self, response: BaseHTTPResponse, deadline: float, max_bytes: int) -> Iterator[bytes]:
        """The body, bounded in size and time. An answer that arrived at once is one piece."""
        total = 0
        while True:
            connection = response.connection  # None: back in the pool, because the body is complete
            if isinstance(connection, _Connection) and connection.wire is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise self._timed_out()
                connection.wire.settimeout(left)
            piece = response.read1(PIECE_BYTES)
            if not piece:
                return
            total += len(piece)
            if total > max_bytes:
                raise UpstreamFailed(f"the inference server sent an answer of more than {max_bytes} bytes")
            yield piece

    def _timed_out(self) -> UpstreamTimeout:
        return UpstreamTimeout("the inference server did not finish its answer in time")


def _split(base_url: str) -> tuple[str, str, int | None, str]:
    try:
        url = parse_url(base_url)
    except LocationParseError:
        raise ValueError("this is not a URL; write it like http://host:8000") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("the URL must start with http:// or https:// and name a host")
    if url.auth or url.query or url.fragment:
        raise ValueError("the URL must not carry a user, a password, a query or a fragment")
    return url.scheme, url.host, url.port, (url.path or "").rstrip("/")


def _checked(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Names in lower case, so that a call's header replaces the client's own."""
    checked = {name.lower(): value for name, value in (headers or {}).items()}
    for name, value in checked.items():
        if BAD_HEADER.search(value):
            raise ValueError(f"the value for the header {name} holds a character that cannot be sent")
    return checked


def _quoted(text: str) -> str:
    """As browsers write names in forms (HTML standard, multipart/form-data encoding)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _disposition(name: str) -> str:
    return f'content-disposition: form-data; name="{_quoted(name)}"'


def _form(first: bytes, source: Path, size: int, last: bytes, deadline: float) -> Iterator[bytes]:
    """The parts of a form in order; never more or fewer bytes of the file than were announced."""
    yield first
    left = size
    try:
        with source.open("rb") as file:
            while left and (piece := file.read(min(PIECE_BYTES, left))):
                if time.monotonic() > deadline:
                    raise UpstreamTimeout("the time for this call was used up while sending the file")
                left -= len(piece)
                yield piece
    except OSError as exc:
        raise Unavailable(f"the file to send could not be read: {exc.strerror}") from exc
    if left:
        raise Unavailable("the file to send became shorter while it was sent; nothing complete was sent")
    yield last


def _reason(exc: BaseException) -> str:
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
