"""The client: one service at one base URL, on one kept urllib3 pool."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec
import structlog
from urllib3 import Retry, Timeout
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import parse_url

from relay import __version__
from relay.errors import PluginError, UpstreamTimeout
from relay.ports.inference import CallContext
from relay.upstream.connection import Interrupt, Pool, TLSPool, this_thread
from relay.upstream.exchange import Exchange
from relay.upstream.forms import form
from relay.upstream.reply import HTTPReply
from relay.upstream.stream import MAX_REPLY_BYTES, HTTPStream, cancelled, explained, whole

log = structlog.get_logger("relay.upstream")

NO_RETRY = Retry(total=False, redirect=False)
DEFAULT_PORTS = {"http": 80, "https": 443}
BAD_HEADER = re.compile(r"[^\x20-\x7e]")

Body = bytes | IO[bytes] | Iterable[bytes] | None


class HTTPClient:
    """One service at one base URL, over connections that are kept; safe to share between threads.

    `base_url` is http or https and may have a path, which goes before every path. `headers` go with every
    request. `connect_timeout` in seconds for the connection, `read_timeout` in seconds for a whole call. Up
    to `pool_size` idle connections are kept; more calls at once open more. Nothing is contacted here.

    Every call takes a `ctx`: then its time is used, and `ctx.cancel()` from another thread ends the call at
    once (while it connects: within `connect_timeout`) with Unavailable, whatever was sent before.

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
        scheme, host, port, self._prefix = _split(base_url)
        self._headers = {"user-agent": f"recap-relay/{__version__}", **_checked(headers)}
        self._json_headers = {**self._headers, "content-type": "application/json"}
        self._read_timeout = read_timeout
        timeout = Timeout(connect=connect_timeout, read=read_timeout)
        self._pool: Pool
        if scheme == "https":
            # One context for all connections: loading the machine's certificates takes milliseconds.
            self._pool = TLSPool(
                host, port, timeout=timeout, maxsize=pool_size, ssl_context=ssl.create_default_context()
            )
        else:
            self._pool = Pool(host, port, timeout=timeout, maxsize=pool_size)
        self.where = f"{host}:{port or DEFAULT_PORTS[scheme]}"
        self._exchange = Exchange(self._pool, self._prefix, self._json_headers)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        max_bytes: int = MAX_REPLY_BYTES,
        ctx: CallContext | None = None,
    ) -> HTTPReply:
        """Send one request, once, and read the whole answer.

        `timeout`: seconds left for everything; never more than the client's `read_timeout`. A `body` without
        a known length is sent in chunks unless `headers` carry its content-length.

        Raises Unavailable (no connection, so nothing happened; or cancelled), UpstreamTimeout, UpstreamFailed
        (the answer is over `max_bytes`, or its content-encoding is broken), OutcomeUnknown (lost after sending).
        """
        merged = {**self._headers, **_checked(headers)} if headers else self._headers
        return self._reply(method, path, body, merged, self._limit(timeout, ctx), max_bytes, ctx)

    def post_json(
        self,
        path: str,
        obj: Any,
        *,
        timeout: float | None = None,
        max_bytes: int = MAX_REPLY_BYTES,
        ctx: CallContext | None = None,
    ) -> HTTPReply:
        """POST `obj` as JSON; the rest as in `request`."""
        body, limit = msgspec.json.encode(obj), self._limit(timeout, ctx)
        if not self._exchange.can(path):
            return self._reply("POST", path, body, self._json_headers, limit, max_bytes, ctx)
        try:
            if limit <= 0:
                raise no_time()
            if ctx is None:
                return self._exchange.post(path, body, limit, max_bytes, None)
            interrupt = Interrupt()
            with ctx.interruptible(interrupt.stop):
                return self._exchange.post(path, body, limit, max_bytes, interrupt)
        except PluginError as exc:
            self._tell(exc, ctx)
            raise

    def post_multipart(
        self,
        path: str,
        fields: Iterable[tuple[str, str]],
        file: tuple[str, str, Path, str],
        *,
        timeout: float | None = None,
        max_bytes: int = MAX_REPLY_BYTES,
        ctx: CallContext | None = None,
    ) -> HTTPReply:
        """POST form `fields` and one `file` (field name, file name, path, content type), read from disk in pieces."""
        made = form(fields, file)
        headers = {**self._headers, "content-type": made.content_type, "content-length": str(made.length)}
        limit = self._limit(timeout, ctx)
        body = made.pieces(time.monotonic() + limit)
        return self._reply("POST", path, body, headers, limit, max_bytes, ctx)

    @contextmanager
    def stream_json(self, path: str, obj: Any, *, ctx: CallContext) -> Iterator[HTTPStream]:
        """POST `obj` as JSON and read the answer while it comes. Leaving the block early drops the connection.

        The whole may take until the deadline of `ctx`, a silence no longer than `read_timeout`. Raises as
        `request` does, here and while the body is read.
        """
        interrupt = Interrupt()
        limit = ctx.remaining()
        body = msgspec.json.encode(obj)
        try:
            with (
                ctx.interruptible(interrupt.stop),
                closing(self._open("POST", path, body, self._json_headers, limit, interrupt)) as stream,
            ):
                yield stream
        except PluginError as exc:
            self._tell(exc, ctx)
            raise

    def close(self) -> None:
        """Close the idle connections; calls made afterwards fail with Unavailable."""
        self._pool.close()

    def _limit(self, timeout: float | None, ctx: CallContext | None) -> float:
        limit = self._read_timeout if timeout is None else min(timeout, self._read_timeout)
        return limit if ctx is None else min(limit, ctx.remaining())

    def _reply(
        self,
        method: str,
        path: str,
        body: Body,
        headers: dict[str, str],
        limit: float,
        max_bytes: int,
        ctx: CallContext | None,
    ) -> HTTPReply:
        try:
            if ctx is None:
                return whole(self._open(method, path, body, headers, limit, None), max_bytes)
            interrupt = Interrupt()
            with ctx.interruptible(interrupt.stop):
                return whole(self._open(method, path, body, headers, limit, interrupt), max_bytes)
        except PluginError as exc:
            self._tell(exc, ctx)
            raise

    def _tell(self, exc: PluginError, ctx: CallContext | None) -> None:
        """Where the server is belongs in the operator's log, not in what a caller is told."""
        if ctx is not None and ctx.cancelled.is_set():
            raise cancelled() from exc
        log.warning("inference_server_failed", server=self.where, error=exc.message)

    def _open(
        self, method: str, path: str, body: Body, headers: dict[str, str], limit: float, interrupt: Interrupt | None
    ) -> HTTPStream:
        if limit <= 0:
            raise no_time()
        deadline = time.monotonic() + limit
        silence = min(limit, self._read_timeout)
        this_thread.interrupt = interrupt
        try:
            response = self._pool.urlopen(
                method,
                f"{self._prefix}/{path.lstrip('/')}",
                body,
                headers,
                NO_RETRY,
                redirect=False,
                assert_same_host=False,
                timeout=Timeout(total=silence),
                preload_content=False,
            )
        except HTTPError as exc:
            raise explained(exc) from exc
        finally:
            this_thread.interrupt = None
        return HTTPStream(response, deadline, silence, interrupt)


def no_time() -> UpstreamTimeout:
    return UpstreamTimeout("no time was left to ask the inference server")


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
