"""Whatever a server says, in whatever pieces: our own reader, urllib3's and the standard library's agree on it."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import socket
import time
from http.client import HTTPException, HTTPResponse

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from relay.errors import PluginError
from relay.upstream import HTTPClient
from relay.upstream.head import simple_head
from tests.loopback import Raw, Server

MAX_BYTES = 4000
BREATH = 0.001

bodies = st.binary(max_size=200) | st.sampled_from([b"", b"{}", b"x" * 4000, b"x" * 4001, b"l" * 70_000])
names = st.sampled_from(
    ["X-A", "x-a", "Server", "Retry-After", "Connection", "Keep-Alive", "Content-Type", "Upgrade", "Trailer", "From "]
)
values = st.sampled_from(
    ["", "1", " 2 ", "\t3", "close", "keep-alive, Close", "a: b", "é\x85", "a\r\n b", "a\rb", "a\nb", "\x00", "y" * 300]
)
lengths = st.sampled_from(["", "+", "-", "0", " ", "\t"]).flatmap(
    lambda before: st.sampled_from(
        [f"Content-Length: {before}{{}}", f"content-length:{before}{{}} ", f"Content-Length : {before}{{}}"]
        + [f"CONTENT-LENGTH: {before}{{}}{after}" for after in ("0", ".0", ", {}", ";")]
    )
)
first_lines = st.sampled_from(
    ["HTTP/1.1 200 OK"] * 6
    + ["HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.1  200 OK", "http/1.1 200 OK", "HTTP/1.0 200 OK", "HTTP/2 200 OK"]
    + [
        "HTTP/1.1 204 No",
        "HTTP/1.1 304 Not",
        "HTTP/1.1 404 é",
        "HTTP/1.1 503 Busy",
        "HTTP/1.1 999 Odd",
        "HTTP/1.1 20 0",
    ]
    + ["HTTP/1.1 101 Up", "HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK", "\r\nHTTP/1.1 200 OK", "HTTP/1.1 2x0 OK", "ICY 200"]
)
line_ends = st.sampled_from(["\r\n"] * 8 + ["\n"])


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """One answer, well-formed or nearly so."""
    body = draw(bodies)
    framing = draw(st.sampled_from(["length"] * 5 + ["chunked", "both", "twice", "end", "gzip"]))
    lines = [f"{name}: {draw(values)}" for name in draw(st.lists(names, max_size=5))]
    if framing == "gzip":
        body = gzip.compress(body)
        lines.append("Content-Encoding: gzip")
    if framing in {"length", "both", "gzip"}:
        lines.append(draw(lengths | st.just("Content-Length: {}")).format(len(body), len(body)))
    if framing == "twice":
        lines += [f"Content-Length: {len(body)}", f"Content-Length: {draw(st.sampled_from([len(body), 1]))}"]
    if framing in {"chunked", "both"}:
        lines.append(draw(st.sampled_from(["Transfer-Encoding: chunked", "transfer-encoding:Chunked"])))
        cut = draw(st.integers(0, len(body)))
        pieces = [piece for piece in (body[:cut], body[cut:]) if piece]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    end = draw(line_ends)
    head = end.join([draw(first_lines), *draw(st.permutations(lines)), "", ""])
    return head.encode("latin-1") + body + draw(st.sampled_from([b"", b"", b"", b"more"]))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """An answer with a few bytes lost, changed or put in."""
    said = bytearray(draw(answers()))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, min(len(said), 200)))
        piece = draw(st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b":", b"0", b"9", b"\0", b"\x80", b"Z"]))
        said[at : at + draw(st.integers(0, 2))] = piece
    if draw(st.booleans()):
        del said[draw(st.integers(0, len(said))) :]
    return bytes(said)


cuts = st.lists(st.integers(0, 400), max_size=3)


class InPieces:
    """A connection that sends what it is given cut in pieces."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self.makefile, self.close = connection.makefile, connection.close

    def sendall(self, data: bytes) -> None:
        edges = [0, *sorted(cut for cut in CUTS if cut < len(data)), len(data)]
        for start, end in itertools.pairwise(edges):
            self._connection.sendall(data[start:end])
            time.sleep(BREATH)


CUTS: list[int] = []


