"""`relay ledger verify`: beside a running relay and alone, on sound books and on forged ones."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import urllib3

from tests.flows.processes import BASIC, RelayProcess, relay_process, run_relay

KEY = "an-operator-key-for-tests"
CONFIG = BASIC + '[plugins.operator_key]\nkey = { env = "KEY" }\n'
ENV = {"KEY": KEY}


def grant(relay: RelayProcess, user: str, amount: int) -> None:
    reply = urllib3.request(
        "POST",
        f"{relay.url}/relay/users/{user}/credits",
        json={"amount": amount, "reason": "a test"},
        headers={"X-Recap-Operator-Key": KEY},
        timeout=30,
        retries=False,
    )
    assert reply.status in {200, 201}, reply.data


@pytest.fixture
def data_dir(tmp_path) -> Path:
    """The data dir of a relay that was stopped, with a grant of 5 for ann and one of 7 for bob."""
    with relay_process(CONFIG, tmp_path / "data", env=ENV) as relay:
        grant(relay, "ann", 5)
        grant(relay, "bob", 7)
    return relay.data_dir


def verify(data_dir: Path, *args: str):
    config = data_dir.with_name(f"{data_dir.name}.toml")
    done = run_relay("ledger", "verify", *args, "--config", config, "--data", data_dir, env=ENV)
    assert "Traceback" not in done.stderr
    return done


def give_bob_more(data_dir: Path) -> None:
    rows = data_dir / "credits.json"
    text = rows.read_text(encoding="utf-8")
    forged = text.replace('"purchased_balance":7', '"purchased_balance":700')
    assert forged != text
    rows.write_text(forged, encoding="utf-8")


def forge_the_grant_of_ann(data_dir: Path) -> None:
    (segment,) = (data_dir / "ledger").glob("[0-9]*.jsonl")
    text = segment.read_text(encoding="utf-8")
    forged = re.sub(r'("amount":)5\b', r"\g<1>9", text, count=1)
    assert forged != text
    segment.write_text(forged, encoding="utf-8")


def test_sound_books_are_balanced(data_dir):
    done = verify(data_dir)
    assert (done.returncode, done.stdout, done.stderr) == (0, "balanced: 2 accounts, 2 entries\n", "")
    done = verify(data_dir, "--json")
    assert json.loads(done.stdout) == {"ok": True, "accounts": 2, "entries": 2, "different": []}


def test_a_running_relay_is_asked(tmp_path):
    with relay_process(CONFIG, tmp_path / "data", env=ENV) as relay:
        grant(relay, "ann", 5)
        done = verify(relay.data_dir)
        assert (done.returncode, done.stdout) == (0, "balanced: 1 accounts, 1 entries\n")
        assert json.loads(verify(relay.data_dir, "--json").stdout)["entries"] == 1


def test_a_forged_row_is_found_and_its_account_named(data_dir):
    give_bob_more(data_dir)
    done = verify(data_dir)
    assert done.returncode == 1
    assert "  user:bob: purchased_balance is 700, ledger says 7\n" in done.stdout
    assert "ann" not in done.stdout
    found = json.loads(verify(data_dir, "--json").stdout)["different"]
    assert [row["credit_key"] for row in found] == ["user:bob"]
    assert found[0]["differences"]["purchased_balance"] == {"row": 700, "ledger": 7}


def test_looking_at_an_edit_does_not_accept_it_but_the_next_start_does(data_dir):
    give_bob_more(data_dir)
    assert verify(data_dir).returncode == 1
    assert verify(data_dir).returncode == 1
    with relay_process(CONFIG, data_dir, env=ENV):
        done = verify(data_dir)
    assert (done.returncode, done.stdout) == (0, "balanced: 2 accounts, 3 entries\n")


@pytest.mark.parametrize("serving", [False, True])
def test_a_forged_entry_is_found_and_its_account_named(data_dir, serving):
    forge_the_grant_of_ann(data_dir)
    if serving:
        with relay_process(CONFIG, data_dir, env=ENV):
            done = verify(data_dir)
    else:
        done = verify(data_dir)
    assert done.returncode == 1
    assert "user:ann" in done.stdout
    assert "the chain of its entries is broken" in done.stdout
    assert "user:bob" not in done.stdout


def test_the_socket_of_a_killed_relay_does_not_stand_in_the_way(tmp_path):
    with relay_process(CONFIG, tmp_path / "data", env=ENV) as relay:
        grant(relay, "ann", 5)
        relay.process.kill()
        relay.stop()
    assert (relay.data_dir / "relay.sock").is_socket()
    done = verify(relay.data_dir)
    assert (done.returncode, done.stdout) == (0, "balanced: 1 accounts, 1 entries\n")
    with relay_process(CONFIG, relay.data_dir, env=ENV):
        assert verify(relay.data_dir).returncode == 0


def test_without_a_data_dir_it_says_how_to_name_one(tmp_path):
    (tmp_path / "data.toml").write_text(CONFIG, encoding="utf-8")
    done = verify(tmp_path / "data")
    assert done.returncode == 1
    assert "there is no data dir. Say where it is with --data or RELAY_DATA_DIR" in done.stderr
    assert not (tmp_path / "data").exists()
