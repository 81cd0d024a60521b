"""`GET /admin/hardware-queue`: who runs, who waits, and how well each backend is."""

import threading

from relay.errors import Unavailable, UpstreamFailed
from tests.flows.live import FakeBackend, assert_error, eventually


def queue(live, admin, name="fake"):
    reply = live.get("/admin/hardware-queue", admin)
    assert reply.status == 200, reply.body
    assert reply.json["ok"] is True
    return next(backend for backend in reply.json["backends"] if backend["name"] == name)


def test_it_is_for_admins(live) -> None:
    assert_error(live.get("/admin/hardware-queue"), 401, "unauthenticated")


def test_an_idle_backend(live) -> None:
    assert queue(live, live.login()) == {
        "name": "fake",
        "tasks": ["analyze", "transcribe"],
        "running": 0,
        "waiting": 0,
        "max_concurrent": 1000,
        "queue_size": 1000,
        "mean_seconds": None,
        "estimate_seconds": 0.0,
        "health": {"state": "closed", "consecutive_failures": 0, "demoted_until": None, "last_error": None},
        "calls": [],
    }


def test_it_shows_who_runs_and_who_waits_in_the_order_of_their_turns(start) -> None:
    backend = FakeBackend(max_concurrent=1, queue_size=10)
    backend.gate = threading.Event()
    with start(backend) as live:
        admin = live.login()
        slots = live.core.infer.slots["fake"]
        threads = []
        for n, name in enumerate(["a", "b", "b", "c"]):
            threads.append(threading.Thread(target=live.analyze, args=(name, f"job-{n}")))
            threads[-1].start()
            eventually(lambda n=n: slots.running + slots.waiting == n + 1)
        seen = queue(live, admin)
        assert (seen["running"], seen["waiting"]) == (1, 3)
        calls = seen["calls"]
        assert [(call["account"], call["state"], call["position"]) for call in calls] == [
            ("inst:a", "running", None),
            ("inst:b", "waiting", 1),
            ("inst:c", "waiting", 2),
            ("inst:b", "waiting", 3),
        ]
        assert all(call["server_job_id"].startswith("job_") and call["cost"] == 1.0 for call in calls)
        assert calls[0]["running_seconds"] >= 0
        assert calls[1]["estimate_seconds"] <= calls[2]["estimate_seconds"] <= calls[3]["estimate_seconds"]
        assert seen["estimate_seconds"] > 0
        backend.gate.set()
        for thread in threads:
            thread.join(10)
        seen = queue(live, admin)
        assert (seen["running"], seen["waiting"], seen["calls"]) == (0, 0, [])
        assert seen["mean_seconds"] is not None
        live.assert_balanced()


def test_a_full_queue_tells_the_caller_where_it_would_have_been(start) -> None:
    backend = FakeBackend(max_concurrent=1, queue_size=2)
    backend.gate = threading.Event()
    with start(backend) as live:
        slots = live.core.infer.slots["fake"]
        threads = [threading.Thread(target=live.analyze, args=(name,)) for name in "abc"]
        for n, thread in enumerate(threads):
            thread.start()
            eventually(lambda n=n: slots.running + slots.waiting == n + 1)
        reply = live.analyze("d")
        assert_error(reply, 429, "queue_full", "relay")
        details = reply.error["details"]
        assert (details["backend"], details["waiting"], details["position"]) == ("fake", 2, 3)
        assert details["estimate_seconds"] > 0
        backend.gate.set()
        for thread in threads:
            thread.join(10)
        live.assert_balanced()


def test_a_failing_backend_is_asked_last_and_says_so(start) -> None:
    one, two = FakeBackend("one"), FakeBackend("two")
    one.fail = UpstreamFailed("secret words of the service")
    with start(one, two) as live:
        for _ in range(5):
            assert live.analyze().json["meta"]["backend"] == "two"
        assert (one.calls, two.calls) == (5, 5)
        assert live.analyze().json["meta"]["backend"] == "two"
        assert one.calls == 5, "two is asked first now"
        admin = live.login()
        health = queue(live, admin, "one")["health"]
        assert (health["state"], health["consecutive_failures"], health["last_error"]) == ("open", 5, "upstream_failed")
        assert health["demoted_until"].endswith("Z")
        assert b"secret" not in live.get("/admin/hardware-queue", admin).body
        two.fail, one.fail = Unavailable("away"), None
        assert live.analyze().json["meta"]["backend"] == "one", "demoted, never refused"
        assert queue(live, admin, "one")["health"]["state"] == "closed"
        live.assert_balanced()


def test_callers_who_hang_up_do_not_make_a_backend_look_ill(start) -> None:
    backend = FakeBackend(max_concurrent=1, queue_size=20)
    backend.gate = threading.Event()
    with start(backend) as live:
        slots = live.core.infer.slots["fake"]
        body = b'{"prompt":"x"}'
        head = "POST /relay/analyze HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Recap-Install-Id: "
        socks = []
        for n in range(6):
            socks.append(live.connect())
            socks[-1].sendall(f"{head}i{n}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        eventually(lambda: slots.running + slots.waiting == 6)
        for sock in socks:
            sock.close()
        eventually(lambda: slots.running + slots.waiting == 0)
        eventually(lambda: live.holds() == 0)
        health = live.core.infer.breaker.state()["fake"]
        assert (health["state"], health["consecutive_failures"]) == ("closed", 0)
        live.assert_balanced()
