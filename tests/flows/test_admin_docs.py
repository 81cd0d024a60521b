"""What docs/admin.md says is so, and its commands work as they stand there."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3

from relay.domain.access import READS, ROLES
from tests.flows.processes import BASIC, relay_process

TEXT = (Path(__file__).parents[2] / "docs" / "admin.md").read_text()
COMMANDS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
PASSWORD = "a password for this test"
SETTINGS = f"""
[relay]
pin_cpu = false
[plugins.operator_key]
key = "an operator key for this test"
{BASIC}
"""


def test_the_table_of_roles_is_the_code() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \| ([^|]+) \|$", TEXT, re.MULTILINE)
    assert {role for role, _, _ in rows} == ROLES.keys()
    for role, _reads, changes in rows:
        if role == "full-admin":
            assert {scope for scope in ROLES[role] if scope.endswith(":read")} > READS
            continue
        assert {scope for scope in ROLES[role] if scope.endswith(":read")} == READS
        written = set(re.findall(r"`([a-z]+)`", changes))
        assert {f"{name}:write" for name in written} == ROLES[role] - READS


def test_the_numbers_are_those_of_the_code() -> None:
    from relay.books.admin_keys import MAX_KEYS
    from relay.services import admin_attempts, admin_passwords, admin_sessions
    from relay.settings import RetentionSettings

    told = " ".join(TEXT.split())
    assert f"There can be {MAX_KEYS} keys" in told
    assert f"ends {admin_sessions.SESSION_HOURS} hours after its login, or {admin_sessions.IDLE_HOURS} hours" in told
    assert f"There can be {admin_sessions.MAX_SESSIONS};" in told
    assert f"at least {admin_passwords.MIN_LENGTH} characters" in told
    assert f"at most {admin_attempts.NOTED.amount} lines an hour" in told
    assert (admin_attempts.PER_ADDRESS.amount, admin_attempts.OVERALL.amount) == (10, 60)
    assert RetentionSettings().audit_days == 3650


@pytest.mark.skipif(shutil.which("curl") is None, reason="the document calls the relay with curl")
def test_the_commands_work_as_they_stand(tmp_path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    password = {"RELAY_ADMIN_PASSWORD": PASSWORD}
    with relay_process(SETTINGS, tmp_path / "data", env=password) as relay:
        given = urllib3.request(
            "POST",
            f"{relay.url}/relay/users/ann/credits",
            json={"amount": 1},
            headers={"X-Recap-Operator-Key": "an operator key for this test"},
            timeout=30,
        )
        assert given.status == 200
        env = (
            os.environ
            | password
            | {"PATH": path, "RELAY_CONFIG": str(relay.config), "RELAY_DATA_DIR": str(relay.data_dir)}
        )
        printed = [run(block.replace("http://127.0.0.1:8484", relay.url), tmp_path, env) for block in COMMANDS]
    found, granted, log = map(json.loads, printed[0][:3])
    assert [row["credit_key"] for row in found["rows"]] == ["user:ann"]
    assert granted["purchased_balance"] == 6
    assert log["rows"][0]["actor"].startswith("key:")
    assert log["rows"][0]["reason"] == "a call that failed"
    assert "front desk" in printed[0][3]
    login, sessions, logout = map(json.loads, printed[1])
    assert login["authenticated"] is True
    assert [row["current"] for row in sessions["sessions"]] == [True]
    assert logout["ended"] == 1


def run(script: str, folder: Path, env: dict[str, str]) -> list[str]:
    """What each command printed."""
    # Answers end without a line break.
    script = script.replace("curl -s", "curl -sS --fail-with-body -w '\\n'")
    done = subprocess.run(
        ["bash", "-ec", script], cwd=folder, env=env, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done
    return done.stdout.splitlines()
