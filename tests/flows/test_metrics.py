"""`GET /metrics`: what Prometheus reads there is what happened, for those who may see it, and names nobody."""

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay.errors import StorageUnavailable, UpstreamFailed
from relay.http.metrics import is_loopback
from relay.services.metrics import MAX_SERIES, Metrics
from tests.flows.busy import busy_relay
from tests.flows.live import FakeBackend, Live, assert_error, eventually, user

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"


def scrape(live: Live) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """By sample name: labels -> value."""
    reply = live.get("/metrics")
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"].startswith("text/plain")
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(reply.body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def value(found, name: str, **labels: str) -> float:
    return found[name].get(tuple(sorted(labels.items())), 0.0)


def test_requests_are_counted_by_route_template_and_status(live) -> None:
    assert live.analyze().status == 200
    live.get("/relay/users/somebody-secret", user("x"))
    live.get("/nothing/here")
    found = scrape(live)
    assert value(found, "relay_requests_total", route="/relay/analyze", method="POST", status="200") == 1
    assert value(found, "relay_requests_total", route="/relay/users/{user}", method="GET", status="200") == 1
    assert value(found, "relay_requests_total", route="?", method="GET", status="404") == 1
    assert value(found, "relay_request_seconds_count", route="/relay/analyze") == 1
    assert value(found, "relay_request_seconds_bucket", route="/relay/analyze", le="+Inf") == 1
    assert value(found, "relay_errors_total", code="not_found") == 1


def test_calls_of_backends_and_charges_are_counted(start) -> None:
    one, two = FakeBackend("one"), FakeBackend("two")
    one.fail = UpstreamFailed("no")
    with start(one, two) as live:
        live.analyze(job="j")
        live.analyze(job="j")
        live.transcribe(backend="two")
        found = scrape(live)
        calls = "relay_upstream_calls_total"
        assert value(found, calls, backend="one", task="analyze", code="upstream_failed") == 2
        assert value(found, calls, backend="two", task="analyze", code="ok") == 2
        assert value(found, calls, backend="two", task="transcribe", code="ok") == 1
        assert value(found, "relay_upstream_seconds_count", backend="two", task="analyze") == 2
        assert value(found, "relay_credits_charged_total") == 2, "the second call of a paid job is free"
        assert value(found, "relay_backend_failures", backend="one") == 2
        assert value(found, "relay_backend_state", backend="one", state="closed") == 1


def test_streams_are_counted_by_how_they_ended(start, backend: FakeBackend) -> None:
    with start(backend) as live:
        live.analyze(stream=True)
        backend.pieces = ["one ", UpstreamFailed("broke off")]
        live.analyze(stream=True)
        backend.pieces = []
        live.analyze(stream=True)
        eventually(lambda: value(scrape(live), "relay_streams_open") == 0)
        found = scrape(live)
        assert value(found, "relay_streams_total", outcome="ended") == 2
        assert value(found, "relay_streams_total", outcome="cut") == 1
        assert value(found, "relay_credits_charged_total") == 3
        live.assert_balanced()


def test_queues_holds_and_threads_are_shown_as_they_are_now(start) -> None:
    backend = FakeBackend(max_concurrent=1, queue_size=2)
    backend.gate = threading.Event()
    with start(backend) as live:
        slots = live.core.infer.slots["fake"]
        threads = [threading.Thread(target=live.analyze, args=(name,)) for name in "abc"]
        for n, thread in enumerate(threads):
            thread.start()
            eventually(lambda n=n: slots.running + slots.waiting == n + 1)
        assert live.analyze("d").status == 429
        eventually(lambda: live.holds() == 3)
        found = scrape(live)
        assert value(found, "relay_queue_running", backend="fake") == 1
        assert value(found, "relay_queue_slots", backend="fake") == 1
        assert value(found, "relay_queue_waiting", backend="fake") == 2
        assert value(found, "relay_queue_refused_total", backend="fake") == 1
        assert value(found, "relay_errors_total", code="queue_full") == 1
        assert value(found, "relay_holds_open") == 3
        assert value(found, "relay_threads") == 32
        assert value(found, "relay_threads_busy") >= 4
        assert value(found, "relay_connections_open") >= 4
        backend.gate.set()
        for thread in threads:
            thread.join(10)
        found = scrape(live)
        assert (value(found, "relay_queue_running", backend="fake"), value(found, "relay_holds_open")) == (0, 0)


def test_the_storage_tells_how_many_changes_share_a_write(live) -> None:
    before = scrape(live)
    for n in range(3):
        live.analyze(f"i{n}")
    after = scrape(live)
    more = {name: value(after, name) - value(before, name) for name in after if name.startswith("relay_storage_")}
    assert more["relay_storage_commits_total"] >= more["relay_storage_batches_total"] >= 1
    assert more["relay_storage_write_seconds_total"] > 0


def test_a_storage_that_tells_nothing_or_fails_costs_its_lines_only(live, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise StorageUnavailable("gone")

    monkeypatch.setattr(type(live.core.storage), "stats", None)
    monkeypatch.setattr(type(live.core.storage), "read", fail)
    found = scrape(live)
    assert "relay_holds_open" not in found
    assert "relay_storage_batches_total" not in found
    assert "relay_queue_running" in found


def test_the_process_shows_its_memory(live) -> None:
    assert value(scrape(live), "process_resident_memory_bytes") > 10**7


def test_a_direct_request_from_this_machine_needs_no_login(live) -> None:
    assert live.get("/metrics").status == 200


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "x-forwarded-host"])
def test_a_forwarded_request_needs_a_login(live, header: str) -> None:
    assert_error(live.get("/metrics", {header: "127.0.0.1"}), 403, "forbidden")
    assert live.get("/metrics", {header: "127.0.0.1"} | live.login()).status == 200


