"""Idempotency-Key: the same request again is the same answer, byte for byte, for one credit."""

import shutil
import threading

import pytest

from relay.errors import OutcomeUnknown, UpstreamFailed
from relay.services.meter import PROMISED_CALLS
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import OPERATOR, assert_error, at_once, eventually, install, multipart, running, wav
from tests.flows.sse import chunks, events
from tests.flows.test_streams import open_stream

KEY = {"Idempotency-Key": "key-1"}


def ask(live, who="i", headers=KEY, **body):
    return live.analyze(install(who) | headers, **body)


def assert_replayed(again, first):
    assert again.body == first.body
    assert again.status == first.status
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert "idempotent-replayed" not in first.headers


@pytest.mark.parametrize("text", ["short", "long " * 2000])
def test_the_same_request_gets_the_same_bytes_and_costs_nothing(start, text) -> None:
    backend = FakeBackend(text=text)
    with start(backend) as live:
        first = ask(live)
        assert first.charged == 1
        for _ in range(3):
            assert_replayed(ask(live), first)
        assert backend.calls == 1
        assert live.credits("i")["total"] == 9
        live.assert_balanced()


def test_the_order_of_keys_and_spaces_do_not_matter_but_the_meaning_does(start) -> None:
    backend = FakeBackend()
    with start(backend) as live:
        headers = install("i") | KEY | {"Content-Type": "application/json"}
        first = live.call("POST", "/relay/analyze", b'{"prompt":"x","system":"y"}', headers)
        again = live.call("POST", "/relay/analyze", b' { "system" : "y", "prompt":"x" } ', headers)
        assert_replayed(again, first)
        other = live.call("POST", "/relay/analyze", b'{"prompt":"x","system":"z"}', headers)
        assert_error(other, 422, "idempotency_mismatch")
        assert_error(
            ask(live, prompt="x", system="y", headers=KEY | {"X-Recap-Job-Id": "j"}), 422, "idempotency_mismatch"
        )
        assert backend.calls == 1


def test_the_boundary_of_a_form_does_not_matter_but_the_recording_does(start) -> None:
    backend = FakeBackend()
    with start(backend) as live:

        def send(recording, boundary):
            body, _ = multipart(recording, language="en")
            headers = install("i") | KEY | {"Content-Type": f"multipart/form-data; boundary={boundary}"}
            return live.call("POST", "/relay/transcribe", body.replace(b"--cut", b"--" + boundary.encode()), headers)

        first = send(wav(), "one")
        assert first.status == 200
        assert_replayed(send(wav(), "another"), first)
        assert_error(send(wav(2), "one"), 422, "idempotency_mismatch")


def test_keys_belong_to_an_account(start) -> None:
    backend = FakeBackend()
    with start(backend) as live:
        assert ask(live, "a").charged == 1
        assert ask(live, "b").charged == 1
        assert backend.calls == 2


def test_a_request_still_running_is_409_and_its_answer_is_there_afterwards(start) -> None:
    backend = FakeBackend()
    backend.gate = threading.Event()
    with start(backend) as live:
        replies = []
        thread = threading.Thread(target=lambda: replies.append(ask(live)))
        thread.start()
        assert backend.entered.acquire(timeout=10)
        busy = ask(live)
        assert_error(busy, 409, "in_progress")
        assert int(busy.headers["retry-after"]) >= 1
        assert_error(ask(live, prompt="another"), 422, "idempotency_mismatch")
        backend.gate.set()
        thread.join(10)
        assert_replayed(ask(live), replies[0])


def test_24_at_once_are_one_call_and_one_charge(start) -> None:
    backend = FakeBackend()
    with start(backend) as live:
        replies = at_once(24, lambda _: ask(live))
        assert {reply.status for reply in replies} <= {200, 409}
        assert len({reply.body for reply in replies if reply.status == 200}) == 1
        assert backend.calls == 1
        assert live.credits("i")["total"] == 9
        live.assert_balanced()


@pytest.mark.parametrize("failure", [UpstreamFailed("no"), OutcomeUnknown("?")])
def test_a_failure_frees_the_key(start, failure) -> None:
    backend = FakeBackend()
    backend.fail = failure
    with start(backend) as live:
        assert ask(live).status == 502
        backend.fail = None
        assert ask(live, prompt="even another question").charged == 1
        assert backend.calls == 2


def test_a_refusal_before_the_call_frees_the_key(start) -> None:
    backend = FakeBackend()
    with start(backend) as live:
        assert_error(ask(live, model="nobody", backend="nobody"), 404, "not_found")
        assert ask(live).status == 200


