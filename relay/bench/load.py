"""Load on one server, from a process of its own: callers who each send the next request when they have the answer.

`python -m relay.bench.load` reads a `Job` as JSON from stdin and prints a `Found` as JSON. One thread, raw sockets on
kept connections, because a client library would cost more than what is measured.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from collections import Counter
from math import ceil

import msgspec
from msgspec import Struct

PATIENCE = 60.0
FIRST_DATA = b"data:"


class Job(Struct):
    """`requests`: whole HTTP requests; caller n sends number n over and over. Only what ends within `seconds` after
    `warm_up` counts. `each`: stop every caller after so many requests instead."""

    port: int
    requests: list[bytes]
    callers: int
    seconds: float = 1.0
    warm_up: float = 0.0
    each: int | None = None


class Found(Struct):
    """`per_second`: answers of status 200. Milliseconds, of these: `p50`, `p99`; to the first `data:` of a stream:
    `first_p50`, `first_p99`. `statuses`: how many answers of each; 0 for connections that broke off."""

    per_second: float
    p50: float
    p99: float
    first_p50: float
    first_p99: float
    statuses: dict[int, int]


class Caller:
    """One connection and what it waits for."""

    __slots__ = ("data", "first", "left", "request", "sent", "socket")

    def __init__(self, request: bytes, left: int | None) -> None:
        self.request = request
        self.left = left
        self.data = b""
        self.sent = self.first = 0.0
        self.socket = socket.socket()

    def connect(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self) -> None:
        self.data, self.first, self.sent = b"", 0.0, time.perf_counter()
        self.socket.sendall(self.request)


def run(job: Job) -> Found:
    """Raises TimeoutError when nothing at all comes back for a minute."""
    poll = select.epoll()
    callers: dict[int, Caller] = {}
    took: list[float] = []
    firsts: list[float] = []
    statuses: Counter[int] = Counter()

    def begin(caller: Caller) -> None:
        caller.connect(job.port)
        callers[caller.socket.fileno()] = caller
        poll.register(caller.socket, select.EPOLLIN)
        caller.send()

    def end(caller: Caller) -> None:
        poll.unregister(caller.socket)
        del callers[caller.socket.fileno()]
        caller.socket.close()

    start = time.perf_counter() + job.warm_up
    stop = start + job.seconds
    for n in range(job.callers):
        begin(Caller(job.requests[n % len(job.requests)], job.each))
    while callers:
        ready = poll.poll(PATIENCE)
        if not ready:
            raise TimeoutError(f"the server on port {job.port} said nothing for {PATIENCE:.0f} s")
        for fd, _ in ready:
            caller = callers[fd]
            piece = _receive(caller.socket)
            now = time.perf_counter()
            caller.data += piece
            if not caller.first and FIRST_DATA in caller.data:
                caller.first = now
            if piece and not complete(caller.data):
                continue
            status = int(caller.data[9:12]) if complete(caller.data) or _until_close(caller.data) else 0
            if start <= now <= stop or job.each is not None:
                statuses[status] += 1
                if status == 200:
                    took.append(now - caller.sent)
                    firsts.append((caller.first or now) - caller.sent)
            if caller.left is not None:
                caller.left -= 1
            if caller.left == 0 or (job.each is None and now > stop):
                end(caller)
            elif not piece or closes(caller.data):
                end(caller)
                begin(caller)
            else:
                caller.send()
    seconds = job.seconds if job.each is None else time.perf_counter() - start
    return Found(
        len(took) / seconds, *_percentiles(took), *_percentiles(firsts), statuses=dict(sorted(statuses.items()))
    )


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(262_144)
    except OSError:
        return b""


def complete(data: bytes) -> bool:
    """Is this a whole HTTP answer? One without length or chunks is whole when the connection ends."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = data[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        return len(data) - end - 4 >= int(head[at + 17 :].split(b"\r\n", 1)[0])
    return b"transfer-encoding: chunked" in head and data.endswith(b"\r\n0\r\n\r\n")


def _until_close(data: bytes) -> bool:
    head, found, _ = data.lower().partition(b"\r\n\r\n")
    return bool(found) and b"content-length:" not in head and b"transfer-encoding:" not in head


def closes(data: bytes) -> bool:
    return b"\r\nconnection: close" in data[: data.find(b"\r\n\r\n")].lower()


def _percentiles(seconds: list[float]) -> tuple[float, float]:
    """p50 and p99 in milliseconds; 0 without any."""
    if not seconds:
        return 0.0, 0.0
    ordered = sorted(seconds)
    return tuple(ordered[ceil(len(ordered) * part) - 1] * 1000 for part in (0.5, 0.99))  # type: ignore[return-value]


if __name__ == "__main__":
    os.write(1, msgspec.json.encode(run(msgspec.json.decode(sys.stdin.buffer.read(), type=Job))))
