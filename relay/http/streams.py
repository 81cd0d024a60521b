"""Answers as server-sent events: each piece leaves as it comes; with an Idempotency-Key the whole is stored too."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec
import structlog

from relay.errors import Internal, RelayError, StorageFull
from relay.ports.inference import ChatRequest, Delta
from relay.services.idempotency import Ticket
from relay.services.infer import Stream
from relay.services.tasks import Reading

log = structlog.get_logger("relay.http")

SSE = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_encode = msgspec.json.Encoder().encode


class Frames(Protocol):
    """How an answer in pieces is written down."""

    def delta(self, delta: Delta) -> bytes:
        """Empty when there is nothing to say of it."""

    def done(self, result: dict[str, Any], reading: Reading, meta: dict[str, Any], paid: dict[str, Any]) -> bytes: ...

    def failed(self, error: RelayError, request_id: str, charged: int) -> bytes: ...


class RelayFrames:
    """The contract's own events."""

    def delta(self, delta: Delta) -> bytes:
        return b"data: " + _encode({"delta": delta.text}) + b"\n\n" if delta.text else b""

    def done(self, result: dict[str, Any], _reading: Reading, meta: dict[str, Any], paid: dict[str, Any]) -> bytes:
        return event("done", {"ok": True, "result": result, "meta": meta, "credits": paid})

    def failed(self, error: RelayError, request_id: str, charged: int) -> bytes:
        return event("error", error.body(request_id, charged))


def event(name: str, data: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + _encode(data) + b"\n\n"


class Copy:
    """What was sent, in a file without a name."""

    def __init__(self, folder: Path) -> None:
        path = folder / f"stream-{secrets.token_hex(8)}"
        try:
            self._file: IO[bytes] = path.open("xb+")
            path.unlink()
        except OSError as exc:
            raise StorageFull(f"the answer could not be stored: {exc.strerror}", retry_after=60) from exc
        self.size = 0

    def write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as exc:
            raise StorageFull(f"the answer could not be stored: {exc.strerror}", retry_after=60) from exc
        self.size += len(data)

    def rewound(self) -> Any:
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        self._file.close()


class EventStream:
    """The body of a streamed answer, for the WSGI server, which closes it when the caller has gone.

    `held`: what the call occupies until then. `stored`: keep the whole for the ticket's key; then a caller who hangs
    up leaves a thread behind that takes the rest of the answer.
    """

    def __init__(
        self,
        stream: Stream,
        request: ChatRequest,
        frames: Frames,
        meta: Callable[[str], dict[str, Any]],
        stored: tuple[Ticket, Copy] | None,
        held: ExitStack,
    ) -> None:
        self._stream = stream
        self._request = request
        self._frames = frames
        self._meta = meta
        self._stored = stored
        self._held = held
        self._ended = False
        self._pieces = self._write()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        """Called once by the server, whether the caller read to the end or left."""
        if self._ended or self._stored is None:
            self._release()
        else:
            try:
                threading.Thread(target=self._finish, name="unread-stream", daemon=True).start()
            except RuntimeError:
                # No thread to be had: the retry goes on under the same charge.
                self._stored[0].free()
                self._release()

    def _finish(self) -> None:
        """Take the rest of an answer that somebody will ask for again."""
        try:
            for _ in self._pieces:
                pass
        finally:
            self._release()

    def _write(self) -> Iterator[bytes]:
        reading = Reading(self._stream.backend.name)
        meta = self._meta("")
        paid = self._stream.receipt.credits if self._stream.receipt else {}
        charged = self._stream.receipt.charged if self._stream.receipt else 0
        complete = False
        try:
            for delta in self._stream:
                reading.add(delta)
                if frame := self._frames.delta(delta):
                    self._keep(frame)
                    yield frame
            result = reading.result(self._request)
            last = self._frames.done(result, reading, self._meta(reading.model), paid)
            self._keep(last)
            self._store()
            self._stream.answered(result)
            complete = True
        except RelayError as exc:
            last = self._frames.failed(exc, meta["request_id"], charged)
        except Exception:
            log.exception("stream_failed", id=meta["request_id"])
            error = Internal("something went wrong inside this relay; its log has the details under this request id")
            last = self._frames.failed(error, meta["request_id"], charged)
        self._ended = True
        if not complete and self._stored is not None:
            self._stored[0].free()
        yield last

    def _keep(self, frame: bytes) -> None:
        if self._stored is not None:
            self._stored[1].write(frame)

    def _store(self) -> None:
        if self._stored is not None:
            ticket, copy = self._stored
            ticket.keep_file(copy.rewound(), copy.size)
            ticket.save(200, SSE)

    def _release(self) -> None:
        try:
            self._stream.close()
            if self._stored is not None:
                self._stored[1].close()
        finally:
            self._held.close()
