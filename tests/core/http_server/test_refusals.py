"""What never reaches the application, and how it is told."""

import json
import re
import socket
import time

import pytest

from tests.core.http_server.conftest import LIMIT, Running, gate, read_reply

BROKEN = {
    "a target that is no address": b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
    "a NUL in the target": b"GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n",
    "an encoded NUL in the target": b"GET /a%00b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tab in the target": b"GET /a\tb HTTP/1.1\r\nHost: x\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\nHost: x\0y\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "a version of the future": b"GET / HTTP/2.0\r\n\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "empty lines": b"\r\n\r\n",
    "a lower-case method": b"get / HTTP/1.1\r\n\r\n",
    "a folded first header": b"GET / HTTP/1.1\r\n folded: x\r\n\r\n",
    "a negative length": b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a length of 5000 digits": b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "length and chunks": b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
    "an empty coding": b"POST / HTTP/1.1\r\nTransfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk size that is no number": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk longer than it says": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n",
    "an endless chunk header": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 3000,
    "an endless trailer": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 6000,
}


@pytest.mark.parametrize("request_bytes", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_request_is_a_400_in_our_shape(served: Running, request_bytes: bytes):
    reply = served.ask(request_bytes)
    assert reply.status == 400
    assert reply.error["code"] == "bad_request"
    assert reply.error["origin"] == "caller"
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["connection"] == "close"
    assert re.fullmatch(r"req_[0-9a-f]{24}", reply.headers["x-request-id"])
    assert json.loads(reply.body)["meta"]["request_id"] == reply.headers["x-request-id"]
    assert served.app.seen == []
    assert served.ask(b"GET /after HTTP/1.1\r\nHost: x\r\n\r\n").status == 200


def test_a_broken_header_line_is_not_repeated_in_the_answer(served: Running):
    reply = served.ask(b"GET / HTTP/1.1\r\nAuthorization: very\nsecret\r\n\r\n")
    assert reply.status == 400
    assert b"secret" not in reply.body


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-Filler: y\r\n" * 6_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nX-Endless: " + b"y" * 70_000,
    ],
    ids=["request line", "many headers", "no end"],
)
def test_a_header_block_over_64_kib_is_a_431(served: Running, request_bytes: bytes):
    reply = served.ask(request_bytes)
    assert (reply.status, reply.error["code"]) == (431, "headers_too_large")


def test_a_declared_length_over_the_limit_is_a_413_before_the_body(served: Running):
    reply = served.ask(
        b"POST /relay/x HTTP/1.1\r\nContent-Length: %d\r\nOrigin: http://a.example\r\n\r\n" % (LIMIT + 1)
    )
    assert (reply.status, reply.error["code"]) == (413, "too_large")
    assert reply.headers["access-control-allow-origin"] == "http://a.example"


def test_a_length_beyond_all_numbers_is_a_413(served: Running):
    assert served.ask(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % 10**30).status == 413


def test_a_chunked_body_over_the_limit_is_a_413_as_it_arrives(served: Running):
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    reply = served.ask(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + piece * 17)
    assert reply.status == 413
    assert served.app.seen == []


def test_a_body_of_exactly_the_limit_is_accepted(served: Running):
    reply = served.ask(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % LIMIT + b"x" * LIMIT)
    assert json.loads(reply.body)["size"] == LIMIT


def test_the_gate_refuses_before_the_body_is_sent(served: Running):
    reply = served.ask(b"POST /private HTTP/1.1\r\nContent-Length: 100\r\n\r\n")
    assert (reply.status, reply.error["code"]) == (401, "unauthenticated")


def test_a_refusal_comes_instead_of_100_continue(served: Running):
    reply = served.ask(b"POST /private HTTP/1.1\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")
    assert reply.status == 401


def test_100_continue_is_sent_to_those_who_may_go_on(served: Running):
    with served.connect() as sock:
        sock.sendall(b"POST /echo HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hello")
        assert json.loads(read_reply(sock).body)["size"] == 5


def test_100_continue_waits_for_the_answer_before_it(served: Running):
    with served.connect() as sock:
        sock.sendall(b"GET /slow HTTP/1.1\r\n\r\nPOST /echo HTTP/1.1\r\nContent-Length: 5\r\nConnection: close\r\n")
        sock.sendall(b"Expect: 100-continue\r\n\r\n")
        assert served.app.entered.acquire(timeout=5)
        served.app.release.set()
        received = b""
        while b"100 Continue\r\n\r\n" not in received:
            received += sock.recv(1000)
        sock.sendall(b"hello")
        received += sock.makefile("rb").read()
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"100", b"200"]


