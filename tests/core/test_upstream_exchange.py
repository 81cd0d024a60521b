"""Questions with a body in memory: how their connections are kept, and when they are not."""

import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from relay.errors import OutcomeUnknown, Unavailable, UpstreamFailed, UpstreamTimeout
from relay.ports.inference import CallContext
from relay.upstream import HTTPClient, connection
from tests.loopback import HANG_UP, Raw, Server, json_reply, reply

MIB = 1024 * 1024
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
SIMPLE = reply(200, b"ok").data
GARBAGE = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen"


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


@pytest.fixture
def ctx():
    return CallContext(deadline=time.monotonic() + 60)


@pytest.fixture
def tls(tmp_path, monkeypatch):
    """Wraps a server's connections; clients made afterwards trust it."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext"
    command += " subjectAltName=IP:127.0.0.1"
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return lambda connection: context.wrap_socket(connection, server_side=True)


@pytest.mark.parametrize("base", ["", "/deep/er"])
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer t", "X-A": ""}, {"Host": "other"}, {"Accept-Encoding": "gzip"}]
)
def test_the_request_is_the_one_urllib3_writes(client_for, base, headers):
    with Server(lambda request: json_reply({})) as server:
        client = client_for(server.url + base, headers=headers)
        client.post_json("/v1/x?y=1", {"a": "é"})
        client.request("POST", "/v1/x?y=1", body='{"a":"é"}'.encode(), headers={"content-type": "application/json"})
    ours, theirs = server.requests
    assert ours == theirs


def test_the_host_is_written_as_urllib3_does(client_for):
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    heads = []

    def serve():
        for _ in range(2):
            caller, _ = listener.accept()
            with caller:
                heads.append(caller.recv(65536))
                caller.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    with listener:
        client = client_for(f"http://[::1]:{listener.getsockname()[1]}")
        client.post_json("/", {})
        client.request("POST", "/", body=b"")
        thread.join(10)
    hosts = [line for head in heads for line in head.lower().split(b"\r\n") if line.startswith(b"host:")]
    assert len(hosts) == 2
    assert hosts[0] == hosts[1]


def test_a_path_that_must_be_quoted_is_quoted(client_for):
    with Server() as server:
        client_for(server).post_json("/a b/é", {})
    assert server.requests[0].path == "/a%20b/%C3%A9"


@pytest.mark.parametrize("path", ["/a HTTP/1.1\r\nx: y", "/a\nb", "/a\0"])
def test_nothing_gets_into_the_head_by_way_of_a_path(client_for, path):
    with Server() as server:
        client_for(server).post_json(path, {})
    assert "x" not in server.requests[0].headers
    assert server.requests[0].path.startswith("/a%")


def test_nothing_gets_into_the_head_by_way_of_a_headers_name(client_for):
    with Server() as server, pytest.raises(ValueError, match="Invalid header name"):
        client_for(server, headers={"x\r\ny": "z"}).post_json("/", {})
    assert server.requests == []


def test_a_body_of_many_megabytes_arrives_whole(client_for):
    with Server() as server:
        client_for(server).post_json("/", "x" * (32 * MIB))
    assert server.requests[0].length == 32 * MIB + 2


def test_headers_ignore_case_and_repeated_ones_are_joined(client_for):
    said = Raw(b"HTTP/1.1 429 Slow\r\nRetry-After:  7\r\nX-A: 1\r\nx-a:2\r\nContent-Length: 0\r\n\r\n")
    with Server(lambda request: said) as server:
        headers = client_for(server).post_json("/", {}).headers
    assert (headers["retry-after"], headers.get("RETRY-AFTER"), headers["X-a"]) == ("7", "7", "1, 2")
    assert headers.get("absent", "no") == "no"
    assert "content-LENGTH" in headers
    assert sorted(name.lower() for name in headers) == ["content-length", "retry-after", "x-a"]


def test_one_connection_serves_answers_of_all_kinds(client_for):
    said = {
        "/simple": Raw(SIMPLE),
        "/chunked": Raw(CHUNKED),
        "/continue": Raw(b"HTTP/1.1 100 Continue\r\n\r\n" + SIMPLE),
        "/none": Raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
        "/same": Raw(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"),
        "/twice": Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok"),
        "/odd": Raw(b"HTTP/1.1 200 OK\r\nContent-LENGTH:\t2 \r\n\r\nok"),
        "/large": reply(200, b"l" * 3 * MIB),
        "/many": Raw(b"HTTP/1.1 200 OK\r\n" + b"x: %b\r\n" % (b"y" * 60_000) * 5 + SIMPLE[19:]),
    }
    with Server(lambda request: said[request.path]) as server:
        client = client_for(server)
        bodies = [client.post_json(path, {}).body for path in (*said, *said)]
    assert bodies == [b"ok", b"ok", b"ok", b"", b"", b"ok", b"ok", b"l" * 3 * MIB, b"ok"] * 2
    assert server.connections == 1


@pytest.mark.parametrize("said", [SIMPLE, CHUNKED])
@pytest.mark.parametrize("together", [True, False])
def test_what_follows_an_answer_is_nobodys_answer(client_for, said, together):
    late = threading.Event()

    def answer(request):
        if request.path == "/second":
            return Raw(SIMPLE)
        if together:
            return Raw(said + GARBAGE)
        threading.Thread(target=follow).start()
        return Raw(said)

    def follow():
        time.sleep(0.1)
        (raw,) = server._open
        raw.sendall(GARBAGE)
        late.set()

    with Server(answer) as server:
        client = client_for(server)
        assert client.post_json("/first", {}).body == b"ok"
        assert together or late.wait(5)
        assert client.post_json("/second", {}).body == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize("garbage", [GARBAGE, GARBAGE + b"x" * 14_000])
@pytest.mark.parametrize("said", [SIMPLE, CHUNKED])
def test_what_follows_an_answer_in_the_same_tls_record_is_nobodys_answer(client_for, tls, said, garbage):
    def answer(request):
        return Raw(said + garbage if request.path == "/first" else SIMPLE)

    with Server(answer, wrap=tls) as server:
        client = client_for(f"https://127.0.0.1:{server.port}")
        assert client.post_json("/first", {}).body == b"ok"
        assert client.post_json("/second", {}).body == b"ok"
        assert client.post_json("/third", {}).body == b"ok"
    assert server.connections == 2


def test_an_answer_larger_than_a_tls_record_is_read_whole_and_the_connection_kept(client_for, tls):
    with Server(lambda request: reply(200, b"l" * 3 * MIB), wrap=tls) as server:
        client = client_for(f"https://127.0.0.1:{server.port}")
        assert [len(client.post_json("/", {}).body) for _ in range(3)] == [3 * MIB] * 3
    assert server.connections == 1


def test_a_connection_that_was_idle_for_long_is_not_used(client_for, monkeypatch):
    with Server() as server:
        client = client_for(server)
        client.post_json("/", {})
        client.post_json("/", {})
        monkeypatch.setattr(connection, "IDLE_SECONDS", -1)
        client.post_json("/", {})
    assert server.connections == 2


@pytest.mark.parametrize("header", ["Connection: close", "connection: x, CLOSE"])
def test_a_server_that_says_it_will_close_is_not_asked_on_that_connection(client_for, header):
    said = Raw(f"HTTP/1.1 200 OK\r\n{header}\r\ncontent-length: 2\r\n\r\nok".encode())
    with Server(lambda request: said) as server:
        client = client_for(server)
        assert [client.post_json("/", {}).body for _ in range(3)] == [b"ok"] * 3
        assert all(server.closed.acquire(timeout=5) for _ in range(3)), "the relay hangs up"
    assert server.connections == 3


@pytest.mark.parametrize("lost", [HANG_UP, Raw(reset=True), Raw(SIMPLE[:-1], close=True), Raw(b"HTTP/1.1", close=True)])
def test_a_kept_connection_lost_while_asking_is_not_asked_again(client_for, lost):
    with Server(lambda request: Raw(SIMPLE) if request.path == "/first" else lost) as server:
        client = client_for(server)
        client.post_json("/first", {})
        with pytest.raises(OutcomeUnknown) as failure:
            client.post_json("/second", {})
        assert type(failure.value) is OutcomeUnknown
        assert client.post_json("/first", {}).body == b"ok"
    assert [request.path for request in server.requests] == ["/first", "/second", "/first"]


@pytest.mark.parametrize("cut", [0, 1, 12, 20, len(SIMPLE) - 3, len(SIMPLE) - 1])
def test_an_answer_that_stops_anywhere_is_a_timeout(client_for, cut):
    def stop(request, connection):
        connection.sendall(SIMPLE[:cut])
        server.stopping.wait(10)

    with Server(on_head=stop) as server, pytest.raises(UpstreamTimeout):
        client_for(server).post_json("/", {}, timeout=0.3)


def test_an_answer_that_drips_does_not_outlast_the_deadline(client_for):
    said = b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 10 + b"content-length: 100000\r\n\r\n" + b"z" * 100_000

    def drip(request, connection):
        for byte in said:
            connection.sendall(bytes([byte]))
            if server.stopping.wait(0.02):
                return

    with Server(on_head=drip) as server:
        client = client_for(server)
        for timeout in (0.3, 4):  # in the head, in the body
            with pytest.raises(UpstreamTimeout):
                client.post_json("/", {}, timeout=timeout)


def test_an_answer_that_is_complete_after_the_deadline_is_too_late(client_for):
    def late(request, connection):
        server.stopping.wait(0.4)
        connection.sendall(SIMPLE[:-1])
        server.stopping.wait(0.4)
        connection.sendall(SIMPLE[-1:])

    with Server(on_head=late) as server, pytest.raises(UpstreamTimeout):
        client_for(server).post_json("/", {}, timeout=0.6)


def test_a_short_timeout_does_not_stay_with_the_connection(client_for):
    with Server(lambda request: server.stopping.wait(2) or reply()) as server:
        client = client_for(server)
        server.answer, slow = lambda request: reply(), server.answer
        client.post_json("/", {}, timeout=1)
        server.answer = slow
        assert client.post_json("/", {}, timeout=30).status == 200
    assert server.connections == 1


@pytest.mark.parametrize(
    "said", [reply(200, b"x" * 10 * MIB), Raw(CHUNKED.replace(b"2\r\nok\r\n", b"10000\r\n" + b"x" * 65536))]
)
def test_an_answer_over_the_limit_is_refused_and_hung_up_on(client_for, said):
    with Server(lambda request: said if request.path == "/big" else reply(200, b"x" * 1000)) as server:
        client = client_for(server)
        with pytest.raises(UpstreamFailed, match="more than 1000 bytes") as failure:
            client.post_json("/big", {}, max_bytes=1000)
        assert server.closed.acquire(timeout=5), f"the server still waits after {failure.value}"
        assert len(client.post_json("/fits", {}, max_bytes=1000).body) == 1000


def test_an_answer_before_the_body_was_read_is_heard_and_the_connection_not_used_again(client_for):
    def refuse(request, connection):
        if request.path == "/large":
            connection.sendall(reply(413, b"too much").data)
            raise OSError

    with Server(on_head=refuse) as server:
        client = client_for(server)
        answer = client.post_json("/large", "x" * (32 * MIB))
        assert (answer.status, answer.body) == (413, b"too much")
        assert client.post_json("/small", {}).status == 200
    assert server.connections == 2


def test_a_call_that_is_still_sending_is_ended(client_for, ctx):
    def stall(request, connection):
        threading.Timer(0.1, ctx.cancel).start()
        server.stopping.wait(60)

    with Server(on_head=stall) as server, pytest.raises(Unavailable, match="cancelled"):
        client_for(server.url).post_json("/", "x" * (64 * MIB), ctx=ctx)


@pytest.mark.parametrize("length", ["content-length: 100000", "connection: close", "transfer-encoding: chunked"])
def test_a_call_in_the_middle_of_its_answer_is_ended(client_for, ctx, length):
    def half(request, connection):
        connection.sendall(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n4\r\nhalf\r\n".encode())
        threading.Timer(0.1, ctx.cancel).start()
        server.stopping.wait(60)

    with Server(on_head=half) as server:
        threading.Timer(0.5, server.stopping.set).start()
        with pytest.raises(Unavailable, match="the call was cancelled"):
            client_for(server.url).post_json("/", {}, ctx=ctx)


@pytest.mark.parametrize("said", [SIMPLE, CHUNKED])
def test_a_late_cancel_does_not_hit_the_next_call_on_the_connection(client_for, ctx, said):
    late = []

    def answer(request):
        if request.path == "/first":
            late.extend(ctx._stops)
        else:
            for stop in late:
                stop()
        return Raw(said)

    with Server(answer) as server:
        client = client_for(server.url)
        assert client.post_json("/first", {}, ctx=ctx).body == b"ok"
        assert late
        assert ctx._stops == []
        following = CallContext(deadline=time.monotonic() + 60)
        assert client.post_json("/second", {}, ctx=following).body == b"ok"
    assert server.connections == 1


def test_a_closed_client_says_so(client_for):
    with Server() as server:
        client = client_for(server)
        client.post_json("/", {})
        client.close()
        assert server.closed.acquire(timeout=5)
        with pytest.raises(Unavailable, match="stopping"):
            client.post_json("/", {})
