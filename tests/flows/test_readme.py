"""Every command of the README works as it stands there."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from relay.cli.demo import recording
from relay.errors import ConfigError
from tests.flows.processes import relay_process

ROOT = Path(__file__).parents[2]
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for line in block.splitlines()
]
CALLS = [line for line in COMMANDS if line.startswith("curl ")]
OPERATOR = [line for line in COMMANDS if line.startswith("relay ")]
TARGETS = [line for line in COMMANDS if line.startswith("make ")]


def test_the_readme_holds_nothing_but_commands_tested_here():
    assert len(CALLS) + len(OPERATOR) + len(TARGETS) == len(COMMANDS)
    assert CALLS
    assert OPERATOR


def test_every_make_target_exists():
    makefile = (ROOT / "Makefile").read_text()
    for command in TARGETS:
        assert f"\n{command.split()[1]}:" in makefile


@pytest.fixture
def workdir(tmp_path):
    """A folder with the repository's own settings and a recording, as the README assumes."""
    try:
        shutil.copy(recording(), tmp_path / "recording.wav")
    except ConfigError as exc:
        pytest.skip(exc.message)
    shutil.copy(ROOT / "plugins.toml", tmp_path)
    return tmp_path


def run(command, folder):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "RELAY_DATA_DIR": str(folder / "data")}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README calls the relay with curl")
def test_the_calls_and_the_operators_commands_work(workdir):
    text = (workdir / "plugins.toml").read_text()
    with relay_process(text, workdir / "data", env={"RELAY_ADMIN_PASSWORD": "for this test"}) as relay:
        for command in CALLS:
            done = run(command.replace("http://127.0.0.1:8484", relay.url), workdir)
            assert json.loads(done.stdout)["ok"] is True, done
        for command in OPERATOR:
            done = run(command, workdir)
            assert done.returncode == 0, done
    assert json.loads(run_history(workdir, text))["entries"][0]["kind"] == "charge"


def run_history(workdir, text):
    with relay_process(text, workdir / "data", env={"RELAY_ADMIN_PASSWORD": "for this test"}) as relay:
        return run(CALLS[-1].replace("http://127.0.0.1:8484", relay.url), workdir).stdout
