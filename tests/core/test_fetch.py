"""Fetching from servers that callers name: limits, redirects, and where connections really go."""

import gzip
import shlex
import ssl
import subprocess
import threading
import time

import pytest
from structlog.testing import capture_logs

from relay import fetch
from relay.errors import Invalid, StorageFull, TooLarge, UrlNotAllowed
from tests.internet import Internet
from tests.loopback import HANG_UP, Raw, Server, reply

PUBLIC, OTHER, V6 = "93.184.216.34", "8.8.8.8", "2606:2800:220:1::1"


@pytest.fixture
def internet(monkeypatch):
    return Internet(monkeypatch)


@pytest.fixture
def server():
    with Server() as server:
        yield server


def get(url, tmp_path, *, max_bytes=10**6, timeout=20, check=lambda: None):
    target = tmp_path / "fetched"
    return fetch.download(url, target, max_bytes=max_bytes, timeout=timeout, check=check), target.read_bytes()


def redirect(place: str, status: int = 302, body: bytes = b"", **headers) -> Raw:
    return reply(status, body, location=place, **headers)


def test_a_file_arrives_whole_with_a_guess_at_its_name(internet, server, tmp_path):
    body = bytes(range(256)) * 2000
    server.answer = lambda _: reply(200, body)
    url = internet.place(server, "files.example", PUBLIC)
    name, got = get(f"{url}/a/talk%20one.mp3?token=s3cret#part", tmp_path)
    assert (name, got) == ("talk one.mp3", body)
    assert server.requests[0].path == "/a/talk%20one.mp3?token=s3cret"
    assert internet.connected == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    ("path", "headers", "name"),
    [
        ("/", {}, "download"),
        ("/x", {"content_type": "audio/mpeg; charset=x"}, "x.mp3"),
        ("/x", {"content_disposition": 'attachment; filename="../../etc/tea time.wav"'}, "tea time.wav"),
        ("/x", {"content_disposition": "attachment; filename*=UTF-8''d%C3%A9j%C3%A0.ogg"}, "déjà.ogg"),
        ("/%2e%2e%2fetc%2fpasswd%00", {}, "passwd_"),
        ("/..", {"content_disposition": "attachment; filename=.."}, "download"),
    ],
)
def test_the_name_is_a_plain_file_name(internet, server, tmp_path, path, headers, name):
    server.answer = lambda _: reply(200, b"x", **headers)
    url = internet.place(server, "files.example", PUBLIC)
    assert get(url + path, tmp_path)[0] == name


def test_the_host_header_is_the_name_and_the_port_is_kept(internet, server, tmp_path):
    url = internet.place(server, "files.example", PUBLIC, port=8080)
    get(f"{url}/x", tmp_path)
    internet.place(server, "files.example", PUBLIC, port=80)
    get("http://FILES.example.:80/x", tmp_path)
    assert [r.headers["host"] for r in server.requests] == ["files.example:8080", "files.example"]
    assert internet.connected == [(PUBLIC, 8080), (PUBLIC, 80)]


def test_an_international_name_is_asked_for_in_ascii(internet, server, tmp_path):
    internet.place(server, "xn--bcher-kva.example", PUBLIC)
    get("http://bücher.example/x", tmp_path)
    assert server.requests[0].headers["host"] == "xn--bcher-kva.example"


def test_ipv6_addresses_work_by_name_and_written_out(internet, server, tmp_path):
    url = internet.place(server, "six.example", V6)
    get(f"{url}/x", tmp_path)
    get(f"http://[{V6}]/x", tmp_path)
    assert [r.headers["host"] for r in server.requests] == ["six.example", f"[{V6}]"]
    assert internet.connected == [(V6, 80), (V6, 80)]


def test_the_next_address_is_tried_when_one_does_not_answer(internet, server, tmp_path):
    url = internet.place(server, "two.example", PUBLIC)
    internet.names["two.example"] = [[V6, OTHER, PUBLIC]]
    get(f"{url}/x", tmp_path)
    assert internet.connected == [(V6, 80), (OTHER, 80), (PUBLIC, 80)]


def test_the_connection_goes_to_the_address_that_was_judged_without_a_second_look_up(internet, server, tmp_path):
    url = internet.place(server, "rebind.example", PUBLIC)
    internet.names["rebind.example"] = [[PUBLIC], ["127.0.0.1"]]
    get(f"{url}/x", tmp_path)
    assert (internet.looked_up, internet.connected) == (["rebind.example"], [(PUBLIC, 80)])


