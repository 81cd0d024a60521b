"""The HTTP client against a real server on loopback: what it sends, and what each failure is called."""

import gzip
import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from structlog.testing import capture_logs

from relay.errors import OutcomeUnknown, Unavailable, UpstreamFailed, UpstreamTimeout
from relay.upstream import HTTPClient
from tests.loopback import HANG_UP, Raw, Server, json_reply, reply

MIB = 1024 * 1024


@pytest.fixture
def client_for():
    clients = []

    def make(server_or_url, **options):
        url = getattr(server_or_url, "url", server_or_url)
        clients.append(HTTPClient(url, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.mark.parametrize("base", ["", "/", "/relay", "/relay/"])
@pytest.mark.parametrize("path", ["v1/models", "/v1/models"])
def test_the_path_goes_behind_the_path_of_the_base_url(client_for, base, path):
    with Server() as server:
        client_for(server.url + base).request("GET", path)
    assert server.requests[0].path == base.rstrip("/") + "/v1/models"


def test_json_is_sent_with_its_headers_and_the_answer_is_read(client_for):
    with Server(lambda request: json_reply({"got": request.json()}, X_Thing="yes")) as server:
        answer = client_for(server, headers={"Authorization": "Bearer t"}).post_json("/p", {"a": [1, "é"]})
    assert json.loads(answer.body) == {"got": {"a": [1, "é"]}}
    assert (answer.status, answer.headers["x-THING"]) == (200, "yes")
    sent = server.requests[0].headers
    assert sent["authorization"] == "Bearer t"
    assert sent["content-type"] == "application/json"
    assert sent["user-agent"].startswith("recap-relay/")


def test_a_header_of_the_call_replaces_the_clients_own(client_for):
    with Server() as server:
        client_for(server, headers={"X-One": "client"}).request("GET", "/", headers={"x-oNE": "call"})
    assert server.requests[0].headers["x-one"] == "call"


def test_an_answer_of_any_status_is_an_answer_and_redirects_are_not_followed(client_for):
    with Server(lambda request: reply(302, b"there", location="/elsewhere")) as server:
        answer = client_for(server).request("POST", "/here", body=b"x")
    assert (answer.status, answer.body) == (302, b"there")
    assert len(server.requests) == 1


def test_connections_are_kept(client_for):
    with Server() as server:
        client = client_for(server)
        for _ in range(5):
            client.post_json("/", {})
    assert server.connections == 1


def test_threads_share_the_pool_and_get_their_own_answers(client_for):
    with Server(lambda request: json_reply(request.json())) as server:
        client = client_for(server, pool_size=16)

        def ask(number):
            return [json.loads(client.post_json("/", [number, turn]).body) for turn in range(20)]

        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(ask, range(16)))
    assert answers == [[[number, turn] for turn in range(20)] for number in range(16)]
    assert server.connections <= 16


def test_a_kept_connection_the_server_closed_meanwhile_is_replaced(client_for):
    with Server(lambda request: Raw(reply(200, b"ok").data, close=True)) as server:
        client = client_for(server)
        for _ in range(4):
            assert client.post_json("/", {}).body == b"ok"
            server.closed.acquire(timeout=5)
    assert server.connections == 4


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_kept_connection_lost_while_asking_is_not_asked_again(client_for, method):
    with Server(lambda request: reply() if request.path == "/first" else HANG_UP) as server:
        client = client_for(server)
        client.post_json("/first", {})
        with pytest.raises(OutcomeUnknown):
            client.request(method, "/second")
    assert [request.path for request in server.requests] == ["/first", "/second"]


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (HANG_UP, OutcomeUnknown),
        (Raw(reset=True), OutcomeUnknown),
        (Raw(b"garbage\r\n\r\n", close=True), OutcomeUnknown),
        (Raw(b"\x16\x03\x01" * 500, close=True), OutcomeUnknown),
        (Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", close=True), OutcomeUnknown),
        (Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 4, 5\r\n\r\nhalf", close=True), OutcomeUnknown),
        (Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", close=True), OutcomeUnknown),
        (Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhalf\r\n", close=True), OutcomeUnknown),
        (Raw(b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 70_000 + b"\r\n\r\n", close=True), OutcomeUnknown),
        (reply(200, b"not gzip", content_encoding="gzip"), UpstreamFailed),
    ],
)
def test_a_lost_or_broken_answer_is_named(client_for, said, error):
    with Server(lambda request: said) as server, pytest.raises(error) as failure, capture_logs() as logs:
        client_for(server, headers={"authorization": "Bearer sesame"}).post_json("/", {})
    assert type(failure.value) is error
    assert "127.0.0.1" not in failure.value.message, "callers are not told where the server is"
    assert logs[-1]["server"] == f"127.0.0.1:{server.port}"
    assert "sesame" not in f"{failure.value.message}{logs}"
    assert "0x" not in failure.value.message
    assert len(server.requests) == 1


def test_nothing_happened_where_nobody_listens(client_for):
    with Server() as server:
        pass
    with pytest.raises(Unavailable, match="could not be reached: Connection refused"):
        client_for(server).post_json("/", {})


def test_a_name_that_cannot_be_looked_up_is_unavailable(client_for):
    with pytest.raises(Unavailable):
        client_for(f"http://{'a' * 70}.localhost").request("GET", "/")


def test_a_connection_that_is_not_accepted_in_time_is_unavailable(client_for):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        for _ in range(4):  # fill the queue of connections nobody accepts
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(Unavailable, match="did not answer in time"):
            client_for(url, connect_timeout=0.2).request("GET", "/")
        for one in waiting:
            one.close()


@pytest.mark.parametrize("silent", [True, False])
def test_a_failed_tls_handshake_is_unavailable(client_for, silent):
    def plain(connection):
        connection.recv(100)
        if not silent:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        server.stopping.wait(5)
        return connection

    with Server(wrap=plain) as server, pytest.raises(Unavailable):
        client_for(f"https://127.0.0.1:{server.port}", connect_timeout=0.2).post_json("/", {})


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_tls_works_with_a_trusted_certificate_and_is_refused_without(client_for, tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def tls(connection):
        return context.wrap_socket(connection, server_side=True)

    with Server(lambda request: reply(200, request.body), wrap=tls) as server:
        url = f"https://127.0.0.1:{server.port}"
        with pytest.raises(Unavailable, match="certificate is not trusted"):
            client_for(url).post_json("/", {})
        assert server.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        client = client_for(url)
        assert [client.post_json("/", turn).body for turn in range(3)] == [b"0", b"1", b"2"]
        assert server.connections == 2, "the refused one, and one that is kept"


def test_a_server_that_does_not_answer_in_time_is_a_timeout(client_for):
    released = threading.Event()
    with Server(lambda request: released.wait(10) and HANG_UP) as server:
        with pytest.raises(UpstreamTimeout):
            client_for(server).post_json("/", {}, timeout=0.2)
        with pytest.raises(UpstreamTimeout):
            client_for(server, read_timeout=0.2).post_json("/", {})
        with pytest.raises(UpstreamTimeout):
            client_for(server, read_timeout=0.2).post_json("/", {}, timeout=60)
        released.set()


@pytest.mark.parametrize("length", ["content-length: 100000", "connection: close"])
@pytest.mark.parametrize("pause", [0.05, 10])
def test_an_answer_that_drips_does_not_outlast_the_deadline(client_for, length, pause):
    def drip(request, connection):
        connection.sendall(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode())
        while not server.stopping.wait(pause):
            connection.sendall(b"x")

    with Server(on_head=drip) as server, pytest.raises(UpstreamTimeout):
        client_for(server).request("GET", "/", timeout=0.4)


def test_an_answer_that_is_complete_after_the_deadline_is_too_late(client_for):
    def late(request, connection):
        server.stopping.wait(0.4)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na")
        server.stopping.wait(0.4)
        connection.sendall(b"b")

    with Server(on_head=late) as server, pytest.raises(UpstreamTimeout):
        client_for(server).request("GET", "/", timeout=0.6)


def test_a_call_without_time_is_not_sent(client_for):
    with Server() as server, pytest.raises(UpstreamTimeout):
        client_for(server).request("GET", "/", timeout=0)
    assert server.connections == 0


def test_a_short_timeout_does_not_stay_with_the_connection(client_for):
    with Server(lambda request: server.stopping.wait(3) or reply()) as server:
        client = client_for(server)
        server.answer, slow = lambda request: reply(), server.answer
        client.request("GET", "/", timeout=2)
        server.answer = slow
        assert client.request("GET", "/", timeout=30).status == 200
    assert server.connections == 1


def test_sending_may_take_longer_than_connecting(client_for):
    def stall(request, connection):
        server.stopping.wait(0.6)

    with Server(on_head=stall) as server:
        client = client_for(server, connect_timeout=0.2)
        assert client.request("POST", "/", body=b"x" * (32 * MIB)).status == 200
    assert server.requests[0].length == 32 * MIB


def test_a_server_that_stops_reading_is_a_timeout(client_for):
    def stall(request, connection):
        server.stopping.wait(5)

    with Server(on_head=stall) as server, pytest.raises(UpstreamTimeout):
        client_for(server).request("POST", "/", body=b"x" * (32 * MIB), timeout=0.3)


def test_an_answer_before_the_body_was_read_is_still_heard(client_for):
    def refuse(request, connection):
        connection.sendall(reply(413, b"too much").data)
        raise OSError

    with Server(on_head=refuse) as server:
        answer = client_for(server).request("POST", "/", body=b"x" * (32 * MIB))
    assert (answer.status, answer.body) == (413, b"too much")


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"10000\r\n" + b"x" * 65536 + b"\r\n"


@pytest.mark.parametrize(
    "said",
    [
        reply(200, b"x" * 1001),
        Raw(CHUNKED, close=True),
        reply(200, gzip.compress(b"\0" * 10 * MIB), content_encoding="gzip"),
    ],
)
def test_an_answer_over_the_limit_is_refused_and_the_client_goes_on(client_for, said):
    with Server(lambda request: said if request.path == "/big" else reply(200, b"x" * 1000)) as server:
        client = client_for(server)
        with pytest.raises(UpstreamFailed, match="more than 1000 bytes"):
            client.request("GET", "/big", max_bytes=1000)
        assert len(client.request("GET", "/fits", max_bytes=1000).body) == 1000


def test_an_answer_nobody_reads_to_its_end_is_hung_up_on(client_for):
    with Server(lambda request: reply(200, b"x" * 10 * MIB)) as server:
        with pytest.raises(UpstreamFailed) as failure:
            client_for(server).request("GET", "/", max_bytes=1000)
        assert server.closed.acquire(timeout=5), f"the server still waits after {failure.value}"


def test_chunked_and_compressed_and_empty_answers_are_read_whole(client_for):
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    said = {
        "/chunked": Raw(chunked),
        "/gzip": reply(200, gzip.compress(b"abc" * MIB), content_encoding="gzip"),
        "/empty": reply(200),
        "/none": Raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
        "/large": reply(200, b"l" * 3 * MIB),
    }
    with Server(lambda request: said[request.path]) as server:
        client = client_for(server)
        bodies = [client.request("GET", path).body for path in said]
    assert bodies == [b"abcde", b"abc" * MIB, b"", b"", b"l" * 3 * MIB]
    assert server.connections == 1


def test_an_iterable_body_goes_out_with_its_announced_length(client_for):
    with Server() as server:
        client_for(server).request("POST", "/", body=iter([b"ab", b"", b"cd"]), headers={"Content-Length": "4"})
    assert server.requests[0].sha256 == hashlib.sha256(b"abcd").hexdigest()


def test_proxies_of_the_environment_are_not_used(client_for, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with Server() as server:
        assert client_for(server).request("GET", "/").status == 200


def test_a_closed_client_says_so_and_closes_again(client_for):
    with Server() as server:
        client = client_for(server)
        client.request("GET", "/")
        client.close()
        client.close()
        with pytest.raises(Unavailable, match="stopping"):
            client.request("GET", "/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "spark.lan:8000",
        "ftp://h",
        "file:///etc/passwd",
        "http://",
        "http://u:sesame@h",
        "http://h/?a",
        "http://h/#a",
    ],
)
def test_a_base_url_that_cannot_work_is_refused(url):
    with pytest.raises(ValueError) as refusal:
        HTTPClient(url)
    assert "sesame" not in str(refusal.value)


def test_a_header_that_cannot_be_sent_is_refused_without_repeating_it():
    with pytest.raises(ValueError, match="authorization") as refusal:
        HTTPClient("http://h", headers={"Authorization": "Bearer sesame\n"})
    assert "sesame" not in str(refusal.value)


def test_importing_the_client_does_not_import_requests():
    code = "import sys, relay.upstream; sys.exit('requests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
