"""An answer while it arrives, and what each way to lose it is called."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping

from urllib3.exceptions import ClosedPoolError, DecodeError, HTTPError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse

from relay.errors import OutcomeUnknown, PluginError, Unavailable, UpstreamFailed, UpstreamTimeout
from relay.upstream.connection import Connection, Interrupt, reason
from relay.upstream.reply import HTTPReply

MAX_REPLY_BYTES = 64 * 1024 * 1024
PIECE_BYTES = 64 * 1024
LAST_BYTES_SECONDS = 0.1


class HTTPStream:
    """`status`, `headers` (ignoring letter case) and the body as it comes, to be read once.

    `deadline` on the monotonic clock for the whole; `silence`: seconds without a byte that are too many.
    """

    def __init__(
        self, response: BaseHTTPResponse, deadline: float, silence: float, interrupt: Interrupt | None
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._deadline = deadline
        self._silence = silence
        self._interrupt = interrupt

    def __iter__(self) -> Iterator[bytes]:
        """The body in pieces as they arrive. An answer that arrived at once is one piece.

        Raises UpstreamTimeout, UpstreamFailed (broken content-encoding), OutcomeUnknown (cut), and
        Unavailable when the call was cancelled.
        """
        while piece := self._read(min(self._deadline - time.monotonic(), self._silence)):
            yield piece

    def read_all(self, max_bytes: int = MAX_REPLY_BYTES) -> bytes:
        """The rest of the body. Raises UpstreamFailed when it is longer than `max_bytes`."""
        pieces: list[bytes] = []
        total = 0
        for piece in self:
            total += len(piece)
            if total > max_bytes:
                raise UpstreamFailed(f"the inference server sent an answer of more than {max_bytes} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    def finish(self) -> None:
        """Nothing more is wanted. What ends the body mostly comes at once: then the connection can be kept."""
        with contextlib.suppress(PluginError):
            self._read(min(self._deadline - time.monotonic(), LAST_BYTES_SECONDS))

    def close(self) -> None:
        """Hang up, unless the body was read to its end."""
        if self._response.connection is not None:
            self._response.close()
            self._response.release_conn()

    def _read(self, seconds: float) -> bytes:
        connection = self._response.connection  # None: back in the pool, because the body is complete
        if isinstance(connection, Connection) and connection.wire is not None:
            if seconds <= 0:
                raise timed_out()
            connection.wire.settimeout(seconds)
        try:
            piece = self._response.read1(PIECE_BYTES)
        except HTTPError as exc:
            raise explained(exc) from exc
        if not piece and self._interrupt is not None and self._interrupt.fired:
            # A body without a length ends with its connection, and so looks complete.
            raise cancelled()
        return piece


def whole(stream: HTTPStream, max_bytes: int) -> HTTPReply:
    """Read to the end, or hang up. Raises as `HTTPStream` does."""
    try:
        return HTTPReply(stream.status, stream.headers, stream.read_all(max_bytes))
    finally:
        stream.close()


def explained(exc: Exception) -> PluginError:
    """What a failure of urllib3, of http.client or of a socket means. Its connection stood."""
    if isinstance(exc, ClosedPoolError):
        return Unavailable("the relay is stopping")
    if isinstance(exc, DecodeError):
        return UpstreamFailed("the inference server sent an answer whose content-encoding is broken")
    if isinstance(exc, (ReadTimeoutError, TimeoutError)) or any(isinstance(arg, TimeoutError) for arg in exc.args):
        return timed_out()
    return OutcomeUnknown(f"the connection to the inference server was lost after the request was sent: {reason(exc)}")


def timed_out() -> UpstreamTimeout:
    return UpstreamTimeout("the inference server did not finish its answer in time")


def cancelled() -> Unavailable:
    return Unavailable("the call was cancelled")
