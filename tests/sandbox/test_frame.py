"""Any service in the frame: routing, bodies, records, counts and control."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import json
import socket
import time

import pytest

from relay.testing.sandbox import records, sandbox
from tests.sandbox.conftest import Client, tone
from tests.sandbox.echo import Echo


@pytest.fixture
def box():
    with sandbox([Echo()]) as box:
        yield box


def test_a_route_gets_the_parts_of_its_path(box, client):
    assert client.get("/echo/v1/items/7").json() == {"id": "7", "at": f"{box.url}/echo"}
    assert client.get("/echo/v1/models/a.b-c:stream").json() == {"kind": "models", "id": "a.b-c", "verb": "stream"}


def test_a_refusal_becomes_the_error_body_of_the_service(client):
    reply = client.get("/echo/v1/items/0")
    assert (reply.status, reply.json(), reply.headers["x-hint"]) == (
        404,
        {"echo_error": "there is no item 0"},
        "from 1",
    )


def test_an_unknown_path_of_a_service_is_answered_in_its_words(client):
    reply = client.get("/echo/v2/nothing")
    assert (reply.status, reply.json()) == (404, {"echo_error": "echo has no GET /v2/nothing"})


def test_an_unknown_service_is_told_which_there_are(client):
    reply = client.get("/nobody/v1")
    assert reply.status == 404
    assert "/echo/" in reply.json()["error"]
    assert reply.headers["connection"] == "close"


def test_a_mistake_in_a_service_is_a_500_that_names_it(box, client, capsys):
    assert "ZeroDivisionError" in client.get("/echo/v1/broken").json()["echo_error"]
    assert "ZeroDivisionError" in box.requests("echo")[0].notes["crash"]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_body_may_come_in_chunks(client):
    reply = client("POST", "/echo/v1/size", body=iter([b"x" * 100_000, b"y" * 7]))
    assert reply.json() == {"size": 100_007}


def test_a_connection_is_kept_over_many_answers(box):
    connection = http.client.HTTPConnection(box.url.removeprefix("http://"))
    with contextlib.closing(connection):
        wires = set()
        for _ in range(3):
            connection.request("POST", "/echo/v1/say", json.dumps({"text": "a b"}))
            wires.add(connection.sock.getsockname())
            connection.getresponse().read()
    assert len(wires) == 1


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(box):
    host, port = box.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 5) as wire:
        wire.sendall(b"POST /echo/v1/size HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n")
        assert wire.recv(100).startswith(b"HTTP/1.1 100")
        wire.sendall(b"abc")
        assert b'{"size":3}' in wire.recv(1000)


def test_a_broken_body_is_refused_and_recorded(box, client):
    headers = {"content-type": "application/json"}
    reply = client("POST", "/echo/v1/say", body=b'{"text', headers=headers)
    assert reply.status == 400
    assert "not JSON" in reply.json()["echo_error"]
    assert "not JSON" in box.requests("echo")[0].notes["unreadable"]
    form = {"content-type": "multipart/form-data; boundary=x"}
    assert client("POST", "/echo/v1/files", body=b"--x\r\nnonsense", headers=form).status == 400
    assert client("POST", "/echo/v1/files", body=b"{}", headers=headers).status == 415


class TestRecords:
    def test_a_request_is_recorded_with_its_json(self, box, client):
        client.post("/echo/v1/say?v=1", {"text": "good morning"})
        (record,) = box.requests("echo")
        assert (record.method, record.path, record.route, record.query) == ("POST", "/v1/say", "say", {"v": "1"})
        assert record.json == {"text": "good morning"}
        assert (record.status, record.complete, record.billed, record.hung_up) == (200, True, True, False)
        assert record.notes == {"letters": 12}
        assert record.started <= record.ended

    def test_what_http_tells_is_what_python_sees(self, box, client):
        client.post("/echo/v1/say", {"text": "one"})
        client.get("/echo/v1/items/0")
        told = client.get("/_sandbox/requests?service=echo").json()["requests"]
        assert told == json.loads(json.dumps([record.view() for record in box.requests("echo")]))
        assert [r["route"] for r in client.get("/_sandbox/requests?service=echo&route=item").json()["requests"]] == [
            "item"
        ]

    def test_a_file_is_recorded_by_what_it_is(self, box, client):
        sound = tone(1.5)
        assert client.upload("/echo/v1/files", sound, "a.wav", language="en").json() == {
            "fields": {"language": ["en"]},
            "files": ["file"],
        }
        record = box.requests("echo")[0]
        assert record.form == {"language": ["en"]}
        file = record.files["file"]
        assert (file["filename"], file["content_type"]) == ("a.wav", "audio/wav")
        assert (file["size"], file["sha256"]) == (len(sound), hashlib.sha256(sound).hexdigest())
        assert file["seconds"] == pytest.approx(1.5)

    def test_the_seconds_of_a_file_are_those_that_decode(self, box, client):
        lying = bytearray(tone(2))
        lying[40:44] = (10_000_000).to_bytes(4, "little")  # the header promises five minutes
        client.upload("/echo/v1/files", bytes(lying))
        client.upload("/echo/v1/files", b"no sound at all", "x.mp3")
        files = [record.files["file"]["seconds"] for record in box.requests("echo")]
        assert files == [pytest.approx(2), None]

    def test_secrets_are_not_kept(self, box, client):
        headers = {"Authorization": "Bearer s3cret-token", "x-goog-api-key": "s3cret-key", "x-other": "kept"}
        client.get("/echo/v1/items/1?key=s3cret-key", headers=headers)
        told = client.get("/_sandbox/requests").data.decode()
        assert "s3cret" not in told
        (record,) = box.requests("echo")
        digest = hashlib.sha256(b"s3cret-token").hexdigest()[:12]
        assert record.headers["authorization"] == f"Bearer sha256:{digest}"
        assert record.headers["x-other"] == "kept"

    def test_a_long_text_is_kept_as_its_digest(self, box, client):
        text = "ä" * (records.MAX_TEXT + 1)
        client.post("/echo/v1/say", {"text": text})
        kept = box.requests("echo")[0].json["text"]
        assert len(kept) < 1200
        assert hashlib.sha256(text.encode()).hexdigest() in kept

    def test_the_oldest_records_make_room(self, box, client, monkeypatch):
        monkeypatch.setattr(records, "MAX_RECORDS", 5)
        for number in range(8):
            client.get(f"/echo/v1/items/{number + 1}")
        assert [record.path for record in box.requests()] == [f"/v1/items/{n}" for n in range(4, 9)]
        assert box.requests.counts()["echo"]["item"] == {"calls": 8, "billed": 8}

    def test_large_bodies_make_room_sooner(self, box, client, monkeypatch):
        monkeypatch.setattr(records, "MAX_BYTES", 3000)
        for _ in range(6):
            client.post("/echo/v1/say", {"text": "x" * 1000})
        assert len(box.requests) == 2

    def test_waiting_for_a_request_ends_when_it_comes_or_with_what_was_there(self, box, client):
        client.get("/echo/v1/items/5")
        assert box.requests.wait(lambda record: record.path.endswith("/5")).complete
        with pytest.raises(TimeoutError, match="/v1/items/5"):
            box.requests.wait(lambda record: record.path.endswith("/6"), 0.05)


class TestCounts:
    def test_only_good_answers_sent_in_full_are_billed(self, box, client):
        client.post("/echo/v1/say", {"text": "one two"})
        client.get("/echo/v1/items/0")
        box.faults.add("echo", "cut", route="say", times=1)
        with pytest.raises(Exception, match="IncompleteRead"):
            client.post("/echo/v1/say", {"text": "one two"})
        box.faults.add("echo", "slow_chunks", route="say", times=1, seconds=0.01)
        client.post("/echo/v1/say", {"text": "one two"})
        counts = client.get("/_sandbox/counts").json()
        assert counts == {"echo": {"say": {"calls": 3, "billed": 2}, "item": {"calls": 1, "billed": 0}}}

    def test_what_a_call_took_is_given_back_before_its_answer_is_there(self, box, client):
        client.get("/echo/v1/place")
        assert box["echo"].left == 1

    def test_an_answer_that_was_not_taken_is_not_billed(self, box):
        with Client(box.url) as client:
            reply = client.get("/echo/v1/large", preload_content=False)
            reply.read1(1000)
            reply.close()
        assert box.requests.wait(lambda record: record.hung_up, 5).complete is False
        assert box.requests.counts()["echo"]["large"] == {"calls": 1, "billed": 0}

    def test_an_answer_is_booked_before_its_reader_can_ask(self, box, client):
        for number in range(300):
            client.get("/echo/v1/items/1")
            assert box.requests.counts()["echo"]["item"]["billed"] == number + 1


def test_the_pieces_of_a_stream_leave_while_the_next_ones_are_made(box, client):
    reply = client.get("/echo/v1/ticks", preload_content=False, timeout=10)
    assert reply.read1(100) == b"one"
    box["echo"].go_on.set()
    assert reply.read() == b"twothree"


class TestHangUps:
    def test_a_client_that_leaves_is_noticed_while_the_service_works(self, box):
        host, port = box.url.removeprefix("http://").split(":")
        wire = socket.create_connection((host, int(port)), 5)
        wire.sendall(b"GET /echo/v1/slow HTTP/1.1\r\nhost: x\r\n\r\n")
        record = box.requests.wait(lambda record: record.route == "slow")
        wire.close()
        box.requests.wait(lambda record: record.hung_up and record.ended is not None, 5)
        assert record.ended - record.started < 20
        assert not record.complete
        assert box["echo"].left == 1

    def test_a_client_that_leaves_is_noticed_between_two_pieces(self, box):
        box.faults.add("echo", "slow_chunks", seconds=30)
        with Client(box.url) as client:
            reply = client.post("/echo/v1/say", {"text": "a b c"}, preload_content=False)
            assert b'"a"' in reply.read1(100)
            reply.close()
        record = box.requests.wait(lambda record: record.hung_up, 5)
        assert (record.complete, record.billed) == (False, False)

    def test_a_client_that_stops_in_the_middle_of_its_body_is_noticed(self, box):
        host, port = box.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 5) as wire:
            wire.sendall(b"POST /echo/v1/size HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nabc")
        assert not box.requests.wait(lambda record: record.hung_up, 5).complete


class TestControl:
    def test_the_overview_names_services_routes_and_faults(self, box, client):
        text = client.get("/_sandbox").data.decode()
        for expected in (f"{box.url}/echo", "says what it was sent", "/v1/items/{id}", "shout", "slow_first_byte"):
            assert expected in text

    def test_a_service_is_set_and_reset(self, box, client):
        assert client.put("/_sandbox/echo", {"greeting": "bye"}).json() == {"greeting": "bye"}
        assert client.get("/_sandbox/echo").json() == {"greeting": "bye"}
        refused = client.put("/_sandbox/echo", {"greeting": 1})
        assert (refused.status, refused.json()) == (400, {"error": "greeting is a text"})
        client.get("/echo/v1/items/1")
        box.faults.add("echo", "empty")
        assert client.post("/_sandbox/reset").json() == {"ok": True}
        assert client.get("/_sandbox/echo").json() == {"greeting": "hello"}
        assert client.get("/_sandbox/requests").json() == {"requests": []}
        assert client.get("/_sandbox/counts").json() == {}
        assert client.get("/_sandbox/faults").json() == {"faults": []}

    def test_an_unknown_control_path_says_where_to_look(self, client):
        reply = client.get("/_sandbox/nothing")
        assert reply.status == 404
        assert "GET /_sandbox" in reply.json()["error"]

    @pytest.mark.parametrize(
        ("asked", "complaint"),
        [
            ({"service": "nobody", "fault": "cut"}, "there are echo"),
            ({"service": "echo", "fault": "explode"}, "it has status, "),
            ({"service": "echo", "fault": "cut", "route": "nowhere"}, "it has item, part"),
            ({"service": "echo", "fault": "cut", "chunk": 3}, "it has chunks, reset"),
            ({"service": "echo", "fault": "cut", "chunks": "3"}, "whole number"),
            ({"service": "echo", "fault": "cut", "times": 0}, "times is a whole number from 1"),
            ({"service": "echo", "fault": "hang", "seconds": 1e9}, "0 to 600"),
            ({"service": "echo", "fault": "status", "status": 999}, "200 to 599"),
            ({"service": "echo"}, "send {"),
            ([], "send {"),
        ],
    )
    def test_a_fault_that_cannot_be_is_refused_with_what_can(self, client, asked, complaint):
        reply = client.post("/_sandbox/faults", asked)
        assert reply.status == 400
        assert complaint in reply.json()["error"]
        assert client.get("/_sandbox/faults").json() == {"faults": []}

    def test_faults_are_bounded(self, box):
        for _ in range(100):
            box.faults.add("echo", "cut")
        with pytest.raises(ValueError, match="delete them first"):
            box.faults.add("echo", "cut")


def test_closing_ends_calls_that_are_under_way():
    with sandbox([Echo()]) as box:
        host, port = box.url.removeprefix("http://").split(":")
        wire = socket.create_connection((host, int(port)), 5)
        wire.sendall(b"GET /echo/v1/slow HTTP/1.1\r\nhost: x\r\n\r\n")
        box.requests.wait(lambda record: record.route == "slow")
    begun = time.monotonic()
    with wire, wire.makefile("rb") as stream:
        assert stream.read() == b""
    assert time.monotonic() - begun < 20


def test_a_large_body_does_not_stay_in_memory(box, client):
    assert client("POST", "/echo/v1/size", body=io.BytesIO(b"z" * 5_000_000)).json() == {"size": 5_000_000}
    assert box.requests("echo")[0].sha256 == hashlib.sha256(b"z" * 5_000_000).hexdigest()