@pytest.mark.parametrize("key", ["", "with space", "x" * 256, "tab\tin"])
def test_a_key_that_cannot_be_one_is_refused(start, key) -> None:
    with start(FakeBackend()) as live:
        assert_error(ask(live, headers={"Idempotency-Key": key}), 400, "bad_request")


def test_the_answer_survives_a_restart(tmp_path) -> None:
    with running(tmp_path, [FakeBackend(text="long " * 2000)]) as live:
        first = ask(live)
    backend = FakeBackend()
    with running(tmp_path, [backend]) as live:
        assert_replayed(ask(live), first)
        assert backend.calls == 0


def test_a_stream_is_replayed_byte_for_byte(start) -> None:
    backend = FakeBackend()
    backend.pieces = ["one ", "two"]
    with start(backend) as live:
        first = ask(live, stream=True)
        assert events(first.body)[-1][0] == "done"
        assert_replayed(ask(live, stream=True), first)
        assert backend.calls == 1
        live.assert_balanced()


def test_a_stream_nobody_listens_to_runs_to_its_end_and_is_there_for_the_retry(start) -> None:
    backend, more = FakeBackend(max_concurrent=1), threading.Event()
    backend.pieces = ["one ", more, "two"]
    with start(backend) as live:
        sock = open_stream(live, Idempotency_Key="key-1")
        next(chunks(sock))
        sock.close()
        assert_error(ask(live, prompt="x", stream=True), 409, "in_progress")
        more.set()
        eventually(lambda: ask(live, prompt="x", stream=True).status == 200)
        again = ask(live, prompt="x", stream=True)
        assert again.headers["idempotent-replayed"] == "true"
        assert events(again.body)[-1][1]["result"]["text"] == "one two"
        assert backend.calls == 1
        assert live.core.infer.slots["fake"].running == 0
        live.assert_balanced()


def test_a_stream_that_broke_runs_again_under_the_same_charge(start) -> None:
    backend = FakeBackend()
    backend.pieces = ["begun ", OutcomeUnknown("lost")]
    with start(backend) as live:
        assert events(ask(live, stream=True).body)[-1][0] == "error"
        backend.pieces = ["begun ", "and ended"]
        name, done = events(ask(live, stream=True).body)[-1]
        assert (name, done["credits"]["charged"]) == ("done", 0)
        assert live.credits("i")["total"] == 9
        assert backend.calls == 2
        assert ask(live, stream=True).headers["idempotent-replayed"] == "true"
        live.assert_balanced()


@pytest.mark.parametrize("rule", ["max_calls = 1", "free_window_hours = 0"])
def test_a_stream_that_broke_is_finished_under_its_charge_however_few_calls_a_job_has(start, rule) -> None:
    backend = FakeBackend()
    backend.pieces = ["begun ", OutcomeUnknown("lost")]
    named = KEY | {"X-Recap-Job-Id": "my-job"}
    with start(backend, settings=f"[jobs]\n{rule}\n") as live:
        assert events(ask(live, headers=named, stream=True).body)[-1][0] == "error"
        assert_error(ask(live, headers={"X-Recap-Job-Id": "my-job"}), 409, "job_closed")
        backend.pieces = ["begun ", "and ended"]
        name, done = events(ask(live, headers=named, stream=True).body)[-1]
        assert (name, done["credits"]["charged"], done["meta"]["job_id"]) == ("done", 0, "my-job")
        assert live.credits("i")["total"] == 9
        live.assert_balanced()


def test_a_stream_that_never_ends_is_not_asked_for_without_end(start) -> None:
    backend = FakeBackend()
    backend.pieces = ["begun ", OutcomeUnknown("lost")]
    with start(backend, settings="[jobs]\nmax_calls = 1\n") as live:
        while (reply := ask(live, stream=True)).status == 200:
            assert backend.calls <= PROMISED_CALLS
        assert_error(reply, 409, "job_closed")
        assert backend.calls == PROMISED_CALLS
        assert live.credits("i")["total"] == 9


def test_the_key_of_a_stream_that_broke_is_for_no_other_request(start) -> None:
    backend = FakeBackend()
    backend.pieces = ["begun ", OutcomeUnknown("lost")]
    with start(backend) as live:
        assert events(ask(live, stream=True, prompt="one").body)[-1][0] == "error"
        backend.pieces = ["begun ", "and ended"]
        assert_error(ask(live, stream=True, prompt="two"), 422, "idempotency_mismatch")
        name, done = events(ask(live, stream=True, prompt="one").body)[-1]
        assert (name, done["credits"]["charged"]) == ("done", 0)
        assert backend.calls == 2
        assert live.credits("i")["total"] == 9
        live.assert_balanced()


