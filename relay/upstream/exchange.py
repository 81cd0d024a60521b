"""One question and its whole answer over a kept connection, with as little work as that needs.

A metered call waits for nothing so often as for the interpreter, and urllib3 with `http.client` under it took nearly
half of what a call cost. Here the head of the request is written once for all calls, it leaves with the body in one
piece, and a simple answer is read at one glance. Any other is left to them, with what was read of it.
"""

from __future__ import annotations

import errno
import re
import socket
import time
from collections.abc import Mapping
from http.client import HTTPException, IncompleteRead

from urllib3 import HTTPResponse
from urllib3.exceptions import ClosedPoolError, HTTPError

from relay.upstream.connection import Connection, Interrupt, Pool, this_thread
from relay.upstream.head import Head, simple_head
from relay.upstream.reply import HeaderLines, HTTPReply
from relay.upstream.resumed import resumed
from relay.upstream.stream import HTTPStream, explained, whole

PIECE_BYTES = 64 * 1024
"""More than a TLS record: none is ever read in half, so nothing of it waits where nobody looks."""
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~!$&'()*+,;=:@?-]*")
HEADER_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
NOT_OURS = frozenset({"content-length", "transfer-encoding", "expect"})
"""Headers that change how a body is sent."""
HUNG_UP = frozenset({errno.EPIPE, errno.ECONNRESET, errno.EPROTOTYPE})
USUAL_PORT = {"http": 80, "https": 443}
NEARLY_SECONDS = 0.01


class Exchange:
    """POSTs with a body in memory over `pool`. `prefix` goes before every path; `headers`: names in lower case."""

    def __init__(self, pool: Pool, prefix: str, headers: Mapping[str, str]) -> None:
        self._pool = pool
        self._prefix = prefix.encode()
        self._plain = all(HEADER_NAME.fullmatch(name) for name in headers) and NOT_OURS.isdisjoint(headers)
        all_headers = {"host": _host(pool), "accept-encoding": "identity", **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
        self._headers = f" HTTP/1.1\r\n{lines}content-length: ".encode()

    def can(self, path: str) -> bool:
        """False for what needs to be written down in some special way; urllib3 knows how, or why not."""
        return self._plain and PLAIN_PATH.fullmatch(path) is not None

    def post(self, path: str, body: bytes, limit: float, max_bytes: int, interrupt: Interrupt | None) -> HTTPReply:
        """Send once, and read all of the answer, within `limit` seconds. `stop` of `interrupt` ends it.

        Raises Unavailable (no connection), UpstreamTimeout, UpstreamFailed (over `max_bytes`, or the encoding is
        broken), OutcomeUnknown (lost after sending, or stopped).
        """
        deadline = time.monotonic() + limit
        target = path.lstrip("/").encode()
        request = b"POST %b/%b%b%d\r\n\r\n%b" % (self._prefix, target, self._headers, len(body), body)
        connection = self._take(limit, interrupt)
        try:
            answer = self._ask(connection, request, deadline, max_bytes)
        except (OSError, HTTPException, HTTPError) as exc:
            connection.drop()
            raise explained(exc) from exc
        if isinstance(answer, HTTPReply):
            return answer
        return whole(HTTPStream(answer, deadline, limit, interrupt), max_bytes)

    def _take(self, limit: float, interrupt: Interrupt | None) -> Connection:
        this_thread.interrupt = interrupt
        try:
            return self._pool.take(limit)
        except ClosedPoolError as exc:
            raise explained(exc) from exc
        finally:
            this_thread.interrupt = None

    def _ask(self, connection: Connection, request: bytes, deadline: float, max_bytes: int) -> HTTPReply | HTTPResponse:
        """The whole answer, or one that urllib3 is to read."""
        wire = connection.sock
        _send(wire, request, deadline)
        said = _receive(wire, deadline)
        head = simple_head(said)
        if head is None or head.length > max_bytes:
            return resumed(self._pool, connection, said, deadline)
        body, clean = _body(wire, said, head, deadline)
        if clean and not head.last:
            self._pool.give_back(connection)
        else:
            connection.drop()
        return HTTPReply(head.status, HeaderLines(head.lines), body)


def _send(wire: socket.socket, request: bytes, deadline: float) -> None:
    """A server that hangs up meanwhile may have answered before, to a body that is too long for instance."""
    _set_timeout(wire, deadline)
    try:
        wire.sendall(request)
    except OSError as exc:
        if exc.errno not in HUNG_UP:
            raise


def _receive(wire: socket.socket, deadline: float) -> bytes:
    _set_timeout(wire, deadline)
    return wire.recv(PIECE_BYTES)


def _body(wire: socket.socket, said: bytes, head: Head, deadline: float) -> tuple[bytes, bool]:
    """The body, and whether nothing followed it."""
    end = head.size + head.length
    if len(said) >= end:
        return said[head.size : end], len(said) == end
    pieces = [said[head.size :]]
    left = end - len(said)
    while left > 0:
        piece = _receive(wire, deadline)
        if not piece:
            raise IncompleteRead(b"", left)
        pieces.append(piece)
        left -= len(piece)
    body = b"".join(pieces)
    return body[: head.length], left == 0


def _set_timeout(wire: socket.socket, deadline: float) -> None:
    """Raises TimeoutError when it is over. Setting it is a system call, so one that is nearly right is left."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    if not left <= (wire.gettimeout() or 0.0) <= left + NEARLY_SECONDS:
        wire.settimeout(left)


def _host(pool: Pool) -> str:
    """As `http.client` writes it: without a trailing dot, and the port only where it is not the usual one."""
    host = pool.host.rstrip(".")
    host = f"[{host}]" if ":" in host else host
    return host if pool.port == USUAL_PORT[pool.scheme or ""] else f"{host}:{pool.port}"
