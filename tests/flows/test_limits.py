"""How often, how many at once, from where; and that nobody's slow call keeps the others waiting."""

import threading

from relay.errors import UpstreamFailed
from tests.flows.live import FakeBackend, Live, assert_error, at_once, eventually, install, read_socket, user

JSON = {"Content-Type": "application/json"}


def post(live: Live, body: bytes, content_type: str = "application/json"):
    return live.call("POST", "/relay/analyze", body, {"Content-Type": content_type} | install("inst-1"))


def limits(**given: int) -> str:
    names = ("requests_per_minute", "concurrent_calls", "new_installs_per_address_per_hour")
    return "[limits]\n" + "".join(f"{name} = {given.get(name, 0)}\n" for name in names)


def test_requests_per_minute_are_per_caller(start, backend: FakeBackend) -> None:
    with start(backend, limits=limits(requests_per_minute=3)) as live:
        assert [live.get("/relay/credits", install("a")).status for _ in range(3)] == [200] * 3
        assert_error(live.get("/relay/credits", install("a")), 429, "rate_limited")
        reply = live.analyze("a")
        assert_error(reply, 429, "rate_limited")
        assert reply.error["retryable"] is True
        assert live.analyze("b").status == 200
        assert backend.calls == 1


def test_concurrent_calls_are_per_caller(start, backend: FakeBackend) -> None:
    backend.gate = threading.Event()
    with start(backend, limits=limits(concurrent_calls=2)) as live:
        threads = [threading.Thread(target=live.analyze, args=("a",)) for _ in range(2)]
        for thread in threads:
            thread.start()
            assert backend.entered.acquire(timeout=10)
        assert_error(live.analyze("a"), 429, "too_many_calls")
        assert_error(live.transcribe("a"), 429, "too_many_calls")
        assert live.credits("a")["held"] == 2, "reading is no call"
        backend.gate.set()
        for thread in threads:
            thread.join(10)
        assert live.analyze("a").status == 200
        assert live.analyze("a", prompt=7).status == 422
        assert [live.analyze("a").status for _ in range(3)] == [200] * 3, "a refused call leaves its place"


def test_new_installs_are_limited_per_address(start, backend: FakeBackend) -> None:
    with start(backend, limits=limits(new_installs_per_address_per_hour=2)) as live:
        assert [live.analyze(name).status for name in ("a", "b")] == [200, 200]
        assert_error(live.analyze("c"), 429, "rate_limited")
        assert live.row("inst:c") is None
        assert [live.analyze(name).status for name in ("a", "b")] == [200, 200]
        assert live.analyze(user("ann")).status == 200, "the operator's users are not installs"
        assert live.get("/relay/credits", install("c")).status == 200


def test_minting_keys_is_for_new_installs_what_a_call_is(start, backend: FakeBackend) -> None:
    def mint(who: dict[str, str]):
        return live.call("POST", "/relay/keys", headers=who, json={})

    limit = limits(new_installs_per_address_per_hour=2)
    with start(backend, limits=limit, plugins="[plugins.api_key]\n") as live:
        assert [mint(install(name)).status for name in ("a", "b")] == [201, 201]
        assert_error(mint(install("c")), 429, "rate_limited")
        assert live.get("/relay/keys", install("c")).json["keys"] == []
        assert live.analyze("a").status == 200, "it was counted with its first key"
        assert live.analyze("c").status == 429
        assert mint(install("a")).status == mint(user("ann")).status == 201


