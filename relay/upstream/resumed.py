"""An answer whose beginning has been read already, given to the standard library and urllib3 to read it all."""

from __future__ import annotations

import io
import re
import socket
import time
from http.client import HTTPResponse
from typing import Any, cast

import urllib3
from urllib3 import HTTPHeaderDict

from relay.upstream.connection import Connection, Pool

FOLD = re.compile(r"\r\n[ \t]+")
"""A value may go on in the next line, which means a space (RFC 9112, 5.2)."""


class _Raw(io.RawIOBase):
    """`data`, then what the connection brings. Raises TimeoutError at `deadline` (monotonic clock)."""

    def __init__(self, data: bytes, wire: socket.socket, deadline: float) -> None:
        self._data = memoryview(data)
        self._wire = wire
        self._rest = cast(io.RawIOBase, wire.makefile("rb", buffering=0))
        self._deadline = deadline
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._data:
            piece = self._data[: len(buffer)]
            buffer[: len(piece)] = piece
            self._data = self._data[len(piece) :]
            return len(piece)
        if self.ended:
            return 0
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._wire.settimeout(left)
        return self._rest.readinto(buffer)

    def close(self) -> None:
        self._rest.close()
        super().close()


class _Reader(io.BufferedReader):
    """Hangs up when more came than the answer: nobody knows what that is, least of all the next call."""

    def __init__(self, raw: _Raw, connection: Connection) -> None:
        super().__init__(raw)
        self._source = raw
        self._connection = connection

    def close(self) -> None:
        if not self.closed:
            self._source.ended = True
            if self.peek(1):
                self._connection.close()
        super().close()


class _Wire:
    """As much of a socket as `HTTPResponse` uses."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def makefile(self, _mode: str) -> io.BufferedReader:
        return self._reader


def resumed(pool: Pool, connection: Connection, data: bytes, deadline: float) -> urllib3.HTTPResponse:
    """The answer to a POST on `connection`, which goes back to `pool` when the body is read to its end.

    Raises OSError and HTTPException for an answer that is none.
    """
    reader = _Reader(_Raw(data, connection.sock, deadline), connection)
    answer = HTTPResponse(cast(socket.socket, _Wire(reader)), method="POST")
    try:
        answer.begin()
        if answer.will_close:
            connection.close()  # as http.client does: the answer keeps the wire to itself
        return urllib3.HTTPResponse(
            body=cast(Any, answer),
            headers=HTTPHeaderDict((name, FOLD.sub(" ", value)) for name, value in answer.headers.items()),
            status=answer.status,
            version=answer.version,
            reason=answer.reason,
            preload_content=False,
            original_response=cast(Any, answer),
            pool=pool,
            connection=cast(Any, connection),
            request_method="POST",
        )
    except BaseException:
        answer.close()
        raise
