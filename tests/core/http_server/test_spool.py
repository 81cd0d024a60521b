"""Where bodies wait, and what happens when there is no room."""

import contextlib
import http.client
import json
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.errors import ConfigError, StorageFull
from relay.http.server.spool import MEMORY_PER_BODY, BodyBuffer, Spool
from tests.core.http_server.conftest import Running, eventually

MIB = 1 << 20


def upload(served: Running, size: int) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    pieces = (b"x" * MIB for _ in range(size // MIB))
    connection.request("POST", "/upload", body=pieces, headers={"Content-Length": str(size)})
    reply = connection.getresponse()
    answer = reply.status, json.loads(reply.read())
    connection.close()
    return answer


def test_a_large_body_waits_in_a_nameless_file_of_the_spool_folder(start, tmp_path: Path):
    served = start()
    with served.connect() as sock:
        sock.sendall(b"POST /slow HTTP/1.1\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900_000)
        assert served.app.entered.acquire(timeout=5)
        assert served.server.spool.on_disk == 900_000
        assert list((tmp_path / "spool").iterdir()) == []
        if Path("/proc/self/fd").exists():
            assert any(target.startswith(str(tmp_path / "spool")) for target in open_files())
        served.app.release.set()
        assert sock.recv(100)


def open_files() -> Iterator[str]:
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield str(link.readlink())


def test_a_small_body_stays_in_memory(served: Running):
    with served.connect() as sock:
        sock.sendall(b"POST /slow HTTP/1.1\r\nContent-Length: 400000\r\n\r\n" + b"x" * 400_000)
        assert served.app.entered.acquire(timeout=5)
        assert (served.server.spool.in_memory, served.server.spool.on_disk) == (400_000, 0)
        served.app.release.set()
        assert sock.recv(100)


def test_a_body_is_read_back_as_it_was_sent(tmp_path: Path):
    body = BodyBuffer(Spool(tmp_path, 10 * MIB))
    sent = os.urandom(3 * MIB)
    for start in range(0, len(sent), 8192):
        body.append(sent[start : start + 8192])
    body.finish()
    assert len(body) == len(sent)
    assert body.getfile().read() == sent
    body.close()


def test_a_declared_body_without_room_is_a_507_at_once(start):
    served = start(max_spool_bytes=4 * MIB)
    reply = served.ask(b"POST /upload HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (5 * MIB))
    assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (507, "storage_full", "60")


def test_all_bodies_together_are_bounded(start):
    served = start(max_spool_bytes=4 * MIB)
    with served.connect() as first:
        first.sendall(b"POST /upload HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (4 * MIB) + b"x" * (3 * MIB))
        eventually(lambda: served.server.spool.on_disk == 3 * MIB)
        chunked = b"POST /upload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"200000\r\n" + b"x" * (2 * MIB)
        assert served.ask(chunked).status == 507
    eventually(lambda: served.server.spool.on_disk == 0)
    assert upload(served, 4 * MIB) == (200, {"path": "/upload", "size": 4 * MIB})


@pytest.fixture
def files_of_at_most_a_mebibyte() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("files_of_at_most_a_mebibyte")
def test_a_disk_that_refuses_is_a_507_and_the_server_goes_on(served: Running):
    assert upload(served, 8 * MIB)[0] == 507
    assert served.server.spool.on_disk == 0
    assert upload(served, MIB)[0] == 200


def test_a_spool_folder_that_went_away_is_a_507(start, tmp_path: Path):
    served = start()
    shutil.rmtree(tmp_path / "spool")
    assert upload(served, 4 * MIB)[0] == 507


def test_a_spool_folder_that_cannot_be_made_stops_the_start(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="upload folder"):
        Spool(tmp_path / "file" / "spool", MIB)


def test_what_a_body_took_is_given_back_once(tmp_path: Path):
    spool = Spool(tmp_path, 4 * MIB)
    body = BodyBuffer(spool)
    body.append(b"x" * (2 * MIB))
    assert spool.on_disk == 2 * MIB
    body.close()
    body.close()
    body.append(b"after the end")
    assert (spool.on_disk, spool.in_memory) == (0, 0)


def test_without_room_in_memory_small_bodies_go_to_disk(tmp_path: Path):
    spool = Spool(tmp_path, 4 * MIB, max_memory=MEMORY_PER_BODY)
    bodies = [BodyBuffer(spool) for _ in range(3)]
    for body in bodies:
        body.append(b"x" * 300_000)
    assert (spool.in_memory, spool.on_disk) == (300_000, 600_000)
    for body in bodies:
        body.close()


def test_a_body_without_room_anywhere_is_refused(tmp_path: Path):
    spool = Spool(tmp_path, 100, max_memory=0)
    body = BodyBuffer(spool)
    body.append(b"x" * 60)
    with pytest.raises(StorageFull):
        body.append(b"x" * 60)
    body.close()
    assert spool.on_disk == 0
