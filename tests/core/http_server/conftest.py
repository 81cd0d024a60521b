"""A real server on 127.0.0.1 with a tiny application, and raw sockets to talk to it."""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from relay.errors import Unauthenticated
from relay.http.server import RequestHead, Server, ServerOptions, listen

LIMIT = 1_000_000
UPLOAD_LIMIT = 2_000_000_000


class App:
    """Routes for the tests. `release` lets the slow ones go on."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.entered = threading.Semaphore(0)
        self.hung_up = threading.Event()
        self.seen: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes] | Iterator[bytes]:
        path = environ["PATH_INFO"]
        self.seen.append(f"{environ['REQUEST_METHOD']} {path}")
        if path == "/relay/fail":
            raise RuntimeError("a defect in the application")
        if path == "/fail-file":
            raise FileNotFoundError("a missing file of the application")
        if path == "/slow":
            self.entered.release()
            self.release.wait(20)
        if path == "/await-hang-up":
            self._await_hang_up(environ["waitress.client_disconnected"])
        if path == "/fail-late":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return self._fail_late()
        size = 0
        while chunk := environ["wsgi.input"].read(1 << 16):
            size += len(chunk)
        body = b"x" * 40_000_000 if path == "/big" else json.dumps({"path": path, "size": size}).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def _await_hang_up(self, disconnected: Callable[[], bool]) -> None:
        self.entered.release()
        end = time.monotonic() + 10
        while not disconnected() and time.monotonic() < end:
            time.sleep(0.01)
        if disconnected():
            self.hung_up.set()

    def _fail_late(self) -> Iterator[bytes]:
        yield b"the beginning"
        raise RuntimeError("a defect after the first bytes")


def gate(head: RequestHead) -> int:
    if head.path == "/private" and "authorization" not in head.headers:
        raise Unauthenticated("say who you are: send X-Recap-Install-Id")
    return UPLOAD_LIMIT if head.path == "/upload" else LIMIT


def cors(path: str, origin: str | None) -> list[tuple[str, str]]:
    return [("Access-Control-Allow-Origin", origin or "*")] if path.startswith("/relay/") else []


def eventually(true: Callable[[], Any]) -> None:
    """Wait, for a bounded while, for what another thread is about to do."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


@dataclass
class Running:
    server: Server
    app: App
    port: int
    thread: threading.Thread
    finished: list[bool] = field(default_factory=list)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(self, data: bytes) -> "Reply":
        with self.connect() as sock:
            sock.sendall(data)
            return read_reply(sock)

    def stop(self, seconds: float = 5) -> bool:
        self.server.stop(seconds)
        return self.ended()

    def ended(self) -> bool:
        self.thread.join(20)
        return self.finished[0]


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        return json.loads(self.body)["error"]


def read_reply(sock: socket.socket, method: str = "GET") -> Reply:
    """One answer from a raw socket; the body ends where Content-Length says, or with the connection."""
    file = sock.makefile("rb")
    status = int(file.readline().split()[1])
    headers = {}
    while line := file.readline().strip():
        name, _, value = line.decode().partition(": ")
        headers[name.lower()] = value
    length = 0 if method == "HEAD" else int(headers.get("content-length", "-1"))
    return Reply(status, headers, file.read(length))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def start_one(**more: Any) -> Running:
        own_gate = more.pop("gate", gate)
        settings = {"threads": 4, "spool_dir": tmp_path / "spool", "max_spool_bytes": 1 << 30, "cors_headers": cors}
        options = ServerOptions(**(settings | more))
        app = App()
        sock = listen("127.0.0.1", 0)
        port = sock.getsockname()[1]
        server = Server(app, sock, own_gate, options)
        one = Running(server, app, port, threading.Thread())
        one.thread = threading.Thread(target=lambda: one.finished.append(server.run()))
        one.thread.start()
        running.append(one)
        return one

    yield start_one
    for one in running:
        one.app.release.set()
        one.stop(0.5)
        assert not one.thread.is_alive()
        assert one.server.spool.on_disk == 0
        assert one.server.spool.in_memory == 0


@pytest.fixture
def served(start: Callable[..., Running]) -> Running:
    return start()


@pytest.fixture(autouse=True)
def nothing_goes_wrong_unseen(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A test that expects an error in the log reads and clears it."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []
