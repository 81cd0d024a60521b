"""The commands of docs/settings.md work as they stand there, on the repository's own settings."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.flows.processes import relay_process

ROOT = Path(__file__).parents[2]
COMMANDS = "".join(re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "settings.md").read_text(), re.DOTALL))
WHERE = """
admin $RELAY/admin/config > config.json
"""


@pytest.mark.skipif(shutil.which("curl") is None, reason="the document calls the relay with curl")
def test_the_commands_work_as_they_stand(tmp_path):
    password = "for this test"
    env = os.environ | {"RELAY_ADMIN_PASSWORD": password}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = (ROOT / "plugins.toml").read_text()
    with relay_process(settings, tmp_path / "data", env={"RELAY_ADMIN_PASSWORD": password}) as relay:
        script = "set -o pipefail\n" + COMMANDS + WHERE
        env["RELAY"] = relay.url
        shell = ["bash", "-ec", script]
        done = subprocess.run(shell, cwd=tmp_path, env=env, capture_output=True, timeout=100, check=False)
        assert done.returncode == 0, done
        policy = json.load(urllib.request.urlopen(f"{relay.url}/relay/policy", timeout=10))
        assert policy["tiers"]["pro"]["price"] == "6.00"
        assert policy["tiers"]["pro"]["monthly_credits"] == 60
        assert policy["jobs"]["max_calls"] == 500
        assert [package["id"] for package in policy["packages"]] == ["small"]
        answers = [json.loads(line) for line in done.stdout.decode().replace("}{", "}\n{").splitlines()]
        assert all(answer["ok"] for answer in answers)
        assert answers[-1]["rows"][0]["after"] == {"prompts.recap": "Only the decisions."}
        shown = json.loads((tmp_path / "config.json").read_text())
        assert shown["sources"]["relay.port"] == "flag"
        assert shown["sources"]["relay.admin_password"] == "env"
        assert shown["sources"]["tiers.pro.price"] == "dashboard"
        assert password not in (tmp_path / "config.json").read_text()
