"""Forms with a file: what is sent, and that a large file is neither held in memory nor sent in part."""

import os
import tracemalloc

import pytest

from relay.errors import Unavailable, UpstreamTimeout
from relay.upstream import HTTPClient
from tests.loopback import Server

MIB = 1024 * 1024


@pytest.fixture
def client_for():
    clients = []

    def make(server):
        clients.append(HTTPClient(server.url))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def large(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(64 * MIB)
    return tmp_path / "large"


def test_a_server_that_reads_too_slowly_is_not_sent_the_rest(client_for, large):
    def sip(request, connection):
        while not server.stopping.wait(0.02):
            connection.recv(65536)

    with Server(on_head=sip) as server, pytest.raises(UpstreamTimeout, match="while sending the file"):
        client_for(server).post_multipart("/", [], ("file", "f", large, "audio/wav"), timeout=0.4)


def test_a_form_is_what_a_server_expects(client_for, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF\r\n--data")
    file = ("file", 'he said "no"\r\nx: y.wav', tmp_path / "a.wav", "audio/wav")
    with Server() as server:
        client_for(server).post_multipart("/up", [("language", "en"), ("prompt", "é")], file)
    sent = server.requests[0]
    kind, boundary = sent.headers["content-type"].split("; boundary=")
    parts = sent.body.split(b"--" + boundary.encode())
    assert kind == "multipart/form-data"
    assert parts[1] == b'\r\ncontent-disposition: form-data; name="language"\r\n\r\nen\r\n'
    assert parts[2] == '\r\ncontent-disposition: form-data; name="prompt"\r\n\r\né\r\n'.encode()
    head, _, content = parts[3].partition(b"\r\n\r\n")
    assert head.splitlines()[1:] == [
        b'content-disposition: form-data; name="file"; filename="he said %22no%22%0D%0Ax: y.wav"',
        b"content-type: audio/wav",
    ]
    assert content == b"RIFF\r\n--data\r\n"
    assert parts[4] == b"--\r\n"
    assert "transfer-encoding" not in sent.headers


def test_a_large_file_is_never_held_in_memory(client_for, large):
    with Server() as server:
        client = client_for(server)
        tracemalloc.start()
        client.post_multipart("/", [], ("file", "f", large, "audio/wav"))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert server.requests[0].length > 64 * MIB
    assert peak < 12 * MIB  # of which the server keeps 4, and copies them once
    assert server.requests[0].length == int(server.requests[0].headers["content-length"])


def test_a_file_that_becomes_shorter_while_it_is_sent_is_never_a_whole_form(client_for, large):
    def shorten(request, connection):
        os.truncate(large, 1000)

    with Server(on_head=shorten) as server, pytest.raises(Unavailable, match="became shorter"):
        client_for(server).post_multipart("/", [], ("file", "f", large, "audio/wav"))
