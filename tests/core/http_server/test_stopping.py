"""The end: what is in flight is finished, nothing else is begun."""

import signal
import socket
import subprocess
import sys

import pytest

from tests.core.http_server.conftest import Running, eventually, read_reply


def begin_slow(served: Running) -> socket.socket:
    sock = served.connect()
    sock.sendall(b"GET /slow HTTP/1.1\r\n\r\n")
    assert served.app.entered.acquire(timeout=5)
    return sock


def test_a_request_in_flight_is_finished_and_new_callers_are_refused(served: Running):
    with begin_slow(served) as slow, served.connect() as idle:
        idle.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert read_reply(idle).status == 200
        served.server.stop(10)
        assert idle.recv(1) == b""
        eventually(lambda: served.server.socket is None)
        with pytest.raises(ConnectionRefusedError):
            served.connect()
        served.app.release.set()
        reply = read_reply(slow)
        assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert served.ended() is True


def test_a_large_answer_is_flushed_before_the_end(served: Running):
    with served.connect() as sock:
        sock.sendall(b"GET /big HTTP/1.1\r\n\r\n")
        eventually(lambda: served.app.seen)
        served.server.stop(10)
        assert len(read_reply(sock).body) == 40_000_000
    assert served.ended() is True


def test_a_stuck_request_is_abandoned_after_the_drain_time(served: Running, caplog):
    with begin_slow(served) as slow:
        assert served.stop(0.3) is False
        assert slow.recv(1) == b""
    assert "1 requests did not finish in time" in caplog.text


def test_a_second_stop_can_only_shorten_the_time(served: Running):
    with begin_slow(served):
        served.server.stop(60)
        served.server.stop(0)
        served.server.stop(60)
        assert served.ended() is False


def test_a_half_sent_request_is_told_to_come_back(served: Running):
    with served.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
        eventually(lambda: any(channel.request for channel in list(served.server.active_channels.values())))
        served.server.stop(5)
        reply = read_reply(sock)
    assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "draining", "5")
    assert served.ended() is True


def test_a_stop_before_the_start_ends_at_once(served: Running):
    assert served.stop(0) is True
    served.server.stop(0)


def test_callers_the_kernel_already_accepted_are_answered(tmp_path):
    """The loop is stopped before it ever ran, so the request waits in the kernel's queue."""
    program = f"""
import signal, socket, sys
from pathlib import Path
from relay.http.server import Server, ServerOptions, listen

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

options = ServerOptions(2, Path({str(tmp_path)!r}), 1 << 20, lambda path, origin: [])
sock = listen("127.0.0.1", 0)
server = Server(app, sock, lambda head: 0, options)
signal.signal(signal.SIGTERM, lambda *_: server.stop(5))
print(sock.getsockname()[1], flush=True)
sys.stdin.readline()
signal.raise_signal(signal.SIGTERM)
sys.exit(0 if server.run() else 3)
"""
    command = [sys.executable, "-W", "error", "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            process.stdin.write(b"go\n")
            process.stdin.flush()
            assert read_reply(sock).body == b"ok"
        assert process.wait(10) == 0


def test_a_signal_ends_an_idle_server(tmp_path):
    program = f"""
import signal, sys
from pathlib import Path
from relay.http.server import Server, ServerOptions, listen

server = Server(None, listen("127.0.0.1", 0), lambda head: 0,
                ServerOptions(2, Path({str(tmp_path)!r}), 1 << 20, lambda path, origin: []))
signal.signal(signal.SIGTERM, lambda *_: server.stop(5))
print("ready", flush=True)
sys.exit(0 if server.run() else 3)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
