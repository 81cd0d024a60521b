"""A whole relay in this process, on a real port of 127.0.0.1."""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from relay.config import load_config
from relay.http.app import create_app
from relay.http.cors import cors
from relay.http.gate import gate
from relay.http.metrics import watch
from relay.http.selftest import self_test
from relay.http.server import Server, ServerOptions, listen
from relay.loader import load_plugins
from relay.ports.inference import TASKS
from relay.services.core import Core
from relay.services.verify import verify
from tests.flows.fake_backend import FakeBackend

OPERATOR_KEY = "operator-key-for-tests-0123456789"
PASSWORD = "correct horse battery"
FIRST = """
[relay]
threads = 32
reserve_threads = 8
pin_cpu = false
admin_password = "correct horse battery"
"""
NO_LIMITS = """
[limits]
requests_per_minute = 0
concurrent_calls = 0
new_installs_per_address_per_hour = 0
"""
PLUGINS = f"""
[plugins.jsonfile]
[plugins.operator_key]
key = "{OPERATOR_KEY}"
[plugins.install_id]
"""


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]

    @property
    def code(self) -> str | None:
        return self.json["error"]["code"] if self.status >= 400 else None

    @property
    def charged(self) -> int:
        return self.json["credits"]["charged"]


@dataclass
class Live:
    """A running relay. `call` is one HTTP exchange; `raw` sends bytes and reads one answer."""

    core: Core
    server: Server
    port: int
    app: Any
    thread: threading.Thread = field(default_factory=threading.Thread)

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> Reply:
        headers = dict(headers or {})
        if "json" in more:
            body = json.dumps(more["json"]).encode()
            headers.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            return read(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str, headers: dict[str, str] | None = None) -> Reply:
        return self.call("GET", path, headers=headers)

    def analyze(self, who: dict[str, str] | str = "inst-1", job: str | None = None, **body: Any) -> Reply:
        headers = dict(install(who) if isinstance(who, str) else who)
        if job is not None:
            headers["X-Recap-Job-Id"] = job
        return self.call("POST", "/relay/analyze", headers=headers, json={"prompt": "Say something."} | body)

    def transcribe(
        self, who: dict[str, str] | str = "inst-1", job: str | None = None, recording: bytes = b"", **fields: str
    ) -> Reply:
        headers = dict(install(who) if isinstance(who, str) else who)
        if job is not None:
            headers["X-Recap-Job-Id"] = job
        body, headers["Content-Type"] = multipart(recording or WAV, **fields)
        return self.call("POST", "/relay/transcribe", body, headers)

    def credits(self, who: dict[str, str] | str = "inst-1") -> Any:
        reply = self.get("/relay/credits", install(who) if isinstance(who, str) else who)
        assert reply.status == 200, reply.body
        return reply.json["credits"]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=15)

    def raw(self, data: bytes) -> Reply:
        with self.connect() as sock:
            sock.sendall(data)
            return read_socket(sock)

    def login(self) -> dict[str, str]:
        """The headers of a session that may change things."""
        reply = self.call("POST", "/admin/login", json={"password": PASSWORD})
        assert reply.status == 200, reply.body
        cookie = reply.headers["set-cookie"].partition(";")[0]
        return {"Cookie": cookie, "X-CSRF-Token": reply.json["csrf_token"]}

    def row(self, key: str) -> dict[str, Any] | None:
        return self.core.storage.read(lambda tx: tx.get("credits", key))

    def edit(self, key: str, **fields: Any) -> None:
        """Change the stored row, as time passing would have."""
        self.core.storage.transact(lambda tx: tx.put("credits", key, {**(tx.get("credits", key) or {}), **fields}))

    def holds(self) -> int:
        return self.core.storage.read(lambda tx: tx.count("holds"))

    def entries(self, key: str) -> list[dict[str, Any]]:
        """The account's ledger, oldest first."""
        found = self.core.storage.read(lambda tx: tx.read("ledger", key, limit=1000))
        return [entry for _, entry in reversed(found)]

    def assert_balanced(self) -> None:
        """Nothing is held, and every row is what its entries add up to."""
        eventually(lambda: self.holds() == 0)
        report = verify(self.core.storage)
        assert report["ok"], report


def read(response: http.client.HTTPResponse) -> Reply:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, headers, response.read())


