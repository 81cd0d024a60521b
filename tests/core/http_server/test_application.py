"""The application's answers, its failures, and a caller who hangs up."""

import http.client
import json

import pytest

from tests.core.http_server.conftest import Running


def test_a_kept_connection_serves_many_requests(served: Running):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    for number in range(5):
        connection.request("POST", f"/echo/{number}", body=b"x" * number)
        assert json.loads(connection.getresponse().read()) == {"path": f"/echo/{number}", "size": number}
    connection.close()


@pytest.mark.parametrize("path", ["/relay/fail", "/fail-file"])
def test_an_application_that_fails_is_a_500_and_logged_once(served: Running, caplog, path: str):
    reply = served.ask(f"POST {path} HTTP/1.1\r\nContent-Length: 6\r\n\r\nsecret".encode())
    assert (reply.status, reply.error["code"], reply.error["origin"]) == (500, "internal", "relay")
    assert b"defect" not in reply.body
    assert reply.headers.get("access-control-allow-origin") == ("*" if path.startswith("/relay/") else None)
    assert [record.name for record in caplog.records if record.exc_info] == ["relay.http.server.task"]
    assert "secret" not in caplog.text
    assert path not in " ".join(record.getMessage() for record in caplog.records)
    caplog.clear()
    assert served.ask(b"GET / HTTP/1.1\r\n\r\n").status == 200


def test_a_failure_after_the_headers_closes_the_connection_without_an_end(served: Running, caplog):
    with served.connect() as sock:
        sock.sendall(b"GET /fail-late HTTP/1.1\r\n\r\n")
        everything = sock.makefile("rb").read()
    assert everything.startswith(b"HTTP/1.1 200 ")
    assert everything.endswith(b"the beginning\r\n")
    caplog.clear()


def test_a_hang_up_is_seen_while_the_application_works(served: Running):
    with served.connect() as sock:
        sock.sendall(b"GET /await-hang-up HTTP/1.1\r\n\r\n")
        assert served.app.entered.acquire(timeout=5)
    assert served.app.hung_up.wait(5)
