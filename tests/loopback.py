"""A server on 127.0.0.1 that says exactly the bytes a test wants, also the ones a real server never should."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

KEPT_BYTES = 4 * 1024 * 1024


@dataclass
class Request:
    """`body` is its first 4 MiB; `length` and `sha256` are of all of it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    length: int = 0
    sha256: str = ""

    def json(self):
        return json.loads(self.body)


@dataclass
class Raw:
    """Bytes to send as they are. `close`: then close, silently; `reset`: close with a reset."""

    data: bytes = b""
    close: bool = False
    reset: bool = False


HANG_UP = Raw(close=True)
Answer = Callable[[Request], Raw]


def reply(status: int = 200, body: bytes = b"", **headers: str) -> Raw:
    lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return Raw("\r\n".join([*lines, "", ""]).encode() + body)


def json_reply(obj: object, status: int = 200, **headers: str) -> Raw:
    return reply(status, json.dumps(obj).encode(), content_type="application/json", **headers)


@dataclass
class Server:
    """Use with `with`. `answer` runs per request; `on_head` before the body is read, with the connection."""

    answer: Answer = lambda request: reply()
    on_head: Callable[[Request, socket.socket], None] | None = None
    wrap: Callable[[socket.socket], socket.socket] | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    closed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    stopping: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        raw = connection
        try:
            if self.wrap is not None:
                connection = self.wrap(connection)
            with contextlib.closing(connection), connection.makefile("rb") as stream:
                while (request := self._read(stream, connection)) is not None:
                    said = self.answer(request)
                    connection.sendall(said.data)
                    if said.reset:
                        linger_none = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_none)
                    if said.close or said.reset:
                        break
        except (OSError, ValueError):
            pass
        finally:
            connection.close()
            raw.close()
            self._open.discard(raw)
            self.closed.release()

    def _read(self, stream, connection: socket.socket) -> Request | None:
        first = stream.readline()
        if not first:
            return None
        method, path, _ = first.decode("latin-1").split(" ", 2)
        headers = {}
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        request = Request(method, path, headers)
        self.requests.append(request)
        if self.on_head is not None:
            self.on_head(request, connection)
        kept, digest, left = bytearray(), hashlib.sha256(), int(headers.get("content-length", 0))
        while left and (piece := stream.read1(min(left, 65536))):
            left -= len(piece)
            request.length += len(piece)
            digest.update(piece)
            kept += piece[: KEPT_BYTES - len(kept)]
        request.body, request.sha256 = bytes(kept), digest.hexdigest()
        return None if left else request
