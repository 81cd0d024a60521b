"""A caller in the middle of sending reads our answer, not a reset."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
import requests

from relay.http.server import linger
from tests.core.http_server.conftest import Running, read_reply

GIB = 1 << 30


class Endless:
    """A file that says it has 3 GiB and counts what was taken of it."""

    def __init__(self) -> None:
        self.read_bytes = 0

    def __len__(self) -> int:
        return 3 * GIB

    def read(self, size: int = -1) -> bytes:
        self.read_bytes += 65536
        return b"x" * 65536


def keep_sending(sock: socket.socket, piece: bytes, pause: float = 0) -> None:
    for _ in range(1000 if not pause else 100):
        sock.sendall(piece)
        time.sleep(pause)


def test_requests_reads_the_413_while_it_sends_a_huge_file(served: Running):
    body = Endless()
    reply = requests.post(f"http://127.0.0.1:{served.port}/upload", data=body, timeout=30)
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "too_large")
    assert body.read_bytes < GIB


def test_requests_reads_the_413_while_it_sends_a_generator(served: Running):
    pieces = (b"x" * 65536 for _ in range(400))
    reply = requests.post(f"http://127.0.0.1:{served.port}/json", data=pieces, timeout=30)
    assert reply.status_code == 413


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_reads_the_413(served: Running, tmp_path: Path):
    file = tmp_path / "big"
    with file.open("wb") as out:
        out.truncate(20_000_000)
    command = ["curl", "-sS", "-H", "Expect:", "-w", "%{http_code}", "-T", file, f"http://127.0.0.1:{served.port}/json"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert done.stdout.endswith(b"413")


def test_what_comes_after_the_answer_is_read_and_discarded(served: Running):
    with served.connect() as sock:
        sock.sendall(b"POST /upload HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (3 * GIB))
        for _ in range(100):
            sock.sendall(b"x" * 65536)
        assert read_reply(sock).status == 413
        assert sock.recv(1) == b""


def test_a_caller_who_never_stops_is_cut_after_so_many_bytes(served: Running, monkeypatch):
    monkeypatch.setattr(linger, "LINGER_BYTES", 1_000_000)
    with served.connect() as sock:
        sock.sendall(b"POST /upload HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (3 * GIB))
        with pytest.raises(ConnectionError):
            keep_sending(sock, b"x" * 65536)


def test_a_caller_who_never_closes_is_cut_after_a_while(served: Running, monkeypatch):
    monkeypatch.setattr(linger, "LINGER_SECONDS", 0.2)
    with served.connect() as sock:
        sock.sendall(b"POST /upload HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (3 * GIB))
        assert read_reply(sock).status == 413
        with pytest.raises(ConnectionError):
            keep_sending(sock, b"x", pause=0.1)