def test_a_name_that_turns_private_between_redirects_is_refused(internet, server, tmp_path):
    server.answer = lambda _: redirect("/again")
    url = internet.place(server, "rebind.example", PUBLIC)
    internet.names["rebind.example"] = [[PUBLIC], ["127.0.0.1"]]
    with pytest.raises(UrlNotAllowed):
        get(f"{url}/x", tmp_path)
    assert internet.connected == [(PUBLIC, 80)]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_and_each_is_looked_up_and_judged(internet, server, tmp_path, status):
    with Server(answer=lambda _: reply(200, b"file")) as second:
        server.answer = lambda _: redirect("http://b.example/there.mp3?x=1", status)
        url = internet.place(server, "a.example", PUBLIC)
        internet.place(second, "b.example", OTHER)
        assert get(f"{url}/here", tmp_path) == ("there.mp3", b"file")
        assert second.requests[0].headers["host"] == "b.example"
        assert internet.connected == [(PUBLIC, 80), (OTHER, 80)]


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.1/",
        "http://localhost.example/",
        "http://[::1]/",
        "http://169.254.169.254/latest/meta-data/",
        "//10.0.0.1/",
        "file:///etc/passwd",
        "gopher://a.example/",
        "data:text/plain,x",
        "http://user:pw@a.example/",
        "http://[",
        "http://a.example:0/",
    ],
)
def test_a_redirect_to_what_is_not_allowed_is_refused(internet, server, tmp_path, place):
    internet.names["localhost.example"] = [["127.0.0.1"]]
    server.answer = lambda _: redirect(place, 307)
    url = internet.place(server, "a.example", PUBLIC)
    with pytest.raises(UrlNotAllowed) as refused:
        get(f"{url}/x", tmp_path)
    assert (refused.value.status, refused.value.code) == (400, "url_not_allowed")
    assert internet.connected == [(PUBLIC, 80)]


def test_a_relative_redirect_and_one_in_utf8_stay_on_the_host(internet, server, tmp_path):
    answers = [redirect("next"), Raw("HTTP/1.1 302 X\r\nlocation: /é\r\ncontent-length: 0\r\n\r\n".encode()), reply()]
    server.answer = lambda _: answers.pop(0)
    url = internet.place(server, "a.example", PUBLIC)
    get(f"{url}/x/y", tmp_path)
    assert [r.path for r in server.requests] == ["/x/y", "/x/next", "/%C3%A9"]


def test_a_redirect_loop_ends_after_five(internet, server, tmp_path):
    server.answer = lambda _: redirect("/x")
    url = internet.place(server, "a.example", PUBLIC)
    with pytest.raises(Invalid, match="redirects more than 5 times"):
        get(f"{url}/x", tmp_path)
    assert len(server.requests) == 6


def test_the_body_of_a_redirect_is_never_read_or_unpacked(internet, server, tmp_path):
    bomb = gzip.compress(b"\0" * 10**8)
    head = f"HTTP/1.1 302 X\r\nlocation: http://127.0.0.1/\r\ncontent-encoding: gzip\r\ncontent-length: {10**9}\r\n\r\n"
    server.answer = lambda _: Raw(head.encode() + bomb)
    url = internet.place(server, "a.example", PUBLIC)
    with pytest.raises(UrlNotAllowed):
        get(f"{url}/x", tmp_path, timeout=60)


def test_a_compressed_answer_is_refused(internet, server, tmp_path):
    server.answer = lambda _: reply(200, gzip.compress(b"\0" * 10**7), content_encoding="gzip")
    url = internet.place(server, "a.example", PUBLIC)
    with pytest.raises(Invalid, match="compressed"):
        get(f"{url}/x", tmp_path)
    assert server.requests[0].headers["accept-encoding"] == "identity"


def test_a_size_that_is_announced_too_large_is_refused_before_reading(internet, server, tmp_path):
    server.answer = lambda _: Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1000001\r\n\r\n")
    url = internet.place(server, "a.example", PUBLIC)
    with pytest.raises(TooLarge):
        get(f"{url}/x", tmp_path)


