"""The HTTP server of the sandbox: a thread per connection with the bare socket in reach.

The standard library's server, because a server made to be reliable does not let a service misbehave: cut a stream,
fall silent, reset. Only for tests and for trying things on one's own machine.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from relay.testing.sandbox.bodies import Body, read_body
from relay.testing.sandbox.control import CONTROL, control
from relay.testing.sandbox.records import query_without_secrets, without_secrets
from relay.testing.sandbox.service import Call, Fault, HungUp, Refusal, Reply, Route, Service, json_reply
from relay.testing.sandbox.wire import NO_BODY, Cut, head, instead, pieces

if TYPE_CHECKING:
    from relay.testing.sandbox.box import Sandbox

HOST = "127.0.0.1"
MAX_CONNECTIONS = 1000
IDLE_SECONDS = 120.0
LOOK_SECONDS = 0.05
TOO_LARGE = 413
RESET = struct.pack("ii", 1, 0)


class Server(ThreadingHTTPServer):
    """Serves a sandbox on loopback. More than 1000 connections at once are closed unanswered."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, box: Sandbox, port: int) -> None:
        self.box = box
        self.closing = threading.Event()
        self._open: set[socket.socket] = set()
        super().__init__((HOST, port), _Connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            self.shutdown_request(request)
            return
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that ended in the middle is what this server is for."""

    def stop(self) -> None:
        """Close every connection, whatever it waits for."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is inherited
        """Requests are recorded, not logged."""

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        try:
            if path == CONTROL or path.startswith(f"{CONTROL}/"):
                self._control(path, query)
            else:
                self._play(path, query, parts.query)
        except Cut as exc:
            self._close(reset=exc.reset)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _answer  # noqa: N815 - inherited

    def _control(self, path: str, query: dict[str, str]) -> None:
        with contextlib.closing(Body(self.headers.get("content-type", ""))) as body:
            try:
                read_body(self.rfile, self.headers, body)
                reply = control(self.server.box, self.command, path, query, body)
            except Refusal as exc:
                reply = json_reply({"error": exc.message}, exc.status)
            self._send(reply, [_whole(reply)])

    def _play(self, path: str, query: dict[str, str], raw_query: str) -> None:
        box = self.server.box
        name, _, rest = path.lstrip("/").partition("/")
        rest = f"/{rest}"
        service = box.services.get(name)
        if service is None:
            self.close_connection = True
            known = ", ".join(f"/{found}/" for found in box.services)
            reply = json_reply({"error": f"the sandbox plays nothing at {path}; it has {known} and {CONTROL}"}, 404)
            self._send(reply, [_whole(reply)])
            return
        route, params = _find(service, self.command, rest)
        fault = box.faults.take(name, route.name) if route else None
        headers = {key.lower(): value for key, value in self.headers.items()}
        record = box.requests.start(
            name,
            route.name if route else None,
            self.command,
            rest,
            query=query_without_secrets(query),
            headers=without_secrets(headers),
            fault=fault.name if fault else None,
        )
        own = fault if fault and fault.name in service.faults else None
        with contextlib.ExitStack() as stack:
            body = stack.enter_context(contextlib.closing(Body(headers.get("content-type", ""))))
            base, until_end = f"{box.url}/{name}", stack.enter_context
            call = Call(
                self.command, rest, query, headers, params, base, body, record, own, self._sleep, until_end, raw_query
            )
            try:
                self._serve(service, route, call, fault, stack)
            except (HungUp, ConnectionError, TimeoutError):
                box.requests.hung_up(record)
                raise Cut from None
            finally:
                stack.close()
                box.requests.end(record)

    def _serve(
        self, service: Service, route: Route | None, call: Call, fault: Fault | None, stack: contextlib.ExitStack
    ) -> None:
        """Read, ask the service, send. Billed is a good answer of the service that was sent as a whole."""
        if fault is not None and fault.name == "refuse":
            raise Cut(reset=True)
        box, record = self.server.box, call.record
        try:
            read_body(self.rfile, self.headers, call.body)
            box.requests.arrived(record, call.body)
            if fault is not None and fault.name == "hang" and not fault.options["chunks"]:
                self._hold(fault.options["seconds"])
                raise Cut
            replaced = instead(fault, service)
            reply = replaced or _ask(service, route, call)
        except Refusal as exc:
            self.close_connection |= exc.status == TOO_LARGE  # the rest of the body may still be on its way
            reply = service.error(exc.status, exc.message)
            reply.headers.update(exc.headers)
            replaced = reply
        if fault is not None and fault.name == "slow_first_byte":
            self._sleep(fault.options["seconds"])
        record.status = reply.status
        harmed = fault is not None and reply.streamed and fault.name in ("error_in_stream", "malformed_sse")
        billed = replaced is None and not harmed and reply.status < 400

        def done() -> None:
            stack.close()
            box.requests.answered(record, billed=billed)

        with contextlib.closing(pieces(reply, fault, service, self._hold)) as parts:
            self._send(reply, parts, done)

    def _send(self, reply: Reply, parts: Iterable[bytes | float], done: Callable[[], None] = lambda: None) -> None:
        """Send it all. `done` is called before the last bytes leave, so that who has the answer finds it booked."""
        if self.close_connection:
            reply.headers["connection"] = "close"
        ahead, first = head(reply), True
        if self.command == "HEAD" or reply.status in NO_BODY:
            parts = ()
        try:
            for part in parts:
                if isinstance(part, bytes) and not part:
                    continue
                self._look()
                if not first or not isinstance(part, bytes):
                    self.wfile.write(ahead)
                    ahead = b""
                if isinstance(part, bytes):
                    ahead += b"%x\r\n%b\r\n" % (len(part), part) if reply.streamed else part
                    first = False
                else:
                    self._sleep(part)
        except Cut:
            self.wfile.write(ahead)
            raise
        self._look()
        done()
        self.wfile.write(ahead + (b"0\r\n\r\n" if reply.streamed and self.command != "HEAD" else b""))

    def _look(self) -> None:
        """Raises HungUp when the client is gone, Cut when the sandbox closes."""
        if self.server.closing.is_set():
            raise Cut
        readable, _, _ = select.select([self.connection], [], [], 0)
        if readable and self.connection.recv(1, socket.MSG_PEEK) == b"":
            raise HungUp

    def _sleep(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        end = time.monotonic() + seconds
        self._look()
        while (left := end - time.monotonic()) > 0 and not until():
            self.server.closing.wait(min(left, LOOK_SECONDS))
            self._look()

    def _hold(self, seconds: float) -> None:
        faults = self.server.box.faults
        before = faults.cleared
        self._sleep(seconds, until=lambda: faults.cleared != before)

    def _close(self, *, reset: bool) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            if reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self.rfile.close()
                self.connection.close()
            else:
                self.connection.shutdown(socket.SHUT_RDWR)


def _ask(service: Service, route: Route | None, call: Call) -> Reply:
    if route is None:
        return service.error(404, f"{service.name} has no {call.method} {call.path}")
    try:
        return route.handler(call)
    except (Refusal, HungUp, Cut):
        raise
    except Exception as exc:  # noqa: BLE001 - a mistake in a service must reach the one who wrote it
        traceback.print_exc()
        call.note(crash=f"{type(exc).__name__}: {exc}")
        return service.error(500, f"the sandbox's service {service.name} failed: {type(exc).__name__}: {exc}")


def _find(service: Service, method: str, path: str) -> tuple[Route | None, dict[str, str]]:
    for route in service.routes():
        if method == route.method and (match := _pattern(route.pattern).fullmatch(path)):
            return route, match.groupdict()
    return None, {}


def _pattern(text: str) -> re.Pattern[str]:
    """`re` keeps the compiled form."""
    parts = re.split(r"\{(\w+)\}", text)
    return re.compile("".join(f"(?P<{part}>[^/]+?)" if at % 2 else re.escape(part) for at, part in enumerate(parts)))


def _whole(reply: Reply) -> bytes:
    assert isinstance(reply.body, bytes)
    return reply.body