def test_expecting_100_continue_without_a_body_is_answered_at_once(served: Running):
    assert served.ask(b"GET /echo HTTP/1.1\r\nExpect: 100-continue\r\n\r\n").status == 200


def test_an_error_answer_to_head_has_no_body(served: Running):
    with served.connect() as sock:
        sock.sendall(b"HEAD /private HTTP/1.1\r\n\r\n")
        everything = sock.makefile("rb").read()
    assert everything.startswith(b"HTTP/1.1 401 ")
    assert everything.endswith(b"\r\n\r\n")
    assert re.search(rb"\r\nContent-Length: [1-9]", everything)


def test_an_http_1_0_caller_who_wants_to_stay_is_told_to_close_once(served: Running):
    with served.connect() as sock:
        sock.sendall(b"GET /private HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        everything = sock.makefile("rb").read()
    assert everything.lower().count(b"connection:") == 1


def test_the_body_of_a_refused_request_is_never_read_as_a_request(start):
    asked = []
    served: Running = start(threads=1, gate=lambda head: asked.append(head.path) or gate(head))
    hidden = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
    with served.connect() as slow, served.connect() as sock:
        # The only thread is busy, so the answer has to wait while the rest of the body comes in.
        slow.sendall(b"GET /slow HTTP/1.1\r\n\r\n")
        assert served.app.entered.acquire(timeout=5)
        sock.sendall(b"POST /private HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" + hidden)
        time.sleep(0.2)
        sock.sendall(hidden)
        time.sleep(0.2)
        served.app.release.set()
        everything = sock.makefile("rb").read()
    assert everything.count(b"HTTP/1.1 ") == 1
    assert asked == ["/slow", "/private"]


def test_pipelined_requests_are_answered_in_order(served: Running):
    with served.connect() as sock:
        sock.sendall(
            b"GET /one HTTP/1.1\r\n\r\nGET /two HTTP/1.1\r\n\r\nGET /three HTTP/1.1\r\nConnection: close\r\n\r\n"
        )
        everything = sock.makefile("rb").read()
    assert re.findall(rb'"path": "(.*?)"', everything) == [b"/one", b"/two", b"/three"]


def test_a_broken_second_pipelined_request_gets_its_400_after_the_first_answer(served: Running):
    with served.connect() as sock:
        sock.sendall(b"GET /one HTTP/1.1\r\n\r\nnonsense\r\n\r\nGET /three HTTP/1.1\r\n\r\n")
        everything = sock.makefile("rb").read()
    assert re.findall(rb"HTTP/1\.. (\d+)", everything) == [b"200", b"400"]
    assert served.app.seen == ["GET /one"]


@pytest.mark.parametrize(
    ("target", "path"),
    [(b"http://elsewhere/a", "/a"), (b"//a/b", "/a/b"), (b"///a", "/a"), (b"/%61?q=%00", "/a"), (b"http://x", "/")],
)
def test_the_gate_sees_the_path_the_application_sees(start, target: bytes, path: str):
    heads = []
    served = start(gate=lambda head: heads.append(head) or 0)
    reply = served.ask(b"GET " + target + b" HTTP/1.1\r\nX-Recap-Install-Id: abc\r\n\r\n")
    assert reply.status == 200
    assert heads[0].path == (json.loads(reply.body)["path"] or "/") == path
    assert heads[0].headers["x-recap-install-id"] == "abc"
    assert heads[0].content_length == 0


def test_the_gate_is_told_the_length_or_that_nobody_knows_it(start):
    heads = []
    served = start(gate=lambda head: heads.append(head) or 10)
    served.ask(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab")
    served.ask(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")
    assert [head.content_length for head in heads] == [2, None]


def test_a_gate_that_fails_is_a_500_and_one_line_in_the_log(start, caplog):
    served = start(gate=lambda head: 1 // 0)
    reply = served.ask(b"GET / HTTP/1.1\r\n\r\n")
    assert (reply.status, reply.error["code"]) == (500, "internal")
    assert [record.name for record in caplog.records if record.exc_info] == ["relay.http.server.parser"]
    caplog.clear()


def test_a_caller_who_leaves_in_the_middle_leaves_nothing_behind(served: Running):
    for data in (b"GE", b"POST / HTTP/1.1\r\nContent-Length: 900000\r\n\r\n" + b"x" * 600_000):
        with served.connect() as sock:
            sock.sendall(data)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert served.ask(b"GET / HTTP/1.1\r\n\r\n").status == 200
