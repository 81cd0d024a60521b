"""Each common fault, seen from a client's side of the socket."""

from __future__ import annotations

import threading
import time

import pytest
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from relay.testing.sandbox import sandbox
from relay.testing.sandbox.faults import COMMON
from tests.sandbox.echo import Echo

WORDS = [b'data: {"word":"a"}\n\n', b'data: {"word":"b"}\n\n', b'data: {"word":"c"}\n\n']


@pytest.fixture
def box():
    with sandbox([Echo()]) as box:
        yield box


@pytest.fixture
def say(client):
    """Post three words; the answer is a stream of three events."""
    return lambda **more: client.post("/echo/v1/say", {"text": "a b c"}, **more)


def received(reply) -> bytes:
    """What arrived before the stream broke."""
    got = []
    with pytest.raises(ProtocolError):
        got.extend(iter(lambda: reply.read1(1000), b""))
    return b"".join(got)


def test_a_fault_hits_as_often_as_it_was_told_and_after_as_many_as_it_was_told(box, say):
    box.faults.add("echo", "status", times=2, after=1)
    assert [say().status for _ in range(5)] == [200, 500, 500, 200, 200]


def test_a_fault_stays_until_it_is_deleted(box, client, say):
    box.faults.add("echo", "status", status=503)
    assert {say().status for _ in range(5)} == {503}
    assert client("DELETE", "/_sandbox/faults").status == 200
    assert say().status == 200


def test_a_fault_of_one_route_leaves_the_others_alone(box, client, say):
    box.faults.add("echo", "status", route="say")
    assert client.get("/echo/v1/items/1").status == 200
    assert say().status == 500


def test_the_second_fault_waits_for_the_first(box, say):
    box.faults.add("echo", "status", times=1, status=500)
    box.faults.add("echo", "status", times=1, status=501)
    assert [say().status for _ in range(3)] == [500, 501, 200]


def test_status_is_told_in_the_words_of_the_service(box, say):
    box.faults.add("echo", "status", status=418, message="short and stout", retry_after=2)
    reply = say()
    assert (reply.status, reply.json()) == (418, {"echo_error": "short and stout"})
    assert reply.headers["retry-after"] == "2"
    assert box.requests("echo")[0].fault == "status"


def test_retry_after_is_a_429_that_says_when(box, say):
    box.faults.add("echo", "retry_after", seconds=1.5)
    reply = say()
    assert (reply.status, reply.headers["retry-after"]) == (429, "1.5")


def test_html_is_a_page_of_a_proxy(box, say):
    box.faults.add("echo", "html")
    reply = say()
    assert (reply.status, reply.headers["content-type"]) == (502, "text/html")
    assert b"<html>" in reply.data


def test_garbage_calls_itself_json_and_is_none(box, say):
    box.faults.add("echo", "garbage")
    reply = say()
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    with pytest.raises(ValueError, match="Expecting value"):
        reply.json()


def test_empty_is_a_200_without_a_body(box, say):
    box.faults.add("echo", "empty")
    reply = say()
    assert (reply.status, reply.data) == (200, b"")
    assert box.requests.counts()["echo"]["say"] == {"calls": 1, "billed": 0}


def test_slow_first_byte_outlasts_an_impatient_client(box, say):
    box.faults.add("echo", "slow_first_byte", times=1, seconds=30)
    with pytest.raises(ReadTimeoutError):
        say(timeout=0.3)
    assert box.requests.wait(lambda record: record.hung_up, 5).fault == "slow_first_byte"
    box.faults.add("echo", "slow_first_byte", times=1, seconds=0.05)
    assert say().data == b"".join(WORDS)


def test_slow_chunks_come_one_by_one(box, client, say):
    box.faults.add("echo", "slow_chunks", seconds=0.05)
    reply = say(preload_content=False)
    assert list(iter(lambda: reply.read1(1000), b"")) == WORDS
    assert client.get("/echo/v1/items/1").json()["id"] == "1"


