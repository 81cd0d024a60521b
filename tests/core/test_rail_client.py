"""The JSON client of the payment rails against a real server on loopback: what it sends, what each failure is."""

import gzip
import shutil
import socket
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from relay.api import RailClient, RailOutcomeUnknown, RailUnavailable
from relay.errors import RailError
from tests.loopback import HANG_UP, Raw, Server, json_reply, reply

MIB = 1024 * 1024
READS = [("GET", RailUnavailable)]
WRITES = [("POST", RailOutcomeUnknown), ("PUT", RailOutcomeUnknown), ("DELETE", RailOutcomeUnknown)]
CUT_SHORT = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}"
LOST = {
    "hung up": HANG_UP,
    "reset": Raw(reset=True),
    "no HTTP": Raw(b"garbage\r\n\r\n", close=True),
    "cut short": Raw(CUT_SHORT, close=True),
    "no gzip": reply(200, b"not gzip", content_encoding="gzip"),
    "HTML": reply(200, b"<html>502 Bad Gateway</html>", content_type="text/html"),
    "half JSON": reply(200, b'{"id": "a'),
    "not UTF-8": reply(200, b'{"id": "\xff\xfe"}'),
    "endless depth": reply(200, b"[" * 200_000),
    "no number": reply(200, b'{"amount": NaN}'),
    "500": json_reply({"id": "made"}, 500),
    "HTML 502": reply(502, b"<html>Bad Gateway</html>"),
    "503": reply(503),
    "408": reply(408),
    "too long": reply(200, b'"' + b"x" * (4 * MIB) + b'"'),
    "a bomb": reply(200, gzip.compress(b" " * (64 * MIB)), content_encoding="gzip"),
}


@pytest.fixture
def client_for():
    clients = []

    def make(server_or_url, **headers):
        url = getattr(server_or_url, "url", server_or_url)
        clients.append(RailClient(url, name="acme", headers=headers))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.mark.parametrize("base", ["", "/", "/btcpay", "/btcpay/", "/a/b/"])
@pytest.mark.parametrize("path", ["api/v1/health", "/api/v1/health"])
def test_the_path_goes_behind_the_path_of_the_base_url(client_for, base, path):
    with Server(lambda request: json_reply({})) as server:
        client_for(server.url + base).ask("GET", path)
    assert server.requests[0].path == base.rstrip("/") + "/api/v1/health"


def test_json_goes_out_with_its_headers_and_comes_back_with_its_status(client_for):
    with Server(lambda request: json_reply({"got": request.json()}, 201)) as server:
        answer = client_for(server, Authorization="token t0ken").ask("POST", "/p", json={"a": Decimal("1.10")})
    assert answer == (201, {"got": {"a": "1.10"}})
    sent = server.requests[0].headers
    assert sent["authorization"] == "token t0ken"
    assert sent["content-type"] == "application/json"
    assert sent["user-agent"].startswith("recap-relay/")


def test_a_read_has_no_body_and_may_repeat_a_parameter(client_for):
    with Server(lambda request: json_reply([])) as server:
        client_for(server).ask("GET", "/p", params={"orderId": ["a b", "c&d"], "take": "5"})
    request = server.requests[0]
    assert request.path == "/p?orderId=a+b&orderId=c%26d&take=5"
    assert (request.length, "content-type" in request.headers) == (0, False)


def test_fractions_are_decimals_and_never_floats(client_for):
    said = b'{"a": 0.1, "b": [5.00, 0.00000000001], "c": 12345678901234567890123, "d": 1e2, "e": "10.00"}'
    with Server(lambda request: reply(200, said)) as server:
        _, found = client_for(server).ask("GET", "/")
    assert found == {
        "a": Decimal("0.1"),
        "b": [Decimal("5.00"), Decimal("1E-11")],
        "c": 12345678901234567890123,
        "d": Decimal(100),
        "e": "10.00",
    }
    assert not [value for value in (found["a"], *found["b"], found["d"]) if isinstance(value, float)]


@pytest.mark.parametrize("body", [b"", b"  \r\n", b"null"])
def test_an_empty_answer_and_null_are_none(client_for, body):
    with Server(lambda request: reply(200, body)) as server:
        assert client_for(server).ask("DELETE", "/") == (200, None)


def test_a_compressed_answer_is_read(client_for):
    body = gzip.compress(b'{"id": "a"}')
    with Server(lambda request: reply(200, body, content_encoding="gzip")) as server:
        assert client_for(server).ask("GET", "/") == (200, {"id": "a"})


@pytest.mark.parametrize(("method", "error"), READS + WRITES)
@pytest.mark.parametrize("lost", LOST)
def test_a_lost_or_broken_answer_is_named(client_for, method, error, lost):
    with Server(lambda request: LOST[lost]) as server, pytest.raises(RailError) as failure:
        client_for(server).ask(method, "/", json=None if method == "GET" else {})
    assert type(failure.value) is error
    assert "127.0.0.1" not in failure.value.message
    assert "0x" not in failure.value.message
    assert "html" not in failure.value.message.lower()
    assert len(server.requests) == 1, "nothing is asked twice"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_a_refusal_is_an_answer_whatever_comes_with_it(client_for, status):
    bodies = iter([b'{"code": "no"}', b'[{"path": "Amount"}]', b"<html>no</html>", b""])
    with Server(lambda request: reply(status, next(bodies))) as server:
        client = client_for(server)
        answers = [client.ask("POST", "/", json={}) for _ in range(4)]
    assert answers == [(status, {"code": "no"}), (status, [{"path": "Amount"}]), (status, None), (status, None)]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_the_operator_is_told(client_for, method, status):
    with (
        Server(lambda request: reply(status, b"x" * MIB, location="/elsewhere")) as server,
        pytest.raises(RailUnavailable, match="must set its final address"),
    ):
        client_for(server).ask(method, "/here", json={})
    assert len(server.requests) == 1


