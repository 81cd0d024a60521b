"""Jobs in the background: accepted at once, done in their turn, charged once, whatever happens meanwhile."""

import threading
import time

import pytest

from relay.errors import BlockedByUpstream, OutcomeUnknown, UpstreamFailed
from tests.flows.background import Pause, cancel, ended, job, submit, upload
from tests.flows.live import FakeBackend, assert_error, at_once, eventually, install


def test_a_job_is_accepted_at_once_and_charged_when_it_is_done(live, backend):
    backend.act = pause = Pause()
    reply = submit(live, job="j-1")
    assert reply.status == 202
    assert reply.headers["location"] == "/relay/jobs/j-1"
    body = reply.json
    assert body["job"].keys() == {"id", "server_job_id", "task", "state", "position", "created_at"}
    assert (body["job"]["id"], body["job"]["state"], body["job"]["position"]) == ("j-1", "queued", 1)
    assert (body["credits"]["charged"], body["credits"]["held"], body["credits"]["total"]) == (0, 1, 9)
    assert "callback_secret" not in body
    assert backend.entered.acquire(timeout=10)
    running = job(live, "j-1")
    assert (running["state"], running["result"], running["finished_at"]) == ("processing", None, None)
    pause.go.set()
    done = ended(live, reply)
    assert done["state"] == "completed"
    assert done["result"]["text"] == "the answer of fake"
    assert (done["progress"], done["position"], done["error"]) == (1.0, None, None)
    assert (done["meta"]["backend"], done["meta"]["model"]) == ("fake", "fake-mind")
    assert [attempt["code"] for attempt in done["meta"]["attempts"]] == ["ok"]
    assert done["receipt"]["price"] == {"credits": 1}
    assert job(live, done["server_job_id"]) == done, "both names of a job are good"
    assert live.credits()["total"] == 9
    live.assert_balanced()


def test_a_recap_costs_one_credit_and_knows_who_says_what(start):
    backend = FakeBackend(tasks=("transcribe", "analyze", "diarize"))
    with start(backend) as live:
        done = ended(live, upload(live, task="recap", diarize="true", schema=""))
        assert done["state"] == "completed", done["error"]
        result = done["result"]
        assert result.keys() == {"transcript", "speakers", "analysis"}
        assert {speaker["id"] for speaker in result["speakers"]} == {"S1", "S2"}
        assert {segment["speaker"] for segment in result["transcript"]["segments"]} <= {"S1", "S2"}
        assert result["analysis"].keys() >= {"text", "data", "usage"}
        assert backend.calls == 3
        assert backend.asked[2].transcript.startswith("S")
        assert live.credits()["total"] == 9
        live.assert_balanced()


def test_a_recap_without_diarize_names_no_speakers(live, backend):
    done = ended(live, upload(live, task="recap", prompt="What was decided?"))
    assert done["result"].keys() == {"transcript", "analysis"}
    assert backend.asked[1].messages[0]["content"] == "What was decided?"
    assert backend.asked[1].transcript == "the answer of fake"


def test_transcribe_and_diarize_run_as_jobs(start):
    backend = FakeBackend(tasks=("transcribe", "analyze", "diarize"))
    with start(backend) as live:
        heard = ended(live, upload(live, task="transcribe", language="en"))
        assert heard["result"]["segments"][0]["text"] == "the answer of fake"
        told_apart = ended(live, upload(live, task="diarize", max_speakers="2"))
        assert {segment["speaker"] for segment in told_apart["result"]["segments"]} == {"S1", "S2"}
        assert backend.asked[1].max_speakers == 2
        assert live.credits()["total"] == 8


def test_a_job_that_fails_costs_nothing_and_says_why(live, backend):
    backend.fail = UpstreamFailed("the model fell over")
    failed = ended(live, submit(live))
    assert failed["state"] == "failed"
    assert failed["result"] is None
    assert (failed["error"]["code"], failed["error"]["message"]) == ("upstream_failed", "the model fell over")
    assert [attempt["code"] for attempt in failed["meta"]["attempts"]] == ["upstream_failed"]
    assert live.credits()["total"] == 10
    live.assert_balanced()


def test_a_defect_fails_the_job_without_its_details(live, backend):
    backend.fail = KeyError("secret")
    failed = ended(live, submit(live))
    assert failed["state"] == "failed"
    assert "secret" not in failed["error"]["message"]
    live.assert_balanced()


