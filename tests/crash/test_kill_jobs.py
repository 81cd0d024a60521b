"""kill -9 with jobs in the background: each ends once, charged once or given back; no finished part is done again."""

import json
import random
import threading
import time

import pytest
import urllib3

from tests.crash.harness import CREDITS, HEADERS, TIMEOUT, Nursery, credits_of, ledger_verify
from tests.crash.test_kill import ALL
from tests.flows.live import multipart, wav
from tests.loopback import json_reply

POINTS = [name for name in ALL if name.startswith("jobs.")]
SHARED = ["meter.held", "infer.calling", "meter.settled", "meter.released", "jsonfile.journal-synced"]
KEPT = {"jobs.piece_stored": (1, 1), "jobs.stage_kept": (1, 1), "jobs.answered": (1, 1), "jobs.result_stored": (1, 1)}
"""How often each upstream is asked in all for a recap that is killed there once: (transcribe, chat)."""
RECORDING = wav(0.2)
LONG = "word " * 1000
ROUNDS = 15


class Upstream:
    """Hears and answers, except the jobs whose number ends in 7: it fails them. `asked` counts what reached it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, request):
        if request.method == "GET":
            # Announced services are not asked with silence, which would be counted.
            return json_reply({"services": {"transcribe": True, "chat": True}})
        if "transcri" in request.path:
            self.asked.append("transcribe")
            heard = {"text": LONG, "segments": [{"start": 0.0, "end": 0.2, "text": LONG}], "language": "en"}
            return json_reply(heard | {"duration": 0.2})
        self.asked.append("chat")
        if request.json()["messages"][0]["content"].endswith("7"):
            return json_reply({"error": {"message": "no"}}, 400)
        choice = {"message": {"role": "assistant", "content": "the answer"}, "finish_reason": "stop"}
        return json_reply({"choices": [choice], "model": "m", "usage": {}})


@pytest.fixture
def upstream():
    return Upstream()


@pytest.fixture
def nursery(tmp_path, upstream):
    with Nursery(tmp_path) as nursery:
        nursery.upstream.answer = upstream
        yield nursery


def submit(pool, url, number):
    """The job's server id; None when no answer came. Every second job is named by nobody: its key alone knows it."""
    body, kind = multipart(RECORDING, task="recap", prompt=f"job {number}")
    headers = HEADERS | {"Content-Type": kind, "Idempotency-Key": f"key-{number}"}
    if number % 2:
        headers["X-Recap-Job-Id"] = f"job-{number}"
    try:
        answer = pool.request("POST", f"{url}/relay/jobs", body=body, headers=headers, timeout=TIMEOUT)
    except urllib3.exceptions.HTTPError:
        return None
    assert answer.status == 202, answer.data
    return answer.json()["job"]["server_job_id"]


def look(pool, url, job):
    answer = pool.request("GET", f"{url}/relay/jobs/{job}", headers=HEADERS, timeout=TIMEOUT)
    assert answer.status == 200, answer.data
    return answer.json()["job"]


class Submitters:
    """`accepted`: number to server id of what was answered 202; `asked`: all that were sent."""

    def __init__(self) -> None:
        self.asked: set[int] = set()
        self.accepted: dict[int, str] = {}
        self._lock = threading.Lock()

    def run(self, url, threads=4, each=5):
        running = [threading.Thread(target=self._loop, args=(url, each)) for _ in range(threads)]
        for thread in running:
            thread.start()

        def end() -> None:
            for thread in running:
                thread.join(60)

        return end

    def _loop(self, url, each) -> None:
        with urllib3.PoolManager(maxsize=1, retries=False) as pool:
            for _ in range(each):
                with self._lock:
                    number = len(self.asked) + 1
                    self.asked.add(number)
                job = submit(pool, url, number)
                if job is None:
                    return
                self.accepted[number] = job


@pytest.mark.parametrize("point", POINTS + SHARED)
def test_a_kill_at_a_named_point(nursery, point):
    jobs = Submitters()
    end = jobs.run(nursery.start(f"{point}:2"))
    reached = nursery.wait(20)
    end()
    assert reached, f"{point} was never reached"
    settle_jobs(nursery, jobs)


@pytest.mark.parametrize("point", sorted(KEPT))
def test_what_was_finished_before_the_kill_is_not_done_again(nursery, upstream, point):
    with urllib3.PoolManager(retries=False) as pool:
        job = submit(pool, nursery.start(f"{point}:1"), 1)
        assert nursery.wait(20)
        url = nursery.start()
        job = submit(pool, url, 1) or job
        finish(pool, url, [job])
    assert (upstream.asked.count("transcribe"), upstream.asked.count("chat")) == KEPT[point]


@pytest.mark.timeout(300)
def test_kills_at_random_moments(nursery):
    rng, jobs = random.Random(11), Submitters()
    for _ in range(ROUNDS):
        end = jobs.run(nursery.start())
        time.sleep(rng.uniform(0.01, 0.3))
        nursery.kill()
        end()
    assert jobs.accepted
    settle_jobs(nursery, jobs)


def finish(pool, url, jobs):
    """The jobs, once all have ended."""
    until = time.monotonic() + 60
    while True:
        views = [look(pool, url, job) for job in jobs]
        if all(view["state"] in {"completed", "failed"} for view in views):
            return views
        assert time.monotonic() < until, views
        time.sleep(0.02)


def settle_jobs(nursery, jobs) -> None:
    url = nursery.start()
    with urllib3.PoolManager(retries=False) as pool:
        for number in sorted(jobs.asked):
            job = submit(pool, url, number)
            assert job is not None
            assert jobs.accepted.setdefault(number, job) == job, "the job accepted before is the job now"
        views = finish(pool, url, [jobs.accepted[number] for number in sorted(jobs.asked)])
        for number, view in zip(sorted(jobs.asked), views, strict=True):
            assert view["state"] == ("failed" if number % 10 == 7 else "completed"), json.dumps(view)[:2000]
            assert (view["result"] is not None) == (view["state"] == "completed")
    done = sum(view["state"] == "completed" for view in views)
    seen = credits_of(url)
    assert (CREDITS - seen["total"], seen["held"]) == (done, 0), "each answered job is charged exactly once"
    nursery.kill()
    report = ledger_verify(nursery.folder)
    assert report.returncode == 0, report.stdout
