"""Streamed answers: paid before the first piece leaves, cancelled upstream when nobody listens."""

import json
import threading

import pytest

from relay.errors import BlockedByUpstream, OutcomeUnknown, Unavailable, UpstreamFailed
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import assert_error, eventually, install
from tests.flows.sse import chunks, events


def ask(live, who="i", **body):
    return live.analyze(who, stream=True, **body)


def open_stream(live, who="i", **headers):
    body = json.dumps({"prompt": "x", "stream": True}).encode()
    sock = live.connect()
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"POST /relay/analyze HTTP/1.1\r\nHost: x\r\nX-Recap-Install-Id: {who}\r\n{lines}"
    sock.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return sock


def test_the_pieces_come_in_order_and_the_last_event_has_the_whole(start) -> None:
    backend = FakeBackend()
    backend.pieces = ["one ", "two ", "three"]
    with start(backend) as live:
        reply = ask(live)
        assert reply.status == 200
        assert reply.headers["content-type"] == "text/event-stream"
        *deltas, (name, done) = events(reply.body)
        assert [data["delta"] for _, data in deltas] == ["one ", "two ", "three"]
        assert name == "done"
        assert done["result"] == {
            "text": "one two three",
            "data": None,
            "usage": {"input_tokens": 3, "output_tokens": 5},
        }
        assert done["meta"]["backend"] == "fake"
        assert done["meta"]["model"] == "fake-mind"
        assert done["meta"]["request_id"] == reply.headers["x-request-id"]
        assert (done["credits"]["charged"], done["credits"]["remaining"]) == (1, 9)
        assert backend.asked[0].stream is True
        live.assert_balanced()


def test_each_piece_leaves_as_it_comes_and_is_paid_by_then(start) -> None:
    backend, more = FakeBackend(), threading.Event()
    backend.pieces = ["first", more, "second"]
    with start(backend) as live, open_stream(live) as sock:
        received = chunks(sock)
        assert b"first" in next(received)
        assert live.credits("i")["total"] == 9
        assert live.holds() == 0
        more.set()
        assert b"second" in next(received)
        assert b"event: done" in next(received)


def test_a_failure_before_the_first_piece_is_a_plain_error_and_free(start) -> None:
    backend = FakeBackend()
    backend.fail = BlockedByUpstream("no")
    with start(backend) as live:
        assert_error(ask(live), 422, "blocked_by_upstream", "upstream")
        backend.fail = None
        backend.pieces = ["", " "]
        assert_error(ask(live), 502, "upstream_failed", "upstream")
        assert live.credits("i")["total"] == 10
        live.assert_balanced()


def test_another_backend_takes_over_before_the_first_piece_only(start) -> None:
    first, second = FakeBackend("one"), FakeBackend("two")
    first.pieces = [Unavailable("away")]
    with start(first, second) as live:
        assert events(ask(live).body)[-1][1]["meta"]["backend"] == "two"
        first.pieces = ["half an ", Unavailable("away")]
        name, error = events(ask(live).body)[-1]
        assert name == "error"
        assert error["error"]["code"] == "upstream_unavailable"
        assert error["error"]["charged"] == 1
        assert second.calls == 1
        assert live.credits("i")["total"] == 8
        live.assert_balanced()


@pytest.mark.parametrize("failure", [UpstreamFailed("x"), OutcomeUnknown("x"), KeyError("secret")])
def test_a_failure_in_the_middle_is_an_event_and_stays_charged(start, failure) -> None:
    backend = FakeBackend()
    backend.pieces = ["begun", failure]
    with start(backend) as live:
        reply = ask(live)
        (_, first), (name, error) = events(reply.body)
        assert first == {"delta": "begun"}
        assert name == "error"
        assert error["ok"] is False
        assert error["error"]["charged"] == 1
        assert error["meta"]["request_id"] == reply.headers["x-request-id"]
        assert "secret" not in json.dumps(error)
        assert live.credits("i")["total"] == 9
        live.assert_balanced()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/relay/analyze", {"prompt": "x", "stream": True}),
        ("/relay/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "stream": True}),
    ],
)
def test_a_free_follow_up_that_breaks_says_that_nothing_was_charged(start, path, body) -> None:
    backend = FakeBackend()
    with start(backend) as live:
        assert live.analyze("i", job="j").charged == 1
        backend.pieces = ["begun", OutcomeUnknown("lost")]
        reply = live.call("POST", path, headers=install("i") | {"X-Recap-Job-Id": "j"}, json=body)
        name, error = events(reply.body)[-1]
        assert (name, error["error"]["code"], error["error"]["charged"]) == ("error", "upstream_failed", 0)
        assert live.credits("i")["total"] == 9
        live.assert_balanced()


def test_an_answer_that_does_not_fit_the_schema_ends_in_an_error_event(start) -> None:
    backend = FakeBackend(text='{"a": 1}')
    with start(backend) as live:
        schema = {"type": "object", "properties": {"a": {"type": "string"}}}
        name, error = events(ask(live, schema=schema).body)[-1]
        assert (name, error["error"]["code"]) == ("error", "upstream_failed")
        backend.text = '{"a": "b"}'
        name, done = events(ask(live, schema=schema).body)[-1]
        assert (name, done["result"]["data"]) == ("done", {"a": "b"})


def test_a_caller_who_hangs_up_ends_the_call_upstream_and_frees_its_places(start) -> None:
    backend, never = FakeBackend(max_concurrent=1), threading.Event()
    backend.pieces = ["begun", never, "rest"]
    with start(backend) as live:
        sock = open_stream(live)
        next(chunks(sock))
        sock.close()
        eventually(lambda: live.core.infer.slots["fake"].running == 0)
        assert live.credits("i")["total"] == 9
        backend.pieces = ["fine"]
        assert ask(live).status == 200
        live.assert_balanced()


def test_a_caller_who_hangs_up_before_the_first_piece_pays_nothing(start) -> None:
    backend = FakeBackend(max_concurrent=1)
    backend.gate = threading.Event()
    with start(backend) as live:
        sock = open_stream(live)
        assert backend.entered.acquire(timeout=10)
        sock.close()
        eventually(lambda: backend.running == 0)
        live.assert_balanced()
        assert live.credits("i")["total"] == 10


def test_a_stream_for_an_empty_account_is_refused_with_402(start) -> None:
    backend = FakeBackend()
    with start(backend) as live:
        for _ in range(10):
            ask(live)
        assert_error(ask(live), 402, "insufficient_credits")
        assert backend.calls == 10


def test_a_stream_counts_among_the_callers_concurrent_calls_until_it_ends(start) -> None:
    backend, more = FakeBackend(), threading.Event()
    backend.pieces = ["a", more, "b"]
    with start(backend, limits="[limits]\nconcurrent_calls = 1\n") as live, open_stream(live) as sock:
        received = chunks(sock)
        next(received)
        assert_error(live.analyze("i"), 429, "too_many_calls")
        more.set()
        assert len(list(received)) == 2
        backend.pieces = []
        eventually(lambda: live.analyze("i").status == 200)
