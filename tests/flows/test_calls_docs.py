"""Every command of docs/calls.md works as it stands there, on the repository's own settings."""

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
from tests.flows.sse import events

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "calls.md").read_text(), re.DOTALL)
SETUP, CALLS = BLOCKS[0], [call for block in BLOCKS[1:] for call in re.split(r"(?<!\\)\n", block) if call]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the document calls the relay with curl")
def test_the_commands_work_as_they_stand(tmp_path):
    try:
        short = recording().parent / "beckett.wav"
    except ConfigError as exc:
        pytest.skip(exc.message)
    shutil.copy(short, tmp_path / "talk.wav")
    settings = (ROOT / "plugins.toml").read_text()
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with relay_process(settings, tmp_path / "data", env={"RELAY_ADMIN_PASSWORD": "for this test"}) as relay:
        setup = SETUP.replace("http://127.0.0.1:8484", relay.url)
        assert len(CALLS) >= 4
        for call in CALLS:
            done = subprocess.run(
                ["bash", "-ec", setup + call], cwd=tmp_path, env=env, capture_output=True, timeout=110, check=True
            )
            answer = events(done.stdout)[-1][1] if "stream" in call else json.loads(done.stdout)
            assert answer["ok"] is True, done
            assert answer["credits"]["charged"] == 1
