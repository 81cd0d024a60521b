"""What jobs answered: kept, shown, counted, deleted."""

from typing import Any

import pytest

from tests.flows.live import FakeBackend, Live, assert_error, install, running


@pytest.fixture(scope="module")
def live(tmp_path_factory: Any) -> Any:
    with running(
        tmp_path_factory.mktemp("outputs"),
        [FakeBackend(tasks=("analyze", "transcribe", "diarize"), models=("mind",))],
        settings="[tiers.core]\nlifetime_credits = 500\n",
    ) as relay:
        yield relay


@pytest.fixture(scope="module")
def admin(live: Live) -> dict[str, str]:
    return live.login()


def outputs(live: Live, admin: dict[str, str], job: str) -> list[dict[str, Any]]:
    reply = live.get(f"/admin/job-output/{job}", admin)
    return reply.json["outputs"] if reply.status == 200 else []


def stats(live: Live, admin: dict[str, str]) -> dict[str, Any]:
    return live.get("/admin/output-store-stats", admin).json


def delete(live: Live, admin: dict[str, str], body: Any) -> Any:
    return live.call("DELETE", "/admin/job-outputs", headers=admin, json=body)


def test_every_answer_is_kept_as_its_caller_got_it(live: Live, admin: dict[str, str]) -> None:
    heard = live.transcribe("inst-1", "meeting")
    asked = live.analyze("inst-1", "meeting")
    job = asked.json["meta"]["server_job_id"]
    kept = {each["task"]: each["output"] for each in outputs(live, admin, job)}
    assert kept == {"transcribe": heard.json["result"], "analyze": asked.json["result"]}
    listed = live.get(f"/admin/job/{job}/details", admin).json["job"]["outputs"]
    assert {each["id"] for each in listed} == {each["id"] for each in outputs(live, admin, job)}


def test_a_stream_is_kept_when_it_is_complete(live: Live, admin: dict[str, str]) -> None:
    reply = live.analyze("inst-2", "streamed", stream=True)
    assert b"event: done" in reply.body
    (row,) = live.get("/admin/jobs-history?q=streamed", admin).json["rows"]
    (kept,) = outputs(live, admin, row["job_id"])
    assert kept["output"]["text"] == "the answer of fake"


def test_calls_of_openai_clients_are_kept_too(live: Live, admin: dict[str, str]) -> None:
    body = {"model": "mind", "messages": [{"role": "user", "content": "hello"}]}
    before = stats(live, admin)["count"]
    assert live.call("POST", "/relay/v1/chat/completions", headers=install("inst-3"), json=body).status == 200
    assert stats(live, admin)["count"] == before + 1


def test_a_failed_call_leaves_nothing(live: Live, admin: dict[str, str]) -> None:
    before = stats(live, admin)["count"]
    assert live.analyze("inst-4", prompt="").status == 422
    assert stats(live, admin)["count"] == before


def test_stats_and_ids_say_what_there_is(live: Live, admin: dict[str, str]) -> None:
    live.analyze("inst-5", "counted")
    seen = stats(live, admin)
    assert (seen["limit_mb"], seen["keep_days"], seen["enabled"]) == (1024, 7, True)
    assert seen["count"] >= 1
    assert seen["bytes"] >= 50
    assert seen["oldest_at"] <= seen["newest_at"]
    page = live.get("/admin/output-store-ids?limit=500", admin).json
    assert page["count"] == seen["count"]
    assert page["next"] is None
    assert all(job.startswith("job_") for job in page["ids"])


def test_deleting_takes_what_is_named_and_says_how_much(live: Live, admin: dict[str, str]) -> None:
    one = live.analyze("inst-6", "one").json["meta"]["server_job_id"]
    two = live.analyze("inst-6", "two").json["meta"]["server_job_id"]
    assert delete(live, admin, {"ids": [one]}).json["deleted"] == 1
    assert outputs(live, admin, one) == []
    assert len(outputs(live, admin, two)) == 1
    assert delete(live, admin, {"older_than_days": 1}).json["deleted"] == 0
    assert delete(live, admin, {"all": True}).json["deleted"] >= 1
    assert stats(live, admin) | {"keep_days": 0} == {
        "ok": True,
        "count": 0,
        "bytes": 0,
        "oldest_at": None,
        "newest_at": None,
        "job_results": 0,
        "limit_mb": 1024,
        "keep_days": 0,
        "enabled": True,
    }
    lines = live.core.storage.read(lambda tx: tx.count("audit", contains="outputs.delete"))
    assert lines == 3


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"all": False},
        {"all": 1},
        {"all": True, "ids": ["job_" + "0" * 24]},
        {"ids": []},
        {"ids": ["../../etc"]},
        {"ids": "job_" + "0" * 24},
        {"ids": ["job_" + "0" * 24] * 1001},
        {"older_than_days": -1},
        {"older_than_days": True},
        {"older_than_days": 1.5},
        {"older_than_days": 10**9},
        {"older": 3},
        [],
    ],
)
def test_a_deletion_that_is_not_clear_deletes_nothing(live: Live, admin: dict[str, str], body: Any) -> None:
    live.analyze("inst-7", "stays")
    before = stats(live, admin)["count"]
    assert_error(delete(live, admin, body), 422, "invalid")
    assert stats(live, admin)["count"] == before >= 1


def test_deleting_needs_the_csrf_token(live: Live, admin: dict[str, str]) -> None:
    reply = delete(live, {"Cookie": admin["Cookie"]}, {"all": True})
    assert_error(reply, 403, "forbidden")


def test_what_was_said_is_not_for_a_read_only_key(live: Live, admin: dict[str, str]) -> None:
    job = live.analyze("inst-8").json["meta"]["server_job_id"]
    made = live.call("POST", "/admin/keys", headers=admin, json={"role": "read-only", "label": "monitor"})
    key = {"Authorization": f"Bearer {made.json['key']}"}
    assert live.get(f"/admin/job/{job}/details", key).status == 200
    assert_error(live.get(f"/admin/job-output/{job}", key), 403, "forbidden")
    assert live.call("DELETE", "/admin/job-outputs", headers=key, json={"all": True}).status == 403
    assert live.call("POST", f"/admin/job/{job}/refund", headers=key, json={"reason": "x"}).status == 403


def test_nothing_is_kept_when_it_is_switched_off(tmp_path: Any) -> None:
    with running(tmp_path, [FakeBackend()], settings="[outputs]\nkeep = false\n") as live:
        admin = live.login()
        job = live.analyze("inst-1").json["meta"]["server_job_id"]
        live.analyze("inst-1", stream=True)
        assert (stats(live, admin)["count"], stats(live, admin)["enabled"]) == (0, False)
        assert_error(live.get(f"/admin/job-output/{job}", admin), 404, "not_found")
