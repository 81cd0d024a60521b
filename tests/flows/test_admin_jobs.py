"""The operator's pages about jobs: live, history, details, cancel, refund."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from relay.errors import UpstreamFailed
from tests.flows.live import FakeBackend, Live, assert_error, at_once, eventually, install, running


@pytest.fixture(scope="module")
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture(scope="module")
def live(tmp_path_factory: Any, backend: FakeBackend) -> Iterator[Live]:
    """One relay with a history: 12 answers of three accounts and 3 failures."""
    tiers = "[tiers.core]\nlifetime_credits = 100\n"
    with running(tmp_path_factory.mktemp("jobs"), [backend], settings=tiers) as relay:
        for n in range(12):
            assert relay.analyze(f"inst-{n % 3}", f"meeting-{n}").status == 200
        backend.fail = UpstreamFailed("the box said no")
        for n in range(3):
            assert relay.transcribe("inst-0", f"broken-{n}").status == 502
        backend.fail = None
        yield relay


@pytest.fixture(scope="module")
def admin(live: Live) -> dict[str, str]:
    return live.login()


def history(live: Live, admin: dict[str, str], query: str = "") -> list[dict[str, Any]]:
    reply = live.get(f"/admin/jobs-history?limit=500&{query}", admin)
    assert reply.status == 200, reply.body
    assert reply.json["next"] is None
    return reply.json["rows"]


def job_named(live: Live, admin: dict[str, str], name: str) -> str:
    return next(row["job_id"] for row in history(live, admin, f"q={name}") if row["name"] == name)


def test_every_page_needs_a_session(live: Live) -> None:
    for path in ("jobs", "jobs-history", "job/job_0/details", "job-output/job_0", "output-store-stats"):
        assert_error(live.get(f"/admin/{path}"), 401, "unauthenticated")


def test_history_has_every_job_once_newest_first(live: Live, admin: dict[str, str]) -> None:
    rows = [row for row in history(live, admin) if row["name"].startswith(("meeting", "broken"))]
    assert len(rows) == len({row["job_id"] for row in rows}) == 15
    assert [row["created_at"] for row in rows] == sorted((row["created_at"] for row in rows), reverse=True)
    row = next(row for row in rows if row["name"] == "meeting-4")
    assert (row["account"], row["task"], row["state"]) == ("inst:inst-1", "analyze", "completed")
    assert (row["backend"], row["model"], row["charged"], row["error"]) == ("fake", "fake-mind", 1, None)


def test_pages_follow_each_other_without_gaps(live: Live, admin: dict[str, str]) -> None:
    whole, seen, before = history(live, admin), [], ""
    while True:
        page = live.get(f"/admin/jobs-history?limit=4{before}", admin).json
        seen += page["rows"]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert seen == whole


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("account=inst:inst-1&q=meeting", 4),
        ("account=inst:inst-", 0),
        ("state=failed", 3),
        ("state=completed&task=transcribe", 0),
        ("task=analyze&q=MEETING", 12),
        ("backend=fake&state=failed", 3),
        ("backend=other", 0),
        ("from=2999-01-01", 0),
        ("to=2001-01-01", 0),
        ("account=inst:inst-0&from=2020-01-01&to=2998-12-31&state=failed", 3),
    ],
)
def test_filters(live: Live, admin: dict[str, str], query: str, found: int) -> None:
    assert len(history(live, admin, query)) == found


def test_a_server_id_finds_its_job_at_once(live: Live, admin: dict[str, str]) -> None:
    job = job_named(live, admin, "meeting-7")
    assert [row["name"] for row in history(live, admin, f"q={job}")] == ["meeting-7"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=99999999999",
        "before=x",
        "before=2026-99-99T00:00:00.job_000000000000000000000000",
        "state=queued",
        "from=yesterday",
        "to=9999-12-31",
        "from=2026-13-01",
        "from=0001-01-01",
    ],
)
def test_a_query_that_cannot_be_read_is_refused(live: Live, admin: dict[str, str], query: str) -> None:
    assert_error(live.get(f"/admin/jobs-history?{query}", admin), 400, "bad_request")


def test_details_say_what_was_charged_and_why(live: Live, admin: dict[str, str]) -> None:
    job = live.get(f"/admin/job/{job_named(live, admin, 'meeting-2')}/details", admin).json["job"]
    charge = job["charge"]
    assert (charge["charged"], charge["bucket"], charge["entry"]["kind"]) == (1, "lifetime", "charge")
    assert charge["entry"]["reference"] == job["job_id"]
    assert "allowance for life" in charge["explanation"]
    assert job["attempts"][0] | {"at": 0, "ms": 0} == {"backend": "fake", "at": 0, "ms": 0, "code": "ok"}
    assert (job["calls"], job["work"], len(job["outputs"])) == (1, None, 1)
    assert job["free_until"] > job["created_at"]


def test_details_of_a_failure_have_its_reason(live: Live, admin: dict[str, str]) -> None:
    job = live.get(f"/admin/job/{job_named(live, admin, 'broken-1')}/details", admin).json["job"]
    assert job["error"]["code"] == "upstream_failed"
    assert job["attempts"][0]["code"] == "upstream_failed"
    assert job["charge"]["charged"] == 0
    assert job["charge"]["explanation"].startswith("Nothing was charged")
    assert job["outputs"] == []


@pytest.mark.parametrize("job", ["job_" + "0" * 24, "..", "job_", "%2e%2e%2f", "a" * 150])
def test_a_job_that_is_not_there(live: Live, admin: dict[str, str], job: str) -> None:
    assert live.get(f"/admin/job/{job}/details", admin).status == 404
    assert live.call("POST", f"/admin/job/{job}/cancel", b"", admin).status == 404
    assert live.call("POST", f"/admin/job/{job}/refund", headers=admin, json={"reason": "r"}).status == 404


def test_a_refund_gives_the_credit_back_once_and_is_written_down(live: Live, admin: dict[str, str]) -> None:
    assert live.analyze("inst-refund", "r").status == 200
    job = job_named(live, admin, "r")
    before = live.credits("inst-refund")["total"]
    path = f"/admin/job/{job}/refund"
    assert_error(live.call("POST", path, headers={"Cookie": admin["Cookie"]}, json={"reason": "x"}), 403, "forbidden")
    assert_error(live.call("POST", path, headers=admin, json={"reason": ""}), 422, "invalid")
    assert_error(live.call("POST", path, headers=admin, json={"reason": True}), 422, "invalid")
    answers = at_once(4, lambda _: live.call("POST", path, headers=admin, json={"reason": "garbled"}).json["refunded"])
    assert sorted(answers) == [False, False, False, True]
    assert live.credits("inst-refund")["total"] == before + 1
    told = live.get(f"/admin/job/{job}/details", admin).json["job"]
    assert (told["state"], told["charged"], told["refunded"]) == ("completed", 1, True)
    assert "given back" in told["charge"]["explanation"]
    lines = [doc for _, doc in live.core.storage.read(lambda tx: tx.scan("audit", limit=500, contains=job))]
    assert [(line["actor"], line["action"], line["reason"]) for line in lines] == [("admin", "jobs.refund", "garbled")]


def test_running_and_waiting_calls_are_shown_and_can_be_cancelled(tmp_path: Any) -> None:
    backend = FakeBackend(max_concurrent=1)
    backend.gate = threading.Event()
    with running(tmp_path, [backend]) as live:
        admin, replies, slots = live.login(), {}, live.core.infer.slots["fake"]
        threads = []
        for n, name in enumerate("ab"):
            act = lambda name=name: replies.__setitem__(name, live.analyze(f"inst-{name}", f"job-{name}"))  # noqa: E731
            threads.append(threading.Thread(target=act))
            threads[-1].start()
            eventually(lambda n=n: slots.running + slots.waiting == n + 1)
        seen = live.get("/admin/jobs", admin).json
        assert seen["counts"] == {"running": 1, "queued": 1}
        one, two = seen["running"][0], seen["queued"][0]
        assert (one["name"], one["account"], one["task"], one["kind"]) == ("job-a", "inst:inst-a", "analyze", "call")
        assert (one["state"], one["backend"], one["position"]) == ("processing", "fake", None)
        assert (two["name"], two["state"], two["position"]) == ("job-b", "queued", 1)
        assert one["age_seconds"] >= 0
        told = live.get(f"/admin/job/{one['job_id']}/details", admin).json["job"]
        assert (told["state"], told["backend"], told["charged"]) == ("processing", "fake", 0)
        assert "held" in told["charge"]["explanation"]
        for job in (two, one):
            assert live.call("POST", f"/admin/job/{job['job_id']}/cancel", b"", admin).status == 200
        for thread in threads:
            thread.join(20)
        assert {reply.status for reply in replies.values()} == {503}
        live.assert_balanced()
        assert live.get("/admin/jobs", admin).json["counts"] == {"running": 0, "queued": 0}
        ended = live.call("POST", f"/admin/job/{one['job_id']}/cancel", b"", admin)
        assert_error(ended, 409, "not_running")
        assert live.core.storage.read(lambda tx: tx.count("audit", contains="jobs.cancel")) == 2


def test_jobs_in_the_background_are_shown_with_their_progress_and_cancelled(tmp_path: Any) -> None:
    backend = FakeBackend()
    backend.gate = threading.Event()
    with running(tmp_path, [backend], settings="[jobs]\nworkers = 1\n") as live:
        admin = live.login()
        ids = []
        for n in range(3):
            body = {"task": "analyze", "prompt": f"question {n}"}
            reply = live.call("POST", "/relay/jobs", headers=install("inst-1"), json=body)
            assert reply.status == 202, reply.body
            ids.append(reply.json["job"]["server_job_id"])
        eventually(lambda: live.get("/admin/jobs", admin).json["counts"] == {"running": 1, "queued": 2})
        seen = live.get("/admin/jobs", admin).json
        assert [(row["kind"], row["state"], row["progress"]) for row in seen["running"]] == [("job", "processing", 0.0)]
        assert [(row["job_id"], row["position"]) for row in seen["queued"]] == [(ids[1], 1), (ids[2], 2)]
        assert live.get("/admin/dashboard", admin).json["queue"]["jobs_queued"] == 2
        for job in ids[:2]:
            told = live.call("POST", f"/admin/job/{job}/cancel", b"", admin).json["job"]
            assert (told["state"], told["charged"]) in {("failed", 0), ("cancelled", 0)}
            assert told["error"]["code"] == "cancelled"
        backend.gate.set()
        eventually(lambda: live.get("/admin/jobs", admin).json["counts"] == {"running": 0, "queued": 0})
        done = live.get(f"/admin/job/{ids[2]}/details", admin).json["job"]
        assert (done["state"], done["charged"], done["work"]["state"]) == ("completed", 1, "completed")
        output = live.get(f"/admin/job-output/{ids[2]}", admin).json["outputs"]
        assert [each["output"]["text"] for each in output] == ["the answer of fake"]
        live.assert_balanced()
