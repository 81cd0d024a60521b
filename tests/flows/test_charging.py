"""One credit for a job's first answer, whatever happens around it."""

import socket
import struct
import threading

import pytest

from relay.errors import UpstreamFailed
from tests.flows.live import (
    OPERATOR,
    FakeBackend,
    Live,
    assert_error,
    at_once,
    eventually,
    install,
    running,
    user,
)

CREDITS = {"charged", "remaining", "purchased", "total", "gemini_remaining", "held", "capped", "tier"}
META = {"request_id", "job_id", "server_job_id", "backend", "model", "elapsed_ms"}


def test_an_analysis_has_every_field_of_the_contract(live: Live) -> None:
    reply = live.analyze(transcript="We met on Monday.", system="Be brief.")
    assert reply.status == 200
    body = reply.json
    assert body.keys() == {"ok", "result", "meta", "credits"}
    assert body["ok"] is True
    usage = {"input_tokens": 3, "output_tokens": 5}
    assert body["result"] == {"text": "the answer of fake", "data": None, "usage": usage}
    assert body["meta"].keys() == META
    assert body["meta"]["request_id"] == reply.headers["x-request-id"]
    assert body["meta"]["job_id"] == body["meta"]["server_job_id"]
    assert body["meta"]["job_id"].startswith("job_")
    assert (body["meta"]["backend"], body["meta"]["model"]) == ("fake", "fake-mind")
    assert type(body["meta"]["elapsed_ms"]) is int
    assert body["credits"] == {
        "charged": 1,
        "remaining": 9,
        "purchased": 0,
        "total": 9,
        "gemini_remaining": 5,
        "held": 0,
        "capped": "lifetime",
        "tier": "core",
    }
    live.assert_balanced()


def test_a_transcription_has_every_field_of_the_contract(live: Live, backend: FakeBackend) -> None:
    reply = live.transcribe(language="en", prompt="names: Ann", model="any")
    assert reply.status == 200
    assert reply.json["result"] == {
        "text": "the answer of fake",
        "language": "en",
        "duration": 2.0,
        "segments": [{"id": 0, "start": 0.0, "end": 2.0, "text": "the answer of fake"}],
    }
    assert reply.json["credits"].keys() == CREDITS
    assert reply.json["meta"].keys() == META
    asked = backend.asked[0]
    assert (asked.language, asked.prompt, asked.model) == ("en", "names: Ann", "any")
    assert asked.audio.duration == pytest.approx(1.0)
    assert not asked.audio.path.parent.exists(), "the recording is removed with the call"


def test_an_answer_to_a_schema_comes_parsed(live: Live, backend: FakeBackend) -> None:
    backend.text = '```json\n{"title": "Monday", "tags": ["a", "b"]}\n```'
    tags = {"type": "array", "uniqueItems": True}
    schema = {"type": "object", "properties": {"title": {"type": "string"}, "tags": tags}}
    assert live.analyze(schema=schema).json["result"]["data"] == {"title": "Monday", "tags": ["a", "b"]}


def test_messages_reach_the_backend_with_system_first_and_the_transcript_last(live: Live, backend: FakeBackend) -> None:
    said = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    body = {"messages": said, "system": "Be brief.", "transcript": "We met."}
    reply = live.call("POST", "/relay/analyze", headers=install("a"), json=body)
    assert reply.status == 200
    asked = backend.asked[0]
    assert [message["role"] for message in asked.messages] == ["system", "user", "assistant", "user"]
    assert "We met." in asked.messages[-1]["content"]
    assert asked.transcript == "We met."


def test_reading_credits_makes_no_row(live: Live) -> None:
    seen = live.credits()
    assert seen.keys() == CREDITS - {"charged"} | {"subscription_expires_at"}
    assert (seen["total"], seen["subscription_expires_at"]) == (10, None)
    assert live.get("/relay/users/ann", OPERATOR).status == 200
    assert live.get("/relay/credits/history", install("inst-1")).json["entries"] == []
    assert live.core.storage.read(lambda tx: tx.count("credits")) == 0


def test_without_a_job_id_each_call_is_a_job_of_its_own(live: Live) -> None:
    first, second = live.analyze(), live.analyze()
    assert first.json["meta"]["job_id"] != second.json["meta"]["job_id"]
    assert (first.charged, second.charged) == (1, 1)
    assert live.credits()["total"] == 8


def test_follow_ups_of_a_paid_job_are_free(live: Live) -> None:
    first = live.transcribe(job="meeting-7")
    second = live.analyze(job="meeting-7")
    assert (first.charged, second.charged) == (1, 0)
    for reply in (first, second):
        assert reply.json["meta"]["job_id"] == "meeting-7"
    server_id = first.json["meta"]["server_job_id"]
    assert second.json["meta"]["server_job_id"] == server_id
    third = live.analyze(job=server_id)
    assert third.charged == 0
    assert third.json["meta"]["server_job_id"] == server_id
    assert live.credits()["total"] == 9


def test_a_job_without_a_name_is_continued_by_the_servers_id(live: Live) -> None:
    server_id = live.analyze().json["meta"]["server_job_id"]
    reply = live.analyze(job=server_id)
    assert (reply.charged, reply.json["meta"]["job_id"]) == (0, server_id)


