"""Answers read while they arrive."""

import queue
import threading
import time

import pytest

from relay.errors import OutcomeUnknown, Unavailable, UpstreamFailed, UpstreamTimeout
from relay.ports.inference import CallContext
from relay.upstream import HTTPClient
from tests.flows.live import eventually
from tests.loopback import Raw, Server, reply

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Teller:
    """A server that says what the test puts into `say`; None ends the connection."""

    def __init__(self):
        self.say = queue.Queue()
        self.server = Server(lambda _: Raw(), on_head=self._tell)

    def _tell(self, request, connection):
        while (data := self.say.get(timeout=30)) is not None:
            connection.sendall(data)
            if data.endswith(END):
                return
        raise OSError

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *_):
        self.say.put(None)
        self.server.__exit__()


@pytest.fixture
def teller():
    with Teller() as teller:
        teller.say.put(HEAD)
        yield teller


@pytest.fixture
def ctx():
    return CallContext(deadline=time.monotonic() + 30)


@pytest.fixture
def client(teller):
    client = HTTPClient(teller.server.url, read_timeout=20)
    yield client
    client.close()


def test_a_piece_is_there_before_the_next_is_sent(client, teller, ctx):
    with client.stream_json("/", {"a": 1}, ctx=ctx) as stream:
        assert (stream.status, stream.headers["Content-Type"]) == (200, "text/event-stream")
        pieces = iter(stream)
        for said in (b"one", b"two"):
            teller.say.put(chunk(said))
            assert next(pieces) == said
        teller.say.put(END)
        assert list(pieces) == []
    eventually(lambda: teller.server.requests[0].body)
    assert teller.server.requests[0].json() == {"a": 1}


def test_a_stream_read_to_its_end_leaves_its_connection_for_the_next(client, teller, ctx):
    for _ in range(2):
        teller.say.put(chunk(b"x") + END)
        with client.stream_json("/", {}, ctx=ctx) as stream:
            assert b"".join(stream) == b"x"
        teller.say.put(HEAD)
    assert teller.server.connections == 1


def test_the_end_of_the_body_may_come_after_what_is_wanted(client, teller, ctx):
    for _ in range(2):
        teller.say.put(chunk(b"data: [DONE]"))
        with client.stream_json("/", {}, ctx=ctx) as stream:
            assert next(iter(stream)) == b"data: [DONE]"
            teller.say.put(END)
            stream.finish()
        teller.say.put(HEAD)
    assert teller.server.connections == 1


def test_leaving_early_hangs_up(client, teller, ctx):
    teller.say.put(chunk(b"x"))
    with client.stream_json("/", {}, ctx=ctx) as stream:
        next(iter(stream))
    teller.say.put(chunk(b"y" * 10_000_000))
    assert teller.server.closed.acquire(timeout=5)


def test_a_stream_that_is_cut_has_an_unknown_outcome(client, teller, ctx):
    teller.say.put(chunk(b"x"))
    teller.say.put(None)
    with pytest.raises(OutcomeUnknown, match="lost"), client.stream_json("/", {}, ctx=ctx) as stream:
        list(stream)


def test_silence_past_the_deadline_is_a_timeout(client, teller):
    teller.say.put(chunk(b"x"))
    ctx = CallContext(deadline=time.monotonic() + 0.4)
    with pytest.raises(UpstreamTimeout), client.stream_json("/", {}, ctx=ctx) as stream:
        list(stream)


def test_pieces_that_keep_coming_are_read_past_the_limit_of_a_silence(teller, ctx):
    def keep_talking():
        for _ in range(6):
            time.sleep(0.2)
            teller.say.put(chunk(b"x"))
        teller.say.put(END)

    threading.Thread(target=keep_talking).start()
    client = HTTPClient(teller.server.url, read_timeout=0.8)
    with client.stream_json("/", {}, ctx=ctx) as stream:
        assert b"".join(stream) == b"xxxxxx"
    client.close()


def test_a_cancel_between_two_pieces_ends_it(client, teller, ctx):
    teller.say.put(chunk(b"x"))
    threading.Timer(0.3, ctx.cancel).start()
    with pytest.raises(Unavailable, match="cancelled"), client.stream_json("/", {}, ctx=ctx) as stream:
        list(stream)
    teller.say.put(chunk(b"y" * 10_000_000))
    assert teller.server.closed.acquire(timeout=5)


def test_the_body_of_an_error_is_bounded(ctx):
    with Server(lambda request: reply(500, b"x" * 5000)) as server:
        client = HTTPClient(server.url)
        with client.stream_json("/", {}, ctx=ctx) as stream:
            assert (stream.status, len(stream.read_all(5000))) == (500, 5000)
        with pytest.raises(UpstreamFailed, match="more than 4999"), client.stream_json("/", {}, ctx=ctx) as stream:
            stream.read_all(4999)
        client.close()


def test_a_server_that_is_not_there_is_certain(ctx):
    with Server() as server:
        pass
    client = HTTPClient(server.url)
    with pytest.raises(Unavailable, match="could not be reached"), client.stream_json("/", {}, ctx=ctx):
        pass