@pytest.mark.parametrize(("said", "seconds"), [("17", 17), ("999999", 3600), ("soon", None), ("", None)])
def test_too_many_calls_is_unavailable_for_as_long_as_it_says(client_for, said, seconds):
    with (
        Server(lambda request: reply(429, b"slow down", retry_after=said)) as server,
        pytest.raises(RailUnavailable) as failure,
    ):
        client_for(server).ask("POST", "/", json={})
    assert failure.value.retry_after == seconds


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("url", "why"),
    [("http://127.0.0.1:{}", "Connection refused"), ("http://no-such-host.invalid", "Name or service|name resolution")],
)
def test_nothing_happened_where_nobody_listens(client_for, method, url, why):
    with Server() as server:
        pass
    with pytest.raises(RailUnavailable, match=f"could not be reached: .*({why})"):
        client_for(url.format(server.port)).ask(method, "/", json={})


@pytest.mark.parametrize(("method", "error"), [READS[0], WRITES[0]])
def test_a_silent_server_ends_the_call(client_for, method, error):
    def silent(request, connection):
        server.stopping.wait(30)

    with Server(on_head=silent) as server, pytest.raises(RailError, match="did not answer in time") as failure:
        client_for(server).ask(method, "/", json={}, timeout=0.2)
    assert type(failure.value) is error


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_server_that_trickles_ends_the_call(client_for, head):
    def trickle(request, connection):
        connection.sendall(head)
        while not server.stopping.wait(0.02):
            connection.sendall(b" ")

    with Server(on_head=trickle) as server, pytest.raises(RailUnavailable, match="did not answer in time"):
        client_for(server).ask("GET", "/", timeout=0.3)


def test_no_secret_reaches_a_log_or_a_message(client_for):
    body = b'{"message": "bad key sesame-1234 and hook-secret-5678"}' + b" " * 3000
    with Server(lambda request: reply(500, body)) as server, capture_logs() as logs:
        client = client_for(server, Authorization="token sesame-1234")
        with pytest.raises(RailOutcomeUnknown) as failure:
            client.ask("POST", "/hooks", json={}, secrets=["hook-secret-5678"])
    assert "sesame" not in f"{logs}{failure.value.message}"
    assert "5678" not in f"{logs}{failure.value.message}"
    assert "bad key" not in failure.value.message, "what the service says is for the operator alone"
    (told,) = [entry for entry in logs if entry["event"] == "payment_service_refused"]
    assert "bad key ***" in told["said"]
    assert len(told["said"]) <= 500


def test_no_cookie_is_kept(client_for):
    with Server(lambda request: reply(200, b"{}", set_cookie="session=1; Path=/")) as server:
        client = client_for(server)
        client.ask("GET", "/")
        client.ask("GET", "/")
    assert "cookie" not in server.requests[1].headers


def test_the_environment_names_no_proxy(client_for, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Server(lambda request: json_reply({})) as server:
        assert client_for(server).ask("GET", "/") == (200, {})


def test_threads_get_their_own_answers_over_kept_connections(client_for):
    with Server(lambda request: json_reply(request.json())) as server:
        client = client_for(server)

        def ask(number):
            return [client.ask("POST", "/", json=[number, turn])[1] for turn in range(10)]

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(ask, range(8)))
    assert answers == [[[number, turn] for turn in range(10)] for number in range(8)]
    assert server.connections <= 8


def test_the_clock_of_a_finished_call_does_not_cut_the_next(client_for):
    ended = threading.Event()
    with Server(lambda request: json_reply(ended.wait(0.5))) as server:
        client = client_for(server)
        client.ask("GET", "/", timeout=0.7)
        assert client.ask("GET", "/", timeout=5) == (200, False)
    assert server.connections == 1


@pytest.mark.parametrize(
    "url",
    ["", "btcpay", "ftp://h", "https://", "https://u:p@h", "https://h/?a=1", "https://h/#x", "http://[::1", "//h"],
)
def test_an_address_that_cannot_work_is_refused(client_for, url):
    with pytest.raises(ValueError, match="URL"):
        client_for(url)


def test_a_header_that_cannot_be_sent_is_refused_without_its_value(client_for):
    with pytest.raises(ValueError, match="the header Authorization") as failure:
        client_for("https://h", Authorization="token a\nb")
    assert "token" not in str(failure.value)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_certificate_nobody_vouches_for_is_refused_and_named(client_for, tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def wrap(connection: socket.socket) -> socket.socket:
        return context.wrap_socket(connection, server_side=True)

    with Server(lambda request: json_reply({}), wrap=wrap) as server:
        url = f"https://127.0.0.1:{server.port}"
        with pytest.raises(RailUnavailable, match="its certificate is not trusted"):
            client_for(url).ask("POST", "/", json={})
        assert not server.requests
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert client_for(url).ask("GET", "/") == (200, {})