def test_a_job_id_means_another_job_in_another_account(live: Live) -> None:
    mine = live.analyze("inst-1", job="meeting")
    theirs = live.analyze("inst-2", job="meeting")
    assert theirs.charged == 1
    assert theirs.json["meta"]["server_job_id"] != mine.json["meta"]["server_job_id"]
    stolen = live.analyze("inst-2", job=mine.json["meta"]["server_job_id"])
    assert stolen.charged == 1
    assert live.credits("inst-2")["total"] == 8


def test_a_job_is_closed_after_its_calls(start, backend: FakeBackend) -> None:
    with start(backend, settings="[jobs]\nmax_calls = 3\n") as live:
        assert [live.analyze(job="j").charged for _ in range(3)] == [1, 0, 0]
        assert_error(live.analyze(job="j"), 409, "job_closed")
        assert backend.calls == 3
        backend.fail = UpstreamFailed("no")
        assert live.analyze(job="k").status == 502
        backend.fail = None
        assert [live.analyze(job="k").charged for _ in range(3)] == [1, 0, 0]
        live.assert_balanced()


def test_a_failed_follow_up_does_not_use_a_call_up(start, backend: FakeBackend) -> None:
    with start(backend, settings="[jobs]\nmax_calls = 2\n") as live:
        live.analyze(job="j")
        backend.fail = UpstreamFailed("no")
        assert [live.analyze(job="j").status for _ in range(3)] == [502] * 3
        backend.fail = None
        assert live.analyze(job="j").charged == 0
        assert_error(live.analyze(job="j"), 409, "job_closed")


def test_a_job_is_closed_after_its_time(start, backend: FakeBackend) -> None:
    with start(backend, settings="[jobs]\nfree_window_hours = 0\n") as live:
        assert live.analyze(job="j").charged == 1
        assert_error(live.analyze(job="j"), 409, "job_closed")
        assert live.credits()["total"] == 9


def test_a_failure_then_an_answer_is_one_credit(live: Live, backend: FakeBackend) -> None:
    backend.fail = UpstreamFailed("no")
    assert_error(live.analyze(job="j"), 502, "upstream_failed", "upstream")
    assert live.credits()["total"] == 10
    backend.fail = None
    assert live.analyze(job="j").charged == 1
    assert [entry["amount"] for entry in live.entries("inst:inst-1")] == [-1]
    live.assert_balanced()


def test_nothing_left_is_402_and_says_what_to_do(start, backend: FakeBackend) -> None:
    pack = '[[packages]]\nid = "small"\ncredits = 20\nprice = "5.00"\n'
    with start(backend, settings=f"[tiers.core]\nlifetime_credits = 1\n{pack}") as live:
        assert live.analyze(job="paid").charged == 1
        reply = live.analyze()
        assert_error(reply, 402, "insufficient_credits")
        assert reply.error["type"] == "payment_required"
        assert reply.error["details"] == {
            "needed": 1,
            "available": 0,
            "packages": ["small"],
            "checkout_path": "/relay/credits/checkout",
        }
        assert live.analyze(job="paid").charged == 0, "what is paid stays free"
        assert backend.calls == 2
        live.assert_balanced()


def test_64_callers_at_once_get_exactly_the_10_answers_there_are_credits_for(live: Live, backend: FakeBackend) -> None:
    replies = at_once(64, lambda _i: live.analyze())
    assert sorted(reply.status for reply in replies) == [200] * 10 + [402] * 54
    assert backend.calls == 10
    assert live.credits()["total"] == 0
    assert all(entry["balance_after"] >= 0 for entry in live.entries("inst:inst-1"))
    live.assert_balanced()


def test_24_callers_at_once_on_one_job_pay_one_credit(live: Live, backend: FakeBackend) -> None:
    backend.gate = threading.Event()
    threading.Timer(0.5, backend.gate.set).start()
    replies = at_once(24, lambda _i: live.analyze(job="together"))
    assert [reply.status for reply in replies] == [200] * 24
    assert sum(reply.charged for reply in replies) == 1
    assert len({reply.json["meta"]["server_job_id"] for reply in replies}) == 1
    assert live.credits()["total"] == 9
    live.assert_balanced()


def test_of_calls_that_share_a_job_the_last_failure_gives_the_credit_back(live: Live, backend: FakeBackend) -> None:
    backend.gate, backend.fail = threading.Event(), UpstreamFailed("no")
    threading.Timer(0.3, backend.gate.set).start()
    replies = at_once(6, lambda _i: live.analyze(job="together"))
    assert [reply.status for reply in replies] == [502] * 6
    assert live.credits()["total"] == 10
    live.assert_balanced()


def test_a_running_call_is_held_and_already_off(live: Live, backend: FakeBackend) -> None:
    backend.gate = threading.Event()
    thread = threading.Thread(target=live.analyze)
    thread.start()
    assert backend.entered.acquire(timeout=10)
    seen = live.credits()
    assert (seen["held"], seen["remaining"], seen["total"]) == (1, 9, 9)
    backend.gate.set()
    thread.join(10)
    assert live.credits()["held"] == 0