@pytest.mark.parametrize("chunks", [0, 1, 2, 3])
def test_cut_closes_after_so_many_pieces(box, say, chunks):
    box.faults.add("echo", "cut", chunks=chunks)
    assert received(say(preload_content=False)) == b"".join(WORDS[:chunks])
    record = box.requests("echo")[0]
    assert (record.complete, record.billed, record.hung_up) == (False, False, False)


def test_cut_breaks_an_answer_with_a_length_too(box, client):
    box.faults.add("echo", "cut")
    got = received(client.get("/echo/v1/items/1", preload_content=False))
    assert got
    assert b"{" in got
    assert b"}" not in got


def test_cut_can_be_a_reset(box, say):
    box.faults.add("echo", "cut", reset=True, chunks=0)
    with pytest.raises(ProtocolError, match="reset by peer"):
        say()


def test_refuse_resets_before_the_body_is_read(box, client):
    box.faults.add("echo", "refuse", times=1)
    with pytest.raises(ProtocolError, match="reset by peer"):
        client("POST", "/echo/v1/size", body=b"x" * 100)
    record = box.requests.wait(lambda record: record.ended is not None)
    assert (record.size, record.status, record.complete) == (0, None, False)
    assert client("POST", "/echo/v1/size", body=b"x" * 100).json() == {"size": 100}


def test_an_error_in_the_stream_ends_it_well_formed(box, say):
    box.faults.add("echo", "error_in_stream", chunks=2, message="the model fell over")
    assert say().data == b"".join(WORDS[:2]) + b'data: {"echo_error":"the model fell over"}\n\n'
    record = box.requests("echo")[0]
    assert (record.complete, record.billed) == (True, False)


def test_malformed_sse_puts_half_an_object_into_the_stream(box, say):
    box.faults.add("echo", "malformed_sse")
    data = say().data
    assert data.startswith(WORDS[0] + b"data: {")
    assert data.endswith(WORDS[1] + WORDS[2])


@pytest.mark.parametrize("chunks", [0, 2])
def test_hang_notices_that_its_client_gives_up(box, say, chunks):
    box.faults.add("echo", "hang", chunks=chunks)
    with pytest.raises((ReadTimeoutError, ProtocolError)):
        say(timeout=0.3)
    assert box.requests.wait(lambda record: record.hung_up, 5).fault == "hang"


def test_hang_ends_when_the_faults_are_deleted(box, client, say):
    box.faults.add("echo", "hang", chunks=1)
    reply = say(preload_content=False)
    assert reply.read1(1000) == WORDS[0]
    threading.Timer(0.1, client, ("DELETE", "/_sandbox/faults")).start()
    assert received(reply) == b""
    assert not box.requests("echo")[0].hung_up


def test_hang_is_bounded(box, say):
    box.faults.add("echo", "hang", seconds=0.1)
    with pytest.raises(ProtocolError):
        say()


def test_a_fault_of_the_service_reaches_its_handler_with_its_parameters(box, say):
    box.faults.add("echo", "shout", times=1, mark="!")
    assert b'{"word":"C!"}' in say().data
    assert say().data == b"".join(WORDS)


def test_faults_hit_each_of_many_callers_once(box, say):
    box.faults.add("echo", "status", times=10)
    got = []
    threads = [threading.Thread(target=lambda: got.append(say().status)) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [200] * 20 + [500] * 10


def test_every_fault_is_tested_here():
    import inspect
    import sys

    source = inspect.getsource(sys.modules[__name__])
    assert [name for name in COMMON if f'"{name}"' not in source] == []


def test_a_client_that_leaves_in_a_hang_is_noticed_within_a_second(box, say):
    box.faults.add("echo", "hang", chunks=1)
    reply = say(preload_content=False)
    reply.read1(1000)
    left = time.time()
    reply.close()
    record = box.requests.wait(lambda record: record.hung_up and record.ended is not None, 5)
    assert record.ended - left < 5