def read_socket(sock: socket.socket) -> Reply:
    response = http.client.HTTPResponse(sock)
    response.begin()
    return read(response)


ERROR_KEYS = {"code", "type", "message", "origin", "retryable", "charged", "details"}


def assert_error(reply: Reply, status: int, code: str, origin: str = "caller") -> None:
    """The contract's one shape, with this status and code."""
    assert (reply.status, reply.code) == (status, code), reply.body
    assert reply.headers["content-type"] == "application/json"
    body = reply.json
    assert body.keys() == {"ok", "error", "meta"}
    assert body["ok"] is False
    assert body["meta"] == {"request_id": reply.headers["x-request-id"]}
    assert body["meta"]["request_id"]
    error = body["error"]
    assert error.keys() == ERROR_KEYS
    assert error["origin"] == origin
    assert error["message"]
    assert error["charged"] == 0
    assert isinstance(error["retryable"], bool)
    assert isinstance(error["details"], dict)
    assert "Traceback" not in error["message"]
    if status == 429:
        assert int(reply.headers["retry-after"]) >= 1


def install(name: str) -> dict[str, str]:
    return {"X-Recap-Install-Id": name}


def user(name: str) -> dict[str, str]:
    return {"X-Recap-Operator-Key": OPERATOR_KEY, "X-Recap-User-Id": name}


OPERATOR = {"X-Recap-Operator-Key": OPERATOR_KEY}


def eventually(check: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for what happens a moment after an answer."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def at_once(n: int, act: Callable[[int], Any]) -> list[Any]:
    """`act(0)` … `act(n - 1)` in threads that start together; their results in order."""
    results: list[Any] = [None] * n
    barrier = threading.Barrier(n)

    def one(i: int) -> None:
        barrier.wait(20)
        results[i] = act(i)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def wav(seconds: float = 1.0) -> bytes:
    """Silence: 16 kHz mono."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(b"\0\0" * int(16_000 * seconds))
    return out.getvalue()


WAV = wav()


def multipart(recording: bytes | None, **fields: str) -> tuple[bytes, str]:
    """A body and its content type."""
    parts = [
        f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields.items()
    ]
    body = "".join(parts).encode()
    if recording is not None:
        body += b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + recording + b"\r\n"
    return body + b"--cut--\r\n", "multipart/form-data; boundary=cut"


@contextmanager
def running(
    folder: Path,
    backends: Sequence[FakeBackend] = (),
    *,
    relay: str = "",
    settings: str = "",
    limits: str = NO_LIMITS,
    plugins: str = "",
    before: Callable[[Any], None] = lambda app: None,
    rails: Sequence[Any] = (),
) -> Iterator[Live]:
    """Serve with these backends (or with those of `plugins`) until the block ends; a second call on the same
    folder goes on with its data. `relay`: lines of the [relay] table. `before`: what to do to the app before its
    self-test."""
    path = folder / "plugins.toml"
    path.write_text(FIRST + relay + settings + limits + PLUGINS + plugins, encoding="utf-8")
    config = load_config(path)
    registry = load_plugins(config)
    if backends:
        by_name = {backend.name: backend for backend in backends}
        routes = {task: tuple(b for b in backends if task in b.tasks) for task in TASKS}
        registry = replace(registry, backends=by_name, routes=routes)
    if rails:
        registry = replace(registry, rails={rail.name: rail for rail in rails})
    core = Core(config, registry, folder / "data")
    core.start()
    app = create_app(core)
    before(app)
    sock = listen("127.0.0.1", 0)
    port = sock.getsockname()[1]
    relay_settings = config.settings.relay
    options = ServerOptions(
        threads=relay_settings.threads,
        spool_dir=core.spool_dir,
        max_spool_bytes=relay_settings.max_spool_mb * 2**20,
        cors_headers=cors(relay_settings.cors_origins),
        body_seconds=relay_settings.body_seconds,
    )
    server = Server(app, sock, gate(core), options)
    watch(core, server)
    self_test(core, app)
    live = Live(core, server, port, app)
    live.thread = threading.Thread(target=server.run, name="relay-under-test")
    live.thread.start()
    try:
        yield live
    finally:
        for backend in backends:
            backend.close()
        server.stop(5)
        live.thread.join(20)
        core.close()
        assert not live.thread.is_alive()
