"""What anybody may ask, CORS, and the self-test that stands between start and ready."""

import pytest

from relay import __version__
from relay.errors import StorageFull, StorageUnavailable
from relay.http.relay.jobs import OwnJobs
from relay.http.relay.metered import Metered
from relay.http.selftest import METERED, self_test
from relay.ports.auth import Identity
from tests.flows.live import FakeBackend, Live, assert_error, install, running

EXPOSED = {"X-Request-Id", "Retry-After", "Idempotent-Replayed", "Location"}


def test_health_says_version_and_uptime(live: Live) -> None:
    reply = live.get("/relay/health")
    assert reply.status == 200
    assert reply.json.keys() == {"ok", "version", "uptime_seconds"}
    assert reply.json["ok"] is True
    assert reply.json["version"] == __version__
    assert reply.json["uptime_seconds"] >= 0
    assert reply.headers["x-request-id"]


def test_every_answer_has_a_request_id_of_its_own(live: Live) -> None:
    replies = [live.get(path) for path in ("/relay/health", "/relay/policy", "/nothing", "/relay/credits", "/admin/x")]
    replies.append(live.raw(b"nonsense\r\n\r\n"))
    assert len({reply.headers["x-request-id"] for reply in replies}) == len(replies)


def test_ready_asks_the_storage(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    assert live.get("/relay/ready").status == 200

    def broken() -> None:
        raise StorageUnavailable("the disk is away")

    monkeypatch.setattr(live.core.storage, "check", broken)
    assert_error(live.get("/relay/ready"), 503, "storage_unavailable", "relay")
    assert live.get("/relay/health").status == 200


def test_a_relay_that_is_stopping_is_not_ready(live: Live) -> None:
    live.core.draining.set()
    assert_error(live.get("/relay/ready"), 503, "draining", "relay")


def test_policy_tells_tiers_packages_limits_and_rules(start) -> None:
    pack = '[[packages]]\nid = "small"\ncredits = 20\nprice = "5.00"\ncurrency = "EUR"\n'
    with start(FakeBackend(), settings=pack) as live:
        body = live.get("/relay/policy").json
        core, pro = body["tiers"]["core"], body["tiers"]["pro"]
        assert (core["lifetime_credits"], core["lifetime_gemini"]) == (10, 5)
        assert (pro["monthly_credits"], pro["monthly_gemini"], pro["price"], pro["period_days"]) == (50, 25, "5.00", 30)
        assert body["packages"] == [{"id": "small", "credits": 20, "price": "5.00", "currency": "EUR"}]
        assert body["limits"]["max_upload_mb"] == 2048
        assert body["jobs"]["free_window_hours"] == 24
        assert {"abort", "refund"} <= body["rules"].keys()


def exposed(reply) -> set[str]:
    return set(reply.headers.get("access-control-expose-headers", "").split(", "))


def test_cors_is_on_relay_answers_errors_included(live: Live) -> None:
    origin = {"Origin": "https://app.example"}
    replies = [
        live.get("/relay/health", origin),
        live.get("/relay/credits", origin),
        live.get("/relay/nothing", origin),
        live.call("POST", "/relay/analyze", b"{", origin | install("a") | {"Content-Type": "application/json"}),
        live.call("POST", "/relay/analyze", b"{}", origin),
        live.analyze(origin | install("a")),
        live.raw(
            b"POST /relay/transcribe HTTP/1.1\r\nHost: x\r\nX-Recap-Install-Id: a\r\nContent-Length: 9999999999\r\n\r\n"
        ),
    ]
    assert [reply.status for reply in replies] == [200, 401, 404, 400, 401, 200, 413]
    for reply in replies:
        assert reply.headers["access-control-allow-origin"] == "*"
        assert exposed(reply) == EXPOSED


def test_cors_is_nowhere_else(live: Live) -> None:
    origin = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    for path in ("/", "/admin/status", "/admin/login", "/admin/credits", "/dashboard", "/relayx"):
        for method in ("GET", "OPTIONS"):
            headers = live.call(method, path, headers=origin).headers
            assert not [name for name in headers if name.startswith("access-control")], (method, path)


def test_a_preflight_needs_no_credentials(live: Live) -> None:
    asking = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    for path in ("/relay/analyze", "/relay/users/ann/tier", "/relay/credits"):
        reply = live.call("OPTIONS", path, headers=asking)
        assert (reply.status, reply.body) == (204, b"")
        assert reply.headers["access-control-allow-origin"] == "*"
        assert set(reply.headers["access-control-allow-methods"].split(", ")) >= {"GET", "POST", "PUT", "DELETE"}
        allowed = reply.headers["access-control-allow-headers"].lower().split(", ")
        assert {"x-recap-install-id", "x-recap-job-id", "authorization", "content-type"} <= set(allowed)


def test_only_the_origins_of_the_settings_are_let_in(start) -> None:
    with start(FakeBackend(), relay='cors_origins = ["https://app.example"]\n') as live:
        known = live.get("/relay/health", {"Origin": "https://app.example"}).headers
        assert known["access-control-allow-origin"] == "https://app.example"
        assert known["vary"] == "Origin"
        for origin in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {}):
            other = live.get("/relay/health", origin).headers
            assert "access-control-allow-origin" not in other
            assert other["vary"] == "Origin"


