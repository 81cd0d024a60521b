"""Jobs in the background: accepted at once, done in their turn, charged once, whatever happens meanwhile."""

import json
import threading
import time

import pytest

from relay.errors import UpstreamFailed
from tests.flows.live import FakeBackend, assert_error, at_once, eventually, install, multipart, wav

RECORDING = wav(2.0)
ENDED = {"completed", "failed", "cancelled"}


class Pause:
    """What a backend does while it works: wait for `go`, unless the call is interrupted."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __call__(self, ctx) -> None:
        while not self.go.wait(0.01):
            ctx.remaining()


def submit(live, who="inst-1", job=None, key=None, **order):
    headers = install(who)
    if job is not None:
        headers["X-Recap-Job-Id"] = job
    if key is not None:
        headers["Idempotency-Key"] = key
    return live.call("POST", "/relay/jobs", headers=headers, json={"task": "analyze", "prompt": "Say it."} | order)


def upload(live, who="inst-1", job=None, recording=RECORDING, **fields):
    headers = install(who)
    if job is not None:
        headers["X-Recap-Job-Id"] = job
    body, headers["Content-Type"] = multipart(recording, **fields)
    return live.call("POST", "/relay/jobs", body, headers)


def job(live, name, who="inst-1"):
    reply = live.get(f"/relay/jobs/{name}", install(who))
    assert reply.status == 200, reply.body
    return reply.json["job"]


def ended(live, reply, who="inst-1"):
    """The job of a 202, once it has ended."""
    assert reply.status == 202, reply.body
    name = reply.json["job"]["id"]
    eventually(lambda: job(live, name, who)["state"] in ENDED)
    return job(live, name, who)


def cancel(live, name, who="inst-1"):
    return live.call("DELETE", f"/relay/jobs/{name}", headers=install(who))


def events(live, name, who="inst-1"):
    """(event, data) of the whole stream; keep-alives left out."""
    reply = live.get(f"/relay/jobs/{name}/events", install(who))
    assert reply.headers["content-type"] == "text/event-stream"
    return parse(reply.body)


def parse(stream):
    frames = [frame.split("\n") for frame in stream.decode().split("\n\n") if frame and not frame.startswith(":")]
    return [(head.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for head, data in frames]


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


def test_events_tell_the_present_state_then_each_change_then_the_end(start, backend):
    with start(backend, settings="[jobs]\nworkers = 1\n") as live:
        go, half = threading.Event(), threading.Event()

        def work(ctx):
            ctx.progress(0.5)
            ctx.progress(0.25)
            half.set()
            while not go.wait(0.01):
                ctx.remaining()

        backend.act = pause = Pause()
        submit(live, job="before")
        assert backend.entered.acquire(timeout=10)
        submit(live, job="listened")
        told = []
        listener = threading.Thread(target=lambda: told.extend(events(live, "listened")))
        listener.start()
        eventually(lambda: live.core.infer._places._value < 24)
        backend.act = work
        pause.go.set()
        assert half.wait(10)
        assert job(live, "listened")["progress"] == 0.5, "progress never goes back"
        go.set()
        listener.join(20)
        assert told[0][0] == "state"
        assert (told[0][1]["state"], told[0][1]["position"]) == ("queued", 1)
        states = [data["state"] for name, data in told if name in {"state", "progress"}]
        assert states == sorted(states, key=["queued", "processing", "completed"].index)
        assert told[-1][0] == "done"
        assert told[-1][1]["job"] == job(live, "listened")
        assert told[-1][1]["job"]["result"]["text"] == "the answer of fake"


def test_events_of_an_ended_job_end_at_once(live):
    done = ended(live, submit(live))
    assert [name for name, _ in events(live, done["id"])] == ["state", "done"]


def test_listeners_are_bounded_and_give_their_place_back(start, backend):
    with start(backend) as live:
        backend.act = pause = Pause()
        reply = submit(live, job="watched")
        places = live.core.infer._places._value
        sockets = [live.connect() for _ in range(places)]
        request = b"GET /relay/jobs/watched/events HTTP/1.1\r\nHost: x\r\nX-Recap-Install-Id: inst-1\r\n\r\n"
        for sock in sockets:
            sock.sendall(request)
            assert sock.recv(20).startswith(b"HTTP/1.1 200")
        assert_error(live.get("/relay/jobs/watched/events", install("inst-1")), 429, "queue_full", origin="relay")
        for sock in sockets:
            sock.close()
        eventually(lambda: live.core.infer._places._value == places)
        pause.go.set()
        ended(live, reply)


def test_own_jobs_are_listed_newest_first_in_pages(live, backend):
    for n in range(5):
        ended(live, submit(live, job=f"job-{n}"))
    backend.fail = UpstreamFailed("no")
    ended(live, submit(live, job="broken"))
    assert live.analyze(job="waited-for").status == 502
    backend.fail = None
    backend.act = pause = Pause()
    running = submit(live, job="running")
    eventually(lambda: job(live, "running")["state"] == "processing")
    seen, before = [], None
    while True:
        query = "/relay/jobs?limit=3" + (f"&before={before}" if before else "")
        page = live.get(query, install("inst-1")).json
        seen += page["jobs"]
        assert len(page["jobs"]) <= 3
        before = page["next"]
        if before is None:
            break
    states = {view["id"]: view["state"] for view in seen}
    assert len(seen) == len(states) == 8
    assert states == {f"job-{n}": "completed" for n in range(5)} | {
        "broken": "failed",
        "waited-for": "failed",
        "running": "processing",
    }
    assert [view["created_at"] for view in seen] == sorted((view["created_at"] for view in seen), reverse=True)
    assert "result" not in seen[0]
    failed = live.get("/relay/jobs?state=failed", install("inst-1")).json["jobs"]
    assert {view["id"] for view in failed} == {"broken", "waited-for"}
    for query in ("state=lost", "before=x", "limit=0"):
        assert_error(live.get(f"/relay/jobs?{query}", install("inst-1")), 400, "bad_request")
    pause.go.set()
    ended(live, running)


def test_calls_that_wait_for_their_answer_are_shown_too(live, backend):
    assert live.analyze(job="sync").status == 200
    view = job(live, "sync")
    assert (view["state"], view["task"], view["result"]) == ("completed", "analyze", None)
    assert view["meta"]["backend"] == "fake"
    backend.act = pause = Pause()
    caller = threading.Thread(target=lambda: live.analyze(job="waits"))
    caller.start()
    eventually(lambda: backend.running == 1)
    assert job(live, "waits")["state"] == "processing"
    assert_error(cancel(live, "waits"), 409, "not_a_background_job")
    pause.go.set()
    caller.join(20)
    assert job(live, "waits")["state"] == "completed"


def test_a_result_past_its_time_is_gone_and_the_record_says_so(live):
    done = ended(live, submit(live, job="old"))

    def age(tx):
        row = tx.get("work", done["server_job_id"])
        tx.put("work", done["server_job_id"], row | {"finished_at": "2020-01-01T00:00:00Z"})

    live.core.storage.transact(age)
    expired = job(live, "old")
    assert (expired["state"], expired["result"], expired["result_expired"]) == ("completed", None, True)
    live.core.jobs.prune()
    assert live.core.storage.read(lambda tx: tx.get("work", done["server_job_id"])) is None
    assert job(live, "old")["state"] == "completed", "the record of the job is older than its result"


def test_what_a_job_leaves_behind_is_only_its_result(live, backend):
    def work(ctx):
        ctx.pieces["part"] = b"done"

    backend.act = work
    done = ended(live, upload(live, task="recap"))
    eventually(lambda: live.core.storage.read(lambda tx: tx.count("pieces")) == 0)
    row = live.core.storage.read(lambda tx: tx.get("work", done["server_job_id"]))
    assert row.keys().isdisjoint({"upload", "request", "open_at", "callback_secret"})
    eventually(lambda: not list((live.core.data_dir / "scratch").iterdir()))
