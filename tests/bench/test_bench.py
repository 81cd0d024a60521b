"""`relay bench --quick` as an operator runs it: that it measures what it says, never how fast anything is."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def bench(*arguments, env=None):
    command = [sys.executable, "-m", "relay", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, env=env)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")  # nothing of the operator's environment may matter
    env = {name: value for name, value in os.environ.items() if name != "RELAY_CONFIG"}
    done = bench("--quick", "--json", env=env | {"HOME": str(home), "RELAY_DATA_DIR": "/nonexistent/relay"})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_no_credit_is_spent_twice_and_the_ledger_agrees(quick):
    spent = quick["overspend"]
    assert spent == {"credits": 10, "callers": 16, "asked": 64, "answered": 10, "left": 0, "balanced": True}


def test_relay_and_no_gateway_are_measured_in_each_round(quick):
    assert [(sample["target"], sample["round"]) for sample in quick["samples"]] == [("direct", 0), ("relay", 0)]
    for sample in quick["samples"]:
        assert sample["plain"].keys() == {"1", "4"}
        for found in sample["plain"].values():
            assert found["statuses"].keys() == {"200"}
            assert found["per_second"] > 0
            assert 0 < found["p50"] <= found["p99"]
        assert sample["streamed"]["1"]["statuses"].keys() == {"200"}
        assert 0 < sample["streamed"]["1"]["first_p50"] < sample["streamed"]["1"]["p50"], "streams are not held back"


def test_every_line_of_the_table_is_there(quick):
    assert [row["what"] for row in quick["rows"]] == [
        "calls, 1 caller",
        "calls, 4 callers",
        "median call, 1 caller",
        "p99 of calls, 1 caller",
        "median call, 4 callers",
        "p99 of calls, 4 callers",
        "added to a call, 1 caller",
        "first streamed byte, 1 caller",
        "CPU per call, 4 callers",
        "memory after the load",
        "start to first answer",
    ]
    assert all(row["values"]["relay"] > 0 for row in quick["rows"])


def test_health_is_probed_while_slow_streams_run(quick):
    (health,) = quick["health"]
    assert (health["threads"], health["streams"]) == (8, 8)
    assert health["probes"] > 10
    assert 0 < health["p50"] <= health["p99"] <= health["worst"]
    assert health["found"]["statuses"]["200"] > 0


def test_four_times_as_many_callers_as_threads_are_tried(quick):
    (crowd,) = quick["crowd"]
    assert crowd["threads"] == 8
    assert crowd["few"]["statuses"]["200"] > 0
    assert crowd["many"]["statuses"]["200"] > 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--litellm", "/nonexistent/litellm"], "no LiteLLM at /nonexistent/litellm"),
        (["--portkey", "/nonexistent"], "Portkey"),
    ],
)
def test_a_peer_that_is_not_there_is_said_before_anything_starts(arguments, told):
    done = bench("--quick", *arguments)
    assert done.returncode == 1
    assert told in done.stderr
    assert "round" not in done.stderr