def test_a_stream_whose_copy_cannot_be_made_is_507_and_holds_nothing(start) -> None:
    backend = FakeBackend()
    with start(backend) as live:
        shutil.rmtree(live.core.spool_dir)
        assert_error(ask(live, stream=True), 507, "storage_full", "relay")
        assert (live.holds(), live.credits("i")["total"], backend.calls) == (0, 10, 0)
        live.core.spool_dir.mkdir()
        assert events(ask(live, stream=True).body)[-1][0] == "done"
        live.assert_balanced()


@pytest.mark.parametrize("value", [b"1e999", b"9" * 5000, b'"\xff"'], ids=["1e999", "5000 digits", "broken UTF-8"])
@pytest.mark.parametrize("path", ["/relay/analyze", "/relay/jobs", "/relay/users/u/credits"])
def test_a_body_without_a_meaning_is_400_also_where_nobody_reads_it(start, path, value) -> None:
    backend = FakeBackend()
    with start(backend) as live:
        body = b'{"task": "analyze", "prompt": "x", "amount": 5, "unknown": ' + value + b"}"
        headers = (OPERATOR if "users" in path else install("i")) | KEY | {"Content-Type": "application/json"}
        assert_error(live.call("POST", path, body, headers), 400, "bad_json")
        assert backend.calls == 0
        live.assert_balanced()


def test_the_oldest_answers_go_when_all_take_too_much(start) -> None:
    backend = FakeBackend(text="x" * 3000)
    with start(backend) as live:
        first = ask(live)
        ask(live, headers={"Idempotency-Key": "key-2"})
        live.core.idempotency._max_bytes = 4000
        live.core.storage.transact(age)
        live.core.idempotency.prune()
        assert ask(live).charged == 1
        assert first.body


def age(tx):
    """Make the first record the older one."""
    rows = tx.scan("idempotency", "created_at", limit=5)
    for name, doc in rows:
        if "key" not in doc:
            tx.put("idempotency", name, {**doc, "created_at": "2020-01-01T00:00:00Z"})
            return


def test_an_answer_older_than_a_day_is_gone(start) -> None:
    backend = FakeBackend()
    with start(backend) as live:
        ask(live)
        live.core.storage.transact(age)
        again = ask(live)
        assert again.charged == 1
        assert "idempotent-replayed" not in again.headers


def test_a_grant_sent_twice_is_granted_once(start) -> None:
    with start(FakeBackend()) as live:
        live.analyze("i")
        headers = live.login() | KEY
        body = {"credit_key": "inst:i", "amount": 7}
        first = live.call("POST", "/admin/credits/grant", headers=headers, json=body)
        assert first.json["purchased_balance"] == 7
        assert_replayed(live.call("POST", "/admin/credits/grant", headers=headers, json=body), first)
        other = live.call("POST", "/admin/credits/grant", headers=headers, json=body | {"amount": 8})
        assert_error(other, 422, "idempotency_mismatch")
        assert live.credits("i")["purchased"] == 7
        live.assert_balanced()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/relay/users/u/tier", {"tier": "pro", "period_days": 30}),
        ("POST", "/relay/users/u/tier/extend", {"tier": "pro", "period_days": 30}),
        ("POST", "/relay/users/u/credits", {"amount": 5}),
    ],
)
def test_a_change_of_a_user_sent_twice_happens_once(start, method, path, body) -> None:
    with start(FakeBackend()) as live:
        first = live.call(method, path, headers=OPERATOR | KEY, json=body)
        assert first.status == 200
        entries = live.entries("user:u")
        assert_replayed(live.call(method, path, headers=OPERATOR | KEY, json=body), first)
        assert live.entries("user:u") == entries
        assert_error(live.call(method, path, headers=OPERATOR | KEY, json={"amount": True}), 422, "invalid")


def test_a_change_that_failed_may_be_sent_again_under_its_key(start) -> None:
    with start(FakeBackend()) as live:
        headers = live.login() | KEY
        body = {"credit_key": "inst:i", "amount": 7}
        assert live.call("POST", "/admin/credits/grant", headers=headers, json=body).status == 404
        live.analyze("i")
        assert live.call("POST", "/admin/credits/grant", headers=headers, json=body).status == 200
