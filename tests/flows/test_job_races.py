"""Jobs cancelled and submitted again while they come or go: no worker is harmed, no job lost, none runs on unseen."""

import random
import threading
import time

from relay.services.jobs import ending
from relay.services.jobs import submit as desk
from tests.flows.background import Pause, cancel, ended, job, submit
from tests.flows.live import at_once, eventually


class Stopped:
    """Whoever comes first to this point of the code stops there until `go`."""

    def __init__(self, monkeypatch, module, point) -> None:
        self.point, self.reached, self.go = point, threading.Event(), threading.Event()
        monkeypatch.setattr(module, "crash_point", self)

    def __call__(self, name) -> None:
        if name == self.point and not self.reached.is_set():
            self.reached.set()
            assert self.go.wait(20)


def test_a_job_cancelled_before_it_is_in_the_line_does_not_take_the_place_of_the_next(start, backend, monkeypatch):
    with start(backend, settings="[jobs]\nworkers = 1\n") as live:
        backend.act = pause = Pause()
        busy = submit(live)
        assert backend.entered.acquire(timeout=10)
        stopped = Stopped(monkeypatch, desk, "jobs.accepted")
        first = threading.Thread(target=lambda: submit(live, job="raced"))
        first.start()
        assert stopped.reached.wait(10)
        assert cancel(live, "raced").json["job"]["state"] == "cancelled"
        second = submit(live, job="raced", prompt="the second")
        stopped.go.set()
        first.join(20)
        pause.go.set()
        assert [ended(live, reply)["state"] for reply in (busy, second, submit(live))] == ["completed"] * 3
        assert backend.asked[1].messages[0]["content"] == "the second"
        assert backend.calls == 3
        live.assert_balanced()


def test_a_cancel_that_ends_late_does_not_take_the_next_job_out_of_the_line(start, backend, monkeypatch):
    with start(backend, settings="[jobs]\nworkers = 1\n") as live:
        backend.act = pause = Pause()
        busy = submit(live)
        assert backend.entered.acquire(timeout=10)
        submit(live, job="raced")
        stopped = Stopped(monkeypatch, ending, "jobs.ended")
        late = threading.Thread(target=lambda: cancel(live, "raced"))
        late.start()
        assert stopped.reached.wait(10)
        second = submit(live, job="raced")
        stopped.go.set()
        late.join(20)
        pause.go.set()
        assert [ended(live, reply)["state"] for reply in (busy, second)] == ["completed"] * 2
        live.assert_balanced()


def test_a_cancel_that_ends_late_still_interrupts_what_runs(start, backend, monkeypatch):
    with start(backend) as live:
        backend.act = Pause()
        submit(live, job="raced")
        assert backend.entered.acquire(timeout=10)
        stopped = Stopped(monkeypatch, ending, "jobs.ended")
        late = threading.Thread(target=lambda: cancel(live, "raced"))
        late.start()
        assert stopped.reached.wait(10)
        backend.act = lambda _ctx: None
        assert ended(live, submit(live, job="raced"))["state"] == "completed"
        stopped.go.set()
        late.join(20)
        eventually(lambda: backend.running == 0)
        assert live.credits()["total"] == 9
        live.assert_balanced()


def test_cancelling_a_job_on_its_way_into_the_line_harms_no_worker_and_loses_no_job(start, backend, monkeypatch):
    """Between the commit and the line: on a busy machine there is time for a cancel and another submit."""
    monkeypatch.setattr(desk, "crash_point", lambda _name: time.sleep(random.random() / 100))
    with start(backend, settings="[jobs]\nworkers = 2\n") as live:
        backend.act = pause = Pause()
        busy = [submit(live), submit(live)]
        eventually(lambda: backend.running == 2)

        def race(i):
            for _ in range(25):
                assert (cancel(live, "raced") if i % 2 else submit(live, job="raced")).status in {200, 202, 404, 409}

        at_once(6, race)
        assert submit(live, job="raced").status in {202, 409}, "it waits by now"
        pause.go.set()
        assert [ended(live, reply)["state"] for reply in busy] == ["completed"] * 2
        eventually(lambda: job(live, "raced")["state"] == "completed")
        assert [ended(live, submit(live))["state"] for _ in range(4)] == ["completed"] * 4
        assert all(thread.is_alive() for thread in live.core.jobs._runner._threads)
        line = live.core.jobs._line
        assert (len(line._waiting), line._entries, line._reserved.total()) == (0, {}, 0)
        assert backend.calls == 7
        assert live.credits()["total"] == 3
        live.assert_balanced()