def test_the_jobs_of_others_are_not_there(live):
    done = ended(live, submit(live, job="mine"))
    for name in ("mine", done["server_job_id"]):
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events")):
            reply = live.call(method, f"/relay/jobs/{name}{path}", headers=install("somebody-else"))
            assert_error(reply, 404, "not_found")
    assert live.get("/relay/jobs", install("somebody-else")).json["jobs"] == []


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [
        ({"task": "sing"}, 422, "invalid"),
        ({"task": "analyze"}, 422, "invalid"),
        ({"task": "analyze", "prompt": "x", "stream": True}, 422, "invalid"),
        ({"task": "analyze", "prompt": "x", "schema": {"type": "nonsense"}}, 422, "invalid"),
        ({"task": "transcribe"}, 422, "invalid"),
        ({"task": "recap", "url": "http://127.0.0.1/a.wav"}, 400, "url_not_allowed"),
        ({"task": "analyze", "prompt": "x", "callback_url": "http://127.0.0.1/"}, 400, "url_not_allowed"),
        ({"task": "analyze", "prompt": "x", "backend": "nobody"}, 404, "not_found"),
        ({"task": "analyze", "prompt": "x", "model": 7}, 422, "invalid"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_held(live, order, status, code):
    reply = live.call("POST", "/relay/jobs", headers=install("inst-1"), json=order)
    assert_error(reply, status, code)
    assert live.row("inst:inst-1") is None


def test_an_upload_that_is_no_recording_is_refused(live):
    assert_error(upload(live, task="transcribe", recording=b"no sound in here"), 415, "unsupported_media")
    assert_error(upload(live, task="analyze", prompt="x"), 422, "invalid")
    assert_error(upload(live, task="recap", schema="{"), 422, "invalid")
    assert_error(upload(live, task="recap", url="http://example.com/"), 422, "invalid")


def test_a_task_nobody_offers_is_told_at_once(live):
    assert_error(upload(live, task="diarize"), 503, "no_backend", origin="relay")
    assert_error(upload(live, task="recap", diarize="true"), 503, "no_backend", origin="relay")
    assert live.row("inst:inst-1") is None


def test_thirty_two_at_once_with_ten_credits_are_ten_jobs(live, backend):
    replies = at_once(32, lambda _: submit(live))
    assert sorted(reply.status for reply in replies) == [202] * 10 + [402] * 22
    for reply in replies:
        if reply.status == 202:
            assert ended(live, reply)["state"] == "completed"
    assert backend.calls == 10
    assert live.credits()["total"] == 0
    live.assert_balanced()


def test_two_submits_of_one_job_id_at_once_are_one_job(live, backend):
    backend.act = pause = Pause()
    replies = at_once(8, lambda _: submit(live, job="same"))
    assert sorted(reply.status for reply in replies) == [202] + [409] * 7
    assert {reply.code for reply in replies if reply.status == 409} == {"job_running"}
    pause.go.set()
    ended(live, next(reply for reply in replies if reply.status == 202))
    assert backend.calls == 1
    assert live.credits()["total"] == 9
    live.assert_balanced()


def test_a_paid_job_id_runs_again_for_free(live, backend):
    assert ended(live, submit(live, job="again"))["result"]["text"] == "the answer of fake"
    backend.text = "another answer"
    assert ended(live, submit(live, job="again"))["result"]["text"] == "another answer"
    assert live.analyze(job="again").charged == 0
    assert live.credits()["total"] == 9
    live.assert_balanced()


def test_a_running_job_is_cancelled_and_its_backend_interrupted(live, backend):
    backend.act = Pause()
    reply = submit(live, job="long")
    assert backend.entered.acquire(timeout=10)
    gone = cancel(live, "long").json["job"]
    assert (gone["state"], gone["error"]["code"]) == ("cancelled", "cancelled")
    eventually(lambda: backend.running == 0)
    assert ended(live, reply)["state"] == "cancelled"
    assert cancel(live, "long").json["job"] == gone | {"receipt": None}
    assert live.credits()["total"] == 10
    live.assert_balanced()


def test_a_waiting_job_is_cancelled_without_ever_running(start, backend):
    with start(backend, settings="[jobs]\nworkers = 1\n") as live:
        backend.act = pause = Pause()
        first = submit(live, job="first")
        assert backend.entered.acquire(timeout=10)
        second, third = submit(live, job="second"), submit(live, job="third")
        assert (job(live, "second")["position"], job(live, "third")["position"]) == (1, 2)
        assert cancel(live, "second").json["job"]["state"] == "cancelled"
        assert job(live, "third")["position"] == 1
        pause.go.set()
        assert [ended(live, reply)["state"] for reply in (first, second, third)] == [
            "completed",
            "cancelled",
            "completed",
        ]
        assert backend.calls == 2
        assert live.credits()["total"] == 8
        live.assert_balanced()


def test_cancelling_what_has_ended_changes_nothing(live):
    done = ended(live, submit(live))
    reply = cancel(live, done["id"])
    assert reply.status == 200
    assert reply.json["job"] == done
    assert live.credits()["total"] == 9


def test_of_a_cancel_and_an_answer_at_once_exactly_one_wins(live, backend):
    outcomes = set()
    live.edit("inst:inst-1", purchased_balance=0)
    for n in range(40):
        who = f"racer-{n}"
        backend.act = pause = Pause()
        reply = submit(live, who)
        assert backend.entered.acquire(timeout=10)

        def race(i, pause=pause, name=reply.json["job"]["id"], who=who, n=n):
            if i == 0:
                time.sleep(n % 10 / 2000)
                return cancel(live, name, who).json["job"]["state"]
            pause.go.set()
            return None

        said = at_once(2, race)[0]
        state = ended(live, reply, who)["state"]
        assert said == state
        assert live.credits(who)["total"] == (9 if state == "completed" else 10)
        outcomes.add(state)
    assert outcomes <= {"completed", "cancelled"}
    live.assert_balanced()


def test_a_full_line_is_429_and_costs_nothing(start, backend):
    with start(backend, settings="[jobs]\nworkers = 1\nmax_queued = 3\nmax_queued_per_account = 2\n") as live:
        backend.act = pause = Pause()
        replies = [submit(live)]
        assert backend.entered.acquire(timeout=10)
        replies += [submit(live), submit(live)]
        own = submit(live)
        assert_error(own, 429, "queue_full", origin="relay")
        assert own.error["details"]["position"] == 3
        assert own.error["details"]["estimate_seconds"] > 0
        assert submit(live, "inst-2").status == 202
        assert_error(submit(live, "inst-3"), 429, "queue_full", origin="relay")
        assert live.credits("inst-3")["total"] == 10
        live.edit("inst:inst-3", lifetime_consumed=10)
        assert_error(submit(live, "inst-3"), 402, "insufficient_credits")
        live.edit("inst:inst-3", lifetime_consumed=0)
        pause.go.set()
        assert all(ended(live, reply)["state"] == "completed" for reply in replies)
        eventually(lambda: backend.calls == 4)
        live.assert_balanced()


def test_accounts_take_turns(start, backend):
    with start(backend, settings="[jobs]\nworkers = 1\n") as live:
        backend.act = pause = Pause()
        submit(live, "greedy", prompt="first")
        assert backend.entered.acquire(timeout=10)
        for n in range(4):
            submit(live, "greedy", prompt=f"greedy {n}")
        modest = submit(live, "modest", prompt="modest")
        assert modest.json["job"]["position"] == 2
        pause.go.set()
        ended(live, modest, "modest")
        eventually(lambda: backend.calls == 6)
        asked = [request.messages[0]["content"] for request in backend.asked]
        assert asked[:3] == ["first", "greedy 0", "modest"]
        eventually(lambda: live.holds() == 0)


def test_a_job_waits_for_a_backend_whose_queue_is_full(start):
    backend = FakeBackend(max_concurrent=1, queue_size=0)
    with start(backend) as live:
        backend.act = pause = Pause()
        first, second = submit(live), submit(live)
        assert backend.entered.acquire(timeout=10)
        eventually(lambda: all(job(live, r.json["job"]["id"])["state"] == "processing" for r in (first, second)))
        pause.go.set()
        assert ended(live, first)["state"] == ended(live, second)["state"] == "completed"
        assert live.credits()["total"] == 8


@pytest.mark.parametrize("failure", [OutcomeUnknown("it may have happened"), BlockedByUpstream("no")])
def test_a_failure_that_is_final_is_not_waited_out_because_another_queue_is_full(start, failure):
    full, other = FakeBackend("full", max_concurrent=1, queue_size=0), FakeBackend("other")
    full.gate, other.fail = threading.Event(), failure
    with start(full, other) as live:
        caller = threading.Thread(target=lambda: live.analyze("somebody", backend="full"))
        caller.start()
        assert full.entered.acquire(timeout=10)
        failed = ended(live, submit(live))
        assert (failed["state"], failed["error"]["code"]) == ("failed", failure.code)
        assert [attempt["code"] for attempt in failed["meta"]["attempts"]] == ["queue_full", failure.code]
        assert other.calls == 1
        assert live.credits()["total"] == 10
        full.gate.set()
        caller.join(20)
        live.assert_balanced()


def test_a_retry_under_one_key_is_one_job(live, backend):
    first = submit(live, key="key-1")
    again = submit(live, key="key-1")
    assert again.body == first.body
    assert again.status == 202
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert_error(submit(live, key="key-1", prompt="Something else."), 422, "idempotency_mismatch")
    ended(live, first)
    assert backend.calls == 1
    assert live.credits()["total"] == 9


def test_a_refused_submit_frees_its_key(live):
    assert_error(submit(live, key="key-1", backend="nobody"), 404, "not_found")
    assert submit(live, key="key-1").status == 202


def test_what_a_job_leaves_behind_is_only_its_result(live, backend):
    def work(ctx):
        ctx.pieces["part"] = b"done"

    backend.act = work
    done = ended(live, upload(live, task="recap"))
    eventually(lambda: live.core.storage.read(lambda tx: tx.count("pieces")) == 0)
    row = live.core.storage.read(lambda tx: tx.get("work", done["server_job_id"]))
    assert row.keys().isdisjoint({"upload", "request", "open_at", "callback_secret"})
    eventually(lambda: not list((live.core.data_dir / "scratch").iterdir()))
