"""Files of the data dir that a person edited between a stop and the next start."""

import json

import pytest
import urllib3

from tests.flows.fake_backend import FakeBackend
from tests.flows.processes import BASIC, relay_process, run_relay

WHO = {"X-Recap-Install-Id": "someone"}
ENV = {"RELAY_ADMIN_PASSWORD": "for this test"}
ROW = {"inst:someone": {"purchased_balance": 40}}


def credits_of(relay):
    return urllib3.request("GET", f"{relay.url}/relay/credits", headers=WHO).json()["credits"]


def history(relay):
    return urllib3.request("GET", f"{relay.url}/relay/credits/history", headers=WHO).json()["entries"]


@pytest.fixture
def data(tmp_path):
    """A data dir after a clean stop."""
    with relay_process(BASIC, tmp_path / "data", env=ENV):
        pass
    return tmp_path / "data"


def start(data):
    return run_relay("serve", "--config", data.with_name("data.toml"), "--data", data, "--port", "0", env=ENV)


def test_an_edited_row_counts_and_is_entered_in_the_ledger(data):
    (data / "credits.json").write_text(json.dumps(ROW))
    with relay_process(BASIC, data, env=ENV) as relay:
        assert credits_of(relay)["purchased"] == 40
        assert [(entry["kind"], entry["amount"], entry["actor"]) for entry in history(relay)] == [
            ("adjust", 40, "operator")
        ]
        assert run_relay("ledger", "verify", "--config", relay.config, "--data", data).returncode == 0
    with relay_process(BASIC, data, env=ENV) as relay:
        assert len(history(relay)) == 1, "an edit is entered once"


def test_a_row_without_a_prefix_is_an_installs(data):
    (data / "credits.json").write_text(json.dumps({"someone": {"purchased_balance": 7}}))
    with relay_process(BASIC, data, env=ENV) as relay:
        assert credits_of(relay)["purchased"] == 7


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("credits.json", {"inst:a": {"purchased_balance": -1}}, "inst:a"),
        ("credits.json", {"inst:a": {"purchased_balance": 10**30}}, "inst:a"),
        ("credits.json", {"inst:a": {"subscription_expires_at": "2027-01-01T00:00:00"}}, "inst:a"),
        ("credits.json", {"inst:a b/..": {}}, "inst:a b/.."),
        ("holds.json", {"job_x": {}}, "job_x"),
    ],
)
def test_a_row_that_makes_no_sense_stops_the_start_by_name(data, name, content, says):
    (data / name).write_text(json.dumps(content))
    refused = start(data)
    assert refused.returncode == 1
    assert name in refused.stderr
    assert says in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_file_of_rows_that_are_in_a_log_is_set_aside_and_not_lost(data):
    (data / "jobs.json").write_text('{"job_x": {}}')
    with relay_process(BASIC, data, env=ENV):
        pass
    assert not (data / "jobs.json").exists()
    assert (data / "jobs.json.old").read_text() == '{"job_x": {}}'


def test_a_refused_edit_leaves_no_trace_so_that_the_corrected_one_counts(data):
    (data / "credits.json").write_text(json.dumps({"inst:a": {"purchased_balance": -1}, **ROW}))
    assert start(data).returncode == 1
    (data / "credits.json").write_text(json.dumps({"inst:someone": {"purchased_balance": 200}}))
    with relay_process(BASIC, data, env=ENV) as relay:
        assert credits_of(relay)["purchased"] == 200


def test_a_job_is_refunded_though_its_row_was_edited_since(start, tmp_path):
    """What is not taken any more cannot go back there: a counter below nothing would make the row unreadable."""
    tiers = "[tiers.core]\nlifetime_credits = 10\nlifetime_gemini = 5\n"
    jobs = {}
    with start(FakeBackend("dear", cost_class="gemini"), settings=tiers) as live:
        for name in ("edited", "removed", "uncounted"):
            jobs[name] = live.analyze(name).json["meta"]["server_job_id"]
    file = tmp_path / "data" / "credits.json"
    rows = json.loads(file.read_text())
    rows["inst:edited"]["lifetime_consumed"] = 0
    del rows["inst:removed"]
    rows["inst:uncounted"]["lifetime_gemini_consumed"] = 0
    file.write_text(json.dumps(rows))
    with start(FakeBackend("dear", cost_class="gemini"), settings=tiers) as live:
        session = live.login()
        for job in jobs.values():
            reply = live.call("POST", f"/admin/job/{job}/refund", headers=session, json={"reason": "x"})
            assert (reply.status, reply.json) == (200, {"ok": True, "refunded": True})
        left = {name: live.credits(name) for name in jobs}
        assert {name: (each["remaining"], each["purchased"]) for name, each in left.items()} == {
            "edited": (10, 1),
            "removed": (10, 1),
            "uncounted": (10, 0),
        }
        assert live.get("/admin/credits", session).json["count"] == 3
        live.assert_balanced()
