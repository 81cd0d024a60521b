"""Nobody holds a connection for ever."""

import socket
import time

import pytest

from relay.http.server import server
from tests.core.http_server.conftest import Running, eventually, read_reply


@pytest.fixture(autouse=True)
def look_often(monkeypatch):
    monkeypatch.setattr(server, "SWEEP_SECONDS", 0.1)


def trickle(sock: socket.socket, data: bytes) -> None:
    """One byte at a time, until the server has had enough."""
    sock.settimeout(0.1)
    for byte in data:
        sock.sendall(bytes([byte]))
        try:
            sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            continue
        break
    sock.settimeout(10)


def test_headers_that_trickle_are_refused(start):
    served = start(head_seconds=0.5)
    with served.connect() as sock:
        trickle(sock, b"GET / HTTP/1.1\r\nX-Slow: " + b"x" * 1000)
        reply = read_reply(sock)
    assert (reply.status, reply.error["code"]) == (400, "bad_request")
    assert "did not arrive within 0.5 seconds" in reply.error["message"]


@pytest.mark.parametrize("coding", [b"Content-Length: 5000", b"Transfer-Encoding: chunked"])
def test_a_body_that_trickles_is_refused_and_its_room_given_back(start, coding: bytes):
    served = start(body_seconds=0.5)
    with served.connect() as sock:
        sock.sendall(b"POST /relay/x HTTP/1.1\r\n" + coding + b"\r\n\r\n")
        trickle(sock, b"400\r\n" + b"x" * 1000)
        reply = read_reply(sock)
    assert reply.status == 400
    assert reply.headers["access-control-allow-origin"] == "*"


def test_a_caller_who_says_nothing_is_let_go(start):
    served = start(idle_seconds=0.5)
    with served.connect() as sock:
        assert sock.recv(1) == b""


def test_a_kept_connection_that_is_idle_is_closed(start):
    served = start(idle_seconds=0.5)
    with served.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert read_reply(sock).status == 200
        assert sock.recv(1) == b""


def test_a_stray_line_end_is_no_request(start):
    served = start(head_seconds=0.5)
    with served.connect() as sock:
        sock.sendall(b"\r\n")
        assert sock.recv(1) == b""


def test_a_caller_who_does_not_read_the_answer_is_cut(start):
    served = start(idle_seconds=0.5)
    with served.connect() as sock:
        sock.sendall(b"GET /big HTTP/1.1\r\n\r\n")
        eventually(lambda: served.app.seen and not served.server.active_channels)


def test_a_slow_application_is_not_cut_nor_is_what_waits_behind_it(start):
    served = start(head_seconds=1, body_seconds=1, idle_seconds=0.5)
    with served.connect() as sock:
        sock.sendall(
            b"GET /slow HTTP/1.1\r\n\r\nPOST /next HTTP/1.1\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhe"
        )
        time.sleep(1.5)
        served.app.release.set()
        time.sleep(0.5)
        sock.sendall(b"llo")
        assert sock.makefile("rb").read().count(b"HTTP/1.1 200 OK") == 2
    assert served.app.seen == ["GET /slow", "POST /next"]


def test_a_refusal_cannot_hold_up_other_callers(start):
    served: Running = start(threads=1, head_seconds=0.5)
    with served.connect() as slow:
        slow.sendall(b"GET / HT")
        assert served.ask(b"GET / HTTP/1.1\r\n\r\n").status == 200