@pytest.mark.parametrize("head", [b"", b"transfer-encoding: chunked\r\n"])
def test_an_endless_body_ends_at_the_limit(internet, server, tmp_path, head):
    def endless(request, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        piece = b"x" * 65536
        while True:
            connection.sendall(b"10000\r\n" + piece + b"\r\n" if head else piece)

    server.on_head = endless
    url = internet.place(server, "a.example", PUBLIC)
    with pytest.raises(TooLarge):
        get(f"{url}/x", tmp_path)
    assert (tmp_path / "fetched").stat().st_size <= 10**6


def test_exactly_the_limit_is_allowed(internet, server, tmp_path):
    server.answer = lambda _: reply(200, b"x" * 1000)
    url = internet.place(server, "a.example", PUBLIC)
    assert len(get(f"{url}/x", tmp_path, max_bytes=1000)[1]) == 1000
    with pytest.raises(TooLarge):
        get(f"{url}/x", tmp_path, max_bytes=999)


@pytest.mark.parametrize(
    "first",
    [b"", b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"],
)
def test_a_slow_drip_ends_at_the_time_limit(internet, server, tmp_path, first):
    stop = threading.Event()

    def drip(request, connection):
        connection.sendall(first and b"HTTP/1.1 200 OK" + first)
        while not stop.wait(0.05):
            connection.sendall(b"H")

    server.on_head = drip
    url = internet.place(server, "a.example", PUBLIC)
    with pytest.raises(Invalid, match="took longer"):
        get(f"{url}/x", tmp_path, timeout=0.5)
    stop.set()


def test_a_handshake_that_never_ends_ends_at_the_time_limit(internet, server, tmp_path):
    internet.place(server, "a.example", PUBLIC, port=443)
    server.wrap = lambda connection: time.sleep(3) or connection
    with pytest.raises(Invalid, match="took longer"):
        get("https://a.example/x", tmp_path, timeout=0.5)


def test_a_look_up_that_hangs_is_given_up(internet, server, tmp_path, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr("relay.addresses.LOOKUP_SECONDS", 0.1)
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: [str(release.wait(30))][1:])
    with pytest.raises(UrlNotAllowed, match="cannot be found"):
        fetch.check_url("http://a.example/")
    release.set()


def test_a_cancel_is_noticed_between_pieces(internet, server, tmp_path):
    class Cancelled(Exception):
        pass

    def check():
        if (tmp_path / "fetched").exists():
            raise Cancelled

    server.answer = lambda _: reply(200, b"x" * 10**6)
    url = internet.place(server, "a.example", PUBLIC)
    with pytest.raises(Cancelled):
        get(f"{url}/x", tmp_path, check=check)


@pytest.mark.parametrize("status", [204, 206, 304, 401, 404, 500])
def test_anything_but_200_is_not_a_file(internet, server, tmp_path, status):
    server.answer = lambda _: reply(status)
    url = internet.place(server, "a.example", PUBLIC)
    with pytest.raises(Invalid, match=f"answered {status}"):
        get(f"{url}/x", tmp_path)


@pytest.mark.parametrize(
    "answer",
    [
        HANG_UP,
        Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", close=True),
        Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n", close=True),
        Raw(b"220 mail.example ESMTP\r\n", close=True),
        Raw(b"HTTP/1.1 200 OK\r\n", reset=True),
    ],
)
def test_a_server_that_breaks_off_is_told_from_a_file(internet, server, tmp_path, answer):
    server.answer = lambda _: answer
    url = internet.place(server, "a.example", PUBLIC)
    with pytest.raises(Invalid, match="broke off"):
        get(f"{url}/x", tmp_path)


def test_a_server_that_cannot_be_reached_is_said_so(internet, tmp_path):
    internet.names["a.example"] = [[PUBLIC]]
    with pytest.raises(Invalid, match="could not be reached"):
        get("http://a.example/x", tmp_path)


def test_a_full_disk_is_the_relays_trouble(internet, server, monkeypatch):
    from pathlib import Path

    server.answer = lambda _: reply(200, b"x" * 10**6)
    url = internet.place(server, "a.example", PUBLIC)
    with pytest.raises(StorageFull):
        fetch.download(f"{url}/x", Path("/dev/full"), max_bytes=10**7, timeout=10, check=lambda: None)


def test_proxies_and_passwords_of_the_environment_are_not_used(internet, server, tmp_path, monkeypatch):
    with Server() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)
        (tmp_path / "netrc").write_text("default login me password s3cret")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        url = internet.place(server, "a.example", PUBLIC)
        get(f"{url}/x", tmp_path)
        assert fetch.post(f"{url}/y", b"{}", {}, timeout=10) == 200
    assert proxy.requests == []
    assert "authorization" not in server.requests[0].headers


def test_nothing_secret_of_a_url_is_logged_or_told(internet, server, tmp_path, caplog):
    caplog.set_level("INFO")
    internet.names["gone.example"] = [[PUBLIC]]
    url = internet.place(server, "a.example", OTHER)
    with capture_logs() as logs:
        get(f"{url}/s3cret?token=s3cret", tmp_path)
        with pytest.raises(Invalid) as failed:
            get("http://gone.example/s3cret?token=s3cret", tmp_path)
    assert logs[0]["host"] == "a.example"
    assert "s3cret" not in f"{failed.value} {failed.value.__cause__} {logs} {caplog.text}"


def test_no_cookie_travels_along_a_redirect(internet, server, tmp_path):
    answers = [redirect("/y", set_cookie="a=b; path=/"), reply()]
    server.answer = lambda _: answers.pop(0)
    url = internet.place(server, "a.example", PUBLIC)
    get(f"{url}/x", tmp_path)
    assert "cookie" not in server.requests[1].headers


class TestTLS:
    @pytest.fixture
    def tls(self, server, tmp_path, monkeypatch):
        """The server speaks TLS as tls.example, and that certificate is trusted; what clients asked for is kept."""
        cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        command = (
            "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=x -addext subjectAltName=DNS:tls.example"
            f" -keyout {key} -out {cert}"
        )
        subprocess.run(shlex.split(command), check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        asked: list[str | None] = []
        context.sni_callback = lambda _socket, name, _context: asked.append(name)
        server.wrap = lambda connection: context.wrap_socket(connection, server_side=True)
        monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(cert))
        return asked

    def test_the_certificate_is_that_of_the_name_while_the_connection_is_pinned(self, internet, server, tls, tmp_path):
        server.answer = lambda _: reply(200, b"file")
        internet.place(server, "tls.example", PUBLIC, port=443)
        assert get("https://tls.example./x", tmp_path)[1] == b"file"
        assert (tls, internet.connected) == (["tls.example"], [(PUBLIC, 443)])
        assert server.requests[0].headers["host"] == "tls.example"

    def test_a_certificate_of_another_name_or_of_nobody_is_refused(self, internet, server, tls, tmp_path, monkeypatch):
        internet.place(server, "other.example", PUBLIC, port=443)
        internet.place(server, "tls.example", PUBLIC, port=443)
        with pytest.raises(Invalid, match="TLS certificate"):
            get("https://other.example/x", tmp_path)
        with pytest.raises(Invalid, match="TLS certificate"):
            get(f"https://{PUBLIC}/x", tmp_path)
        monkeypatch.undo()
        internet = Internet(monkeypatch)
        internet.place(server, "tls.example", PUBLIC, port=443)
        with pytest.raises(Invalid, match="TLS certificate"):
            get("https://tls.example/x", tmp_path)
        assert server.requests == []


class TestPosting:
    def test_the_body_and_headers_arrive_and_the_status_comes_back(self, internet, server):
        server.answer = lambda _: reply(202, b"thanks")
        url = internet.place(server, "hook.example", PUBLIC)
        headers = {"Content-Type": "application/json", "X-Relay-Delivery": "d1"}
        assert fetch.post(f"{url}/hook?k=v", b'{"a":1}', headers, timeout=10) == 202
        request = server.requests[0]
        assert (request.method, request.path, request.body) == ("POST", "/hook?k=v", b'{"a":1}')
        assert request.headers["host"] == "hook.example"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["x-relay-delivery"] == "d1"

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_a_redirect_is_an_answer_like_any_other(self, internet, server, status):
        server.answer = lambda _: redirect("http://127.0.0.1/", status)
        url = internet.place(server, "hook.example", PUBLIC)
        assert fetch.post(url, b"{}", {}, timeout=10) == status
        assert internet.connected == [(PUBLIC, 80)]

    def test_a_private_address_gets_nothing(self, internet, server):
        with pytest.raises(UrlNotAllowed):
            fetch.post(server.url, b"{}", {}, timeout=10)
        assert server.connections == 0

    def test_an_endless_answer_is_read_up_to_a_limit(self, internet, server):
        def endless(request, connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                connection.sendall(b"x" * 65536)

        server.on_head = endless
        url = internet.place(server, "hook.example", PUBLIC)
        assert fetch.post(url, b"{}", {}, timeout=60) == 200

    def test_a_receiver_that_never_answers_ends_at_the_time_limit(self, internet, server):
        server.on_head = lambda request, connection: time.sleep(2)
        url = internet.place(server, "hook.example", PUBLIC)
        with pytest.raises(Invalid, match="took longer"):
            fetch.post(url, b"{}", {}, timeout=0.3)