def test_a_stranger_needs_a_login(start, backend, monkeypatch) -> None:
    monkeypatch.setattr("relay.http.metrics.is_loopback", lambda _address: False)
    with start(backend) as live:
        reply = live.get("/metrics")
        assert_error(reply, 401, "unauthenticated")
        assert_error(live.get("/metrics", {"Cookie": "relay_session=made-up"}), 401, "unauthenticated")
        assert live.get("/metrics", live.login()).status == 200


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", False),
        ("10.0.0.1", False),
        ("", False),
        ("localhost", False),
    ],
)
def test_loopback_is_an_address_of_this_machine(address: str, is_one: bool) -> None:
    assert is_loopback(address) is is_one


def test_nobody_is_named(live) -> None:
    live.analyze("install-marker", job="job-marker")
    live.analyze(user("user-marker"))
    live.get("/relay/users/user-marker", user("user-marker"))
    live.get("/path-marker?key=query-marker")
    live.call("MARKER", "/relay/health")
    live.analyze({"Authorization": "Bearer key-marker"})
    assert b"marker" not in live.get("/metrics").body.lower()


def test_a_relay_that_nobody_scrapes_does_not_load_the_library() -> None:
    program = "import sys, relay.http.app, relay.http.metrics; print('prometheus_client' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False\n"


def test_labels_cannot_fill_the_memory() -> None:
    metrics = Metrics()
    for n in range(2 * MAX_SERIES):
        metrics.request(f"/{n}", f"M{n}", 200, 0.1)
    assert len(metrics.requests.values) <= MAX_SERIES + 1
    assert len(metrics.request_seconds.values) <= MAX_SERIES + 1
    assert metrics.requests.values["other", "other", "other"] == MAX_SERIES


def test_no_count_is_lost_among_threads() -> None:
    metrics = Metrics()

    def count() -> None:
        for _ in range(2000):
            metrics.request("/x", "GET", 200, 0.2)
            metrics.charged(1)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert metrics.requests.values["/x", "GET", "200"] == metrics.credits_charged == 16_000


def test_every_metric_is_documented_and_every_documented_one_is_shown(tmp_path: Path) -> None:
    with busy_relay(tmp_path) as live:
        text = live.get("/metrics").body.decode()
    shown = {family.name: family for family in text_string_to_metric_families(text)}
    rows = re.findall(r"^\| `([a-z_]+)` \| (\w+) \| ([^|]*) \|", DOCUMENT.read_text(), re.MULTILINE)
    documented = {
        name.removesuffix("_total"): (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows
    }
    assert documented.keys() == shown.keys()
    for name, (kind, labels) in documented.items():
        family = shown[name]
        assert family.type == kind, name
        assert family.documentation, name
        assert {label for sample in family.samples for label in sample.labels} - {"le"} == labels, name