def test_the_self_test_knows_every_metered_route(live: Live) -> None:
    """Asked of the app itself: each of its routes whose resource is metered."""
    metered, nodes = set(), list(live.app._router._roots)
    while nodes:
        node = nodes.pop()
        nodes += node.children
        if isinstance(node.resource, Metered | OwnJobs):
            metered.add(node.uri_template)
    assert metered == set(METERED)


def test_the_self_test_leaves_no_trace(live: Live, backend: FakeBackend) -> None:
    assert live.get("/relay/ready").status == 200
    assert backend.calls == 0
    for collection in ("credits", "holds", "jobs"):
        assert live.core.storage.read(lambda tx, name=collection: tx.count(name)) == 0
    assert list(live.core.spool_dir.iterdir()) == []


def test_a_route_that_forgot_its_check_of_credit_keeps_the_relay_from_ready(start, monkeypatch) -> None:
    def free(self, req, resp, *_rest: object, **_more: object) -> None:
        resp.media = {"ok": True}

    monkeypatch.setattr(Metered, "_run", free)
    with start(FakeBackend()) as live:
        assert_error(live.get("/relay/ready"), 503, "storage_unavailable", "relay")
        assert live.get("/relay/health").status == 200


def test_a_route_that_forgot_who_calls_keeps_the_relay_from_ready(start) -> None:
    def anybody(app) -> None:
        node = next(iter(app._router.find("/relay/analyze")))
        node._callers.identify = lambda _req: Identity("inst:anybody", "none")

    with start(FakeBackend(), before=anybody) as live:
        assert_error(live.get("/relay/ready"), 503, "storage_unavailable", "relay")


def test_a_hidden_defect_in_a_route_keeps_the_relay_from_ready(live: Live, monkeypatch) -> None:
    live.core.tested.clear()

    def broken(*_args: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(live.core.meter, "begin", broken)
    assert self_test(live.core, live.app) is False
    assert_error(live.get("/relay/ready"), 503, "storage_unavailable", "relay")


def test_ready_is_503_while_the_disk_is_full(tmp_path) -> None:
    with running(tmp_path, [FakeBackend()]) as live:

        def full() -> None:
            raise StorageFull("the disk is full")

        live.core.storage.check = full
        assert_error(live.get("/relay/ready"), 503, "storage_unavailable", "relay")


@pytest.mark.parametrize("path", ["/relay/health", "/relay/ready"])
def test_monitors_may_ask_with_head(live: Live, path: str) -> None:
    reply = live.call("HEAD", path)
    assert (reply.status, reply.body) == (200, b"")


def test_headers_too_large_to_read_are_refused_with_cors(live: Live) -> None:
    reply = live.raw(b"GET /relay/credits HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n")
    assert_error(reply, 431, "headers_too_large")
    assert reply.headers["access-control-allow-origin"] == "*"