def hang_up(live: Live, job: str) -> socket.socket:
    sock = live.connect()
    body = b'{"prompt":"x"}'
    head = f"POST /relay/analyze HTTP/1.1\r\nHost: x\r\nX-Recap-Install-Id: inst-1\r\nX-Recap-Job-Id: {job}\r\n"
    sock.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return sock


def close_hard(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_a_caller_who_hangs_up_before_an_answer_pays_nothing(live: Live, backend: FakeBackend) -> None:
    backend.gate = threading.Event()
    sock = hang_up(live, "j")
    assert backend.entered.acquire(timeout=10)
    close_hard(sock)
    eventually(lambda: backend.running == 0)
    live.assert_balanced()
    assert live.credits()["total"] == 10


def test_an_answer_that_arrived_is_charged_though_the_caller_hung_up(live: Live, backend: FakeBackend) -> None:
    go = threading.Event()
    backend.act = lambda _ctx: go.wait(10)
    sock = hang_up(live, "j")
    assert backend.entered.acquire(timeout=10)
    close_hard(sock)
    go.set()
    eventually(lambda: len(live.entries("inst:inst-1")) == 1)
    assert live.credits()["total"] == 9
    assert live.analyze(job="j").charged == 0
    live.assert_balanced()


def test_an_unlimited_tier_says_null(start, backend: FakeBackend) -> None:
    with start(backend, settings="[tiers.core]\n") as live:
        seen = live.analyze().json["credits"]
        assert (seen["remaining"], seen["total"], seen["gemini_remaining"]) == (None, None, None)
        assert seen["purchased"] == 0
        live.assert_balanced()


def test_the_allowance_is_spent_before_purchased_credits(start, backend: FakeBackend) -> None:
    with start(backend, settings="[tiers.core]\nlifetime_credits = 2\n") as live:
        live.call("POST", "/relay/users/ann/credits", headers=OPERATOR, json={"amount": 2, "reason": "gift"})
        seen = [live.analyze(user("ann")).json["credits"] for _ in range(4)]
        assert [(view["remaining"], view["purchased"], view["total"]) for view in seen] == [
            (1, 2, 3),
            (0, 2, 2),
            (0, 1, 1),
            (0, 0, 0),
        ]
        assert_error(live.analyze(user("ann")), 402, "insufficient_credits")
        assert [entry["bucket"] for entry in live.entries("user:ann")] == [
            "purchased",
            *["lifetime"] * 2,
            *["purchased"] * 2,
        ]
        live.assert_balanced()


def test_the_history_is_paged_newest_first(live: Live) -> None:
    for _ in range(5):
        live.analyze()
    who = install("inst-1")
    first = live.get("/relay/credits/history?limit=2", who).json
    assert [entry["n"] for entry in first["entries"]] == [5, 4]
    assert {"n", "at", "kind", "bucket", "amount", "balance_after", "reference"} <= first["entries"][0].keys()
    second = live.get(f"/relay/credits/history?limit=9&before={first['next']}", who).json
    assert [entry["n"] for entry in second["entries"]] == [3, 2, 1]
    assert second["next"] is None
    assert live.get("/relay/credits/history", install("inst-2")).json["entries"] == []


def test_balances_and_paid_jobs_survive_a_restart(tmp_path) -> None:
    with running(tmp_path, [FakeBackend()]) as live:
        live.analyze(job="j")
    with running(tmp_path, [FakeBackend()]) as live:
        assert live.credits()["total"] == 9
        assert live.analyze(job="j").charged == 0
        live.assert_balanced()


def test_a_blocked_account_is_403(live: Live, backend: FakeBackend) -> None:
    live.analyze()
    live.edit("inst:inst-1", blocked=True)
    assert_error(live.analyze(), 403, "blocked")
    assert backend.calls == 1


@pytest.mark.parametrize("size", [7, 100_000])
def test_a_chunked_body_is_read_whole(live: Live, backend: FakeBackend, size: int) -> None:
    body = b'{"prompt":"%s"}' % (b"x" * size)
    head = "POST /relay/analyze HTTP/1.1\r\nHost: x\r\nX-Recap-Install-Id: a\r\nContent-Type: application/json\r\n"
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[n : n + 999]), body[n : n + 999]) for n in range(0, len(body), 999))
    reply = live.raw(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n")
    assert (reply.status, reply.charged) == (200, 1)
    assert len(backend.asked[0].messages[0]["content"]) == size


def test_a_conversation_of_10_000_messages_passes_and_one_more_does_not(start) -> None:
    backend = FakeBackend()
    with start(backend) as live:
        messages = [{"role": "user", "content": f"message {n}"} for n in range(10_001)]
        headers = install("i")
        reply = live.call("POST", "/relay/analyze", headers=headers, json={"messages": messages[:-1]})
        assert reply.charged == 1
        assert len(backend.asked[0].messages) == 10_000
        assert_error(live.call("POST", "/relay/analyze", headers=headers, json={"messages": messages}), 422, "invalid")
