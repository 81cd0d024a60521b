"""Looking at jobs: their events, the list, what is kept of them and for how long."""

import threading

from relay.errors import UpstreamFailed
from tests.flows.background import Pause, cancel, ended, events, job, submit
from tests.flows.live import assert_error, eventually, install


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


def listen(live, name):
    sock = live.connect()
    sock.sendall(f"GET /relay/jobs/{name}/events HTTP/1.1\r\nHost: x\r\nX-Recap-Install-Id: inst-1\r\n\r\n".encode())
    assert sock.recv(20).startswith(b"HTTP/1.1 200")
    return sock


def test_listeners_take_a_quarter_of_the_places_and_give_them_back(start, backend):
    with start(backend) as live:
        backend.act = pause = Pause()
        reply = submit(live, job="watched")
        assert backend.entered.acquire(timeout=10)
        backend.act = lambda _ctx: None
        places = live.core.infer._places._value
        sockets = [listen(live, "watched") for _ in range(places // 4)]
        assert_error(live.get("/relay/jobs/watched/events", install("inst-1")), 429, "queue_full", origin="relay")
        assert live.core.infer._places._value == places - places // 4
        assert live.analyze("somebody-else").status == 200
        for sock in sockets:
            sock.close()
        eventually(lambda: live.core.infer._places._value == places)
        listen(live, "watched").close()
        pause.go.set()
        ended(live, reply)


def test_listening_counts_among_the_callers_concurrent_calls(start, backend):
    limits = "[limits]\nrequests_per_minute = 0\nconcurrent_calls = 1\nnew_installs_per_address_per_hour = 0\n"
    with start(backend, limits=limits) as live:
        backend.act = pause = Pause()
        submit(live, job="watched")
        with listen(live, "watched"):
            assert_error(live.get("/relay/jobs/watched/events", install("inst-1")), 429, "too_many_calls")
            assert_error(live.analyze(), 429, "too_many_calls")
            assert job(live, "watched")["state"] in {"queued", "processing"}, "looking is free"
            assert submit(live, "somebody-else").status == 202
            pause.go.set()
            eventually(lambda: live.analyze().status == 200)


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
