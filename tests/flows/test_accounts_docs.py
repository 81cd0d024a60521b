"""Every command of docs/accounts.md works as it stands there."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.live import OPERATOR, PASSWORD, FakeBackend, running

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "accounts.md").read_text(), re.DOTALL)
SETUP, CALLS = BLOCKS[0], [call for block in BLOCKS[1:] for call in block.splitlines()]
TIERS = "[tiers.core]\nlifetime_credits = 10\n[tiers.pro]\nmonthly_credits = 50\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="the document calls the relay with curl")
def test_the_commands_work_as_they_stand(tmp_path):
    env = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RELAY_ADMIN_PASSWORD": PASSWORD,
    }
    with running(tmp_path, [FakeBackend()], settings=TIERS) as live:
        live.call("POST", "/relay/users/ann/credits", headers=OPERATOR, json={"amount": 1})
        setup = SETUP.replace("http://127.0.0.1:8484", f"http://127.0.0.1:{live.port}")
        assert len(CALLS) >= 14
        script = setup + "".join(f"{call}\necho\n" for call in CALLS)
        done = subprocess.run(
            ["bash", "-ec", script], cwd=tmp_path, env=env, capture_output=True, timeout=110, check=True
        )
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == len(CALLS)
        for call, answer in zip(CALLS, answers, strict=True):
            assert answer["ok"] is True, (call, answer)
        live.assert_balanced()
