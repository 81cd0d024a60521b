"""`ctx.cancel()` from another thread ends a call at once, and only that call."""

import shutil
import ssl
import subprocess
import threading
import time

import pytest

from relay.errors import Unavailable, UpstreamTimeout
from relay.ports.inference import CallContext
from relay.upstream import HTTPClient
from tests.loopback import Raw, Server, reply

MIB = 1024 * 1024
FOREVER = 60


@pytest.fixture
def client_for():
    clients = []

    def make(url, **options):
        clients.append(HTTPClient(url, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def ctx():
    return CallContext(deadline=time.monotonic() + FOREVER)


def cancelling(ctx):
    """Cancels from another thread, a moment after it is called."""
    threading.Timer(0.1, ctx.cancel).start()


def assert_cancelled(call, server):
    began = time.monotonic()
    with pytest.raises(Unavailable, match="the call was cancelled"):
        call()
    assert time.monotonic() - began < FOREVER / 2
    assert server.closed.acquire(timeout=5), "the server is told by the end of the connection"


@pytest.fixture
def silent(ctx):
    """A server that takes a request and says nothing; the call is cancelled while it waits."""

    def wait(request, connection):
        cancelling(ctx)
        while connection.recv(1000):
            """Until the client hangs up."""
        raise OSError

    with Server(on_head=wait) as server:
        yield server


def test_a_call_that_waits_for_its_first_byte_is_ended(client_for, silent, ctx):
    client = client_for(silent.url)
    assert_cancelled(lambda: client.post_json("/", {}, ctx=ctx), silent)


def test_a_plain_request_and_a_form_are_ended_too(client_for, silent, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"x")
    client = client_for(silent.url)
    for call in (
        lambda ctx: client.request("GET", "/", ctx=ctx),
        lambda ctx: client.post_multipart("/", [], ("file", "f", tmp_path / "a.wav", "audio/wav"), ctx=ctx),
    ):
        ctx = CallContext(deadline=time.monotonic() + FOREVER)
        cancelling(ctx)
        assert_cancelled(lambda call=call, ctx=ctx: call(ctx), silent)


@pytest.mark.parametrize("length", ["content-length: 100000", "connection: close", "transfer-encoding: chunked"])
def test_a_call_in_the_middle_of_its_answer_is_ended(client_for, ctx, length):
    def half(request, connection):
        connection.sendall(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n4\r\nhalf\r\n".encode())
        cancelling(ctx)
        server.stopping.wait(FOREVER)

    with Server(on_head=half) as server:
        client = client_for(server.url)
        threading.Timer(0.4, server.stopping.set).start()
        assert_cancelled(lambda: client.request("GET", "/", ctx=ctx), server)


def test_a_call_that_is_still_sending_is_ended(client_for, ctx, tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(64 * MIB)

    def stall(request, connection):
        cancelling(ctx)
        server.stopping.wait(FOREVER)

    with Server(on_head=stall) as server:
        client = client_for(server.url)
        with pytest.raises(Unavailable, match="cancelled"):
            client.post_multipart("/", [], ("file", "f", tmp_path / "large", "audio/wav"), ctx=ctx)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_call_over_tls_is_ended(client_for, ctx, tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    def wait(request):
        cancelling(ctx)
        server.stopping.wait(FOREVER)
        return reply()

    with Server(wait, wrap=lambda connection: context.wrap_socket(connection, server_side=True)) as server:
        client = client_for(f"https://127.0.0.1:{server.port}")
        with pytest.raises(Unavailable, match="cancelled"):
            client.post_json("/", {}, ctx=ctx)


def test_a_cancelled_call_is_not_sent(client_for, ctx):
    ctx.cancel()
    with Server() as server, pytest.raises(Unavailable, match="cancelled"):
        client_for(server.url).post_json("/", {}, ctx=ctx)
    assert server.connections == 0


def test_a_call_has_no_more_time_than_its_context(client_for):
    with Server(lambda request: server.stopping.wait(FOREVER) and reply()) as server, pytest.raises(UpstreamTimeout):
        client_for(server.url).post_json("/", {}, ctx=CallContext(deadline=time.monotonic() + 0.3))


def test_a_late_cancel_does_not_hit_the_next_call_on_the_connection(client_for, ctx):
    """The core goes through a list of what to stop while the call it is about may just have ended."""
    late = []

    def answer(request):
        if request.path == "/first":
            late.extend(ctx._stops)
        else:
            for stop in late:
                stop()
        return reply(200, b"ok")

    with Server(answer) as server:
        client = client_for(server.url)
        assert client.request("GET", "/first", ctx=ctx).body == b"ok"
        assert late
        assert ctx._stops == []
        following = CallContext(deadline=time.monotonic() + FOREVER)
        assert client.request("GET", "/second", ctx=following).body == b"ok"
    assert server.connections == 1


def test_an_answer_that_is_complete_counts_though_the_caller_has_gone(client_for, ctx):
    with Server(lambda request: Raw(reply(200, b"ok").data)) as server:
        answer = client_for(server.url).post_json("/", {}, ctx=ctx)
        ctx.cancel()
    assert answer.body == b"ok"
