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
    `warm_up` counts. `each`: stop every caller after so many requests instead, and count all."""

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
    first_p50: float = 0.0
    first_p99: float = 0.0
    statuses: dict[int, int] = {}

    @property
    def refused(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != 200)


class Caller:
    """One connection and what it waits for."""

    __slots__ = ("data", "first", "left", "request", "sent", "socket")

    def __init__(self, request: bytes, left: int | None) -> None:
        self.request = request
        self.left = left

    def connect(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self) -> None:
        self.data, self.first, self.sent = b"", 0.0, time.perf_counter()
        self.socket.sendall(self.request)

    def receive(self) -> bool:
        """Take what is there; True when the answer has ended, be it because the connection has."""
        try:
            piece = self.socket.recv(262_144)
        except OSError:
            piece = b""
        self.data += piece
        if not self.first and FIRST_DATA in self.data:
            self.first = time.perf_counter()
        return not piece or complete(self.data)

    @property
    def status(self) -> int:
        """0 for an answer that broke off."""
        return int(self.data[9:12]) if complete(self.data) or until_close(self.data) else 0


class Load:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._poll = select.epoll()
        self._callers: dict[int, Caller] = {}
        self._took: list[float] = []
        self._firsts: list[float] = []
        self._statuses: Counter[int] = Counter()
        self._start = time.perf_counter() + job.warm_up
        self._stop = self._start + job.seconds

    def run(self) -> Found:
        """Raises TimeoutError when nothing at all comes back for a minute."""
        job = self._job
        begun = time.perf_counter()
        for n in range(job.callers):
            self._begin(Caller(job.requests[n % len(job.requests)], job.each))
        while self._callers:
            ready = self._poll.poll(PATIENCE)
            if not ready:
                raise TimeoutError(f"the server on port {job.port} said nothing for {PATIENCE:.0f} s")
            for fd, _ in ready:
                if self._callers[fd].receive():
                    self._ended(self._callers[fd])
        seconds = job.seconds if job.each is None else time.perf_counter() - begun
        times = (*percentiles(self._took), *percentiles(self._firsts))
        return Found(len(self._took) / seconds, *times, statuses=dict(sorted(self._statuses.items())))

    def _begin(self, caller: Caller) -> None:
        caller.connect(self._job.port)
        self._callers[caller.socket.fileno()] = caller
        self._poll.register(caller.socket, select.EPOLLIN)
        caller.send()

    def _end(self, caller: Caller) -> None:
        self._poll.unregister(caller.socket)
        del self._callers[caller.socket.fileno()]
        caller.socket.close()

    def _ended(self, caller: Caller) -> None:
        now, status = time.perf_counter(), caller.status
        counting = self._job.each is not None
        if counting or self._start <= now <= self._stop:
            self._statuses[status] += 1
            if status == 200:
                self._took.append(now - caller.sent)
                self._firsts.append((caller.first or now) - caller.sent)
        if caller.left is not None:
            caller.left -= 1
        if caller.left == 0 or (not counting and now > self._stop):
            self._end(caller)
        elif status == 0 or closes(caller.data) or until_close(caller.data):
            self._end(caller)
            self._begin(caller)
        else:
            caller.send()


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


def until_close(data: bytes) -> bool:
    head, found, _ = data.lower().partition(b"\r\n\r\n")
    return bool(found) and b"content-length:" not in head and b"transfer-encoding:" not in head


def closes(data: bytes) -> bool:
    return b"\r\nconnection: close" in data[: data.find(b"\r\n\r\n")].lower()


def percentiles(seconds: list[float]) -> tuple[float, float]:
    """p50 and p99 in milliseconds; 0 without any."""
    if not seconds:
        return 0.0, 0.0
    ordered = sorted(seconds)
    half, most = (ordered[ceil(len(ordered) * part) - 1] * 1000 for part in (0.5, 0.99))
    return half, most


if __name__ == "__main__":
    os.write(1, msgspec.json.encode(Load(msgspec.json.decode(sys.stdin.buffer.read(), type=Job)).run()))