def forwarded(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


def test_a_forwarded_address_counts_only_from_a_trusted_proxy(start, backend: FakeBackend) -> None:
    with start(backend, limits=limits(new_installs_per_address_per_hour=1)) as live:
        assert live.analyze(install("a") | forwarded("198.51.100.1")).status == 200
        assert live.analyze(install("b") | forwarded("198.51.100.2")).status == 429


def test_a_trusted_proxy_tells_the_address(start, backend: FakeBackend) -> None:
    proxies = 'trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]\n'
    with start(backend, limits=limits(new_installs_per_address_per_hour=1), relay=proxies) as live:

        def status(name: str, address: str) -> int:
            return live.analyze(install(name) | forwarded(address)).status

        assert status("a", "198.51.100.1") == 200
        assert status("b", "203.0.113.9, 198.51.100.1") == 429, "what the caller wrote itself does not count"
        assert status("c", "198.51.100.1, 10.1.2.3") == 429, "a trusted hop behind it is looked through"
        assert status("d", "198.51.100.1:40123") == 429, "some proxies add the port"
        assert status("e", "[2001:db8::1]:443") == 200
        assert status("f", "2001:db8::2") == 429, "one customer has a whole /64"
        assert status("g", "198.51.100.2") == 200
        assert status("h", "nonsense") == 200, "the proxy itself"
        assert status("i", "") == 429


def test_the_queue_of_a_backend_is_bounded_and_a_full_one_answers_at_once(start) -> None:
    backend = FakeBackend(max_concurrent=1, queue_size=2)
    backend.gate = threading.Event()
    with start(backend) as live:
        threads = [threading.Thread(target=live.analyze, args=(f"i{n}",)) for n in range(3)]
        for thread in threads:
            thread.start()
        eventually(lambda: live.holds() == 3 and backend.running == 1)
        eventually(lambda: live.core.infer.slots["fake"].waiting == 2)
        reply = live.analyze("late")
        assert_error(reply, 429, "queue_full", "relay")
        assert reply.error["retryable"] is True
        backend.gate.set()
        for thread in threads:
            thread.join(10)
        assert (backend.calls, backend.most) == (3, 1)
        assert live.credits("late")["total"] == 10
        live.assert_balanced()


def test_a_caller_who_hangs_up_in_the_queue_leaves_it(start) -> None:
    backend = FakeBackend(max_concurrent=1, queue_size=2)
    backend.gate = threading.Event()
    with start(backend) as live:
        first = threading.Thread(target=live.analyze, args=("a",))
        first.start()
        assert backend.entered.acquire(timeout=10)
        body = b'{"prompt":"x"}'
        sock = live.connect()
        head = "POST /relay/analyze HTTP/1.1\r\nHost: x\r\nX-Recap-Install-Id: b\r\nContent-Type: application/json\r\n"
        sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        slots = live.core.infer.slots["fake"]
        eventually(lambda: slots.waiting == 1)
        sock.close()
        eventually(lambda: slots.waiting == 0)
        backend.gate.set()
        first.join(10)
        assert backend.calls == 1
        assert live.credits("b")["total"] == 10
        live.assert_balanced()


def test_slow_inference_leaves_threads_for_everybody_else(start, backend: FakeBackend) -> None:
    """24 of 32 threads may be in inference; the next call is refused, and health, credits and admin answer."""
    backend.gate = threading.Event()
    with start(backend) as live:
        threads = [threading.Thread(target=live.analyze, args=(f"i{n}",)) for n in range(24)]
        for thread in threads:
            thread.start()
        eventually(lambda: backend.running == 24)
        assert [reply.status for reply in at_once(12, lambda n: live.analyze(f"more{n}"))] == [429] * 12
        assert_error(live.analyze("late"), 429, "queue_full", "relay")
        assert live.get("/relay/health").status == 200
        assert live.get("/relay/ready").status == 200
        assert live.credits("late")["total"] == 10
        assert live.login()
        backend.gate.set()
        for thread in threads:
            thread.join(10)
        live.assert_balanced()


def test_a_call_has_a_time_limit(start, backend: FakeBackend) -> None:
    backend.gate = threading.Event()
    with start(backend, relay="call_seconds = 1\n") as live:
        assert_error(live.analyze(), 504, "upstream_timeout", "upstream")
        assert live.credits()["total"] == 10
        live.assert_balanced()


def test_the_checks_come_in_the_contracts_order(start, backend: FakeBackend) -> None:
    """401, 429 rate, the body, 404, 402, 429 queue, upstream."""
    backend.fail = UpstreamFailed("no")
    with start(backend, limits=limits(requests_per_minute=7), settings="[tiers.core]\nlifetime_credits = 0\n") as live:
        nobody = {"X-Recap-User-Id": "ann"}
        assert_error(live.call("POST", "/relay/analyze", b"{", nobody | JSON), 401, "unauthenticated")
        assert_error(post(live, b"{", "text/plain"), 415, "unsupported_media")
        assert_error(post(live, b"{"), 400, "bad_json")
        assert_error(post(live, b'{"prompt": 1, "model": "x", "backend": "x"}'), 422, "invalid")
        assert_error(live.analyze("inst-1", backend="nobody"), 404, "not_found")
        backend.names = ("one",)
        assert_error(live.analyze("inst-1", model="two"), 404, "not_found")
        assert_error(live.analyze("inst-1"), 402, "insufficient_credits")
        assert_error(live.analyze("inst-1"), 402, "insufficient_credits")
        assert backend.calls == 0
        reply = post(live, b"{")
        assert_error(reply, 429, "rate_limited")
        assert live.row("inst:inst-1") is None
        live.assert_balanced()


def test_a_caller_who_stops_sending_is_told_and_let_go(start, backend: FakeBackend) -> None:
    with start(backend, relay="body_seconds = 1\n") as live, live.connect() as sock:
        head = b"POST /relay/analyze HTTP/1.1\r\nHost: x\r\nX-Recap-Install-Id: a\r\nContent-Length: 100\r\n\r\n"
        sock.sendall(head + b'{"pro')
        assert_error(read_socket(sock), 400, "bad_request")
        assert live.get("/relay/health").status == 200
        assert backend.calls == 0