@pytest.fixture(scope="module")
def server():
    with Server(wrap=InPieces) as server:
        yield server


def outcome(url, method):
    """What one call came to: the error's name, or the status, the headers and the body."""
    with contextlib.closing(HTTPClient(url)) as client:
        try:
            if method == "post_json":
                reply = client.post_json("/", {}, timeout=20, max_bytes=MAX_BYTES)
            else:
                reply = client.request("POST", "/", body=b"{}", timeout=20, max_bytes=MAX_BYTES)
        except PluginError as exc:
            return type(exc).__name__
    # How a folded value is unfolded depends on the version of urllib3.
    headers = {name.lower(): " ".join(reply.headers[name].split()) for name in reply.headers}
    return reply.status, headers, reply.body


class Said:
    def __init__(self, said: bytes) -> None:
        self._said = said

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self._said))


def standard_outcome(said):
    """Status and body as `http.client` alone reads them, or None."""
    answer = HTTPResponse(Said(said), method="POST")
    try:
        answer.begin()
        return answer.status, answer.read()
    except (HTTPException, ValueError):
        return None


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(said=answers() | mutated(), cuts=cuts)
@example(said=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", cuts=[])
@example(said=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", cuts=[9, 30, 40])
@example(said=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", cuts=[])
@example(said=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", cuts=[])
@example(said=b"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok", cuts=[])
@example(said=b"HTTP/1.1 200 OK\r\nX: a\n\nContent-Length: 2\r\n\r\nok", cuts=[])
@example(said=b"HTTP/1.1 200 OK\r\nX: a\r Content-Length: 2\r\n\r\nok", cuts=[])
@example(said=b"HTTP/1.1 200 OK\r\nA: b\r\n" * 1 + b"X: y\r\n" * 98 + b"Content-Length: 2\r\n\r\nok", cuts=[])
@example(said=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 98 + b"Content-Length: 2\r\n\r\nok", cuts=[])
@example(said=b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nok", cuts=[])
@example(said=b"HTTP/1.1 100 Go\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes", cuts=[])
@example(said=b"HTTP/1.1 200 OK\r\nContent-Length: 4001\r\n\r\n" + b"x" * 4001, cuts=[])
@example(said=b"HTTP/1.1 200 OK\r\nContent-Length: 4001\r\n\r\nx", cuts=[])
def test_our_reader_urllib3_and_the_standard_library_agree(server, said, cuts):
    CUTS[:] = cuts
    server.answer = lambda request: Raw(said, close=True)
    ours = outcome(server.url, "post_json")
    assert ours == outcome(server.url, "request")
    if isinstance(ours, tuple) and "content-encoding" not in ours[1]:
        assert (ours[0], ours[2]) == standard_outcome(said)


@settings(max_examples=3000, deadline=None)
@given(said=answers() | mutated() | st.binary(max_size=100))
def test_what_is_called_simple_means_the_same_to_the_standard_library(said):
    head = simple_head(said)
    if head is None:
        return
    body = said[head.size : head.size + head.length]
    assert standard_outcome(said) == ((head.status, body) if len(body) == head.length else None)


def test_nearly_every_ordinary_answer_is_simple():
    """Or the comparison above would compare nothing."""
    ordinary = (
        b"HTTP/1.1 200 OK\r\ndate: Mon, 05 Jan 2026 10:00:00 GMT\r\nserver: uvicorn\r\ncontent-length: 2\r\n"
        b"content-type: application/json\r\n\r\n{}"
    )
    head = simple_head(ordinary)
    assert head is not None
    assert ordinary[head.size :] == b"{}"
    assert all(simple_head(ordinary[:end]) is None for end in range(head.size))


@settings(max_examples=50, deadline=None)
@given(pattern=st.sampled_from([b"a", b"a:", b"a:b\r\n", b" ", b"a: \r\n ", b"\r", b"\xff", b"HTTP/1.1 200 "]))
def test_a_head_that_never_ends_is_found_out_in_one_pass(pattern):
    """A matcher that went back and forth would take hours for 64 KiB."""
    said = b"HTTP/1.1 200 OK\r\n" + pattern * (65_536 // len(pattern))
    assert simple_head(said) is None
