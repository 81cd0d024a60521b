"""The commands of docs/meetings.md work as they stand there; what it says of edits and formats is the code."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from relay.domain.meeting_edits import Edit
from relay.domain.meeting_export import FORMATS
from relay.domain.meetings import Options
from relay.testing.sandbox.box import sandbox
from relay.testing.sandbox.spark import Spark
from tests.flows.processes import BASIC, relay_process
from tests.flows.sse import events
from tests.speech import counted

TEXT = (Path(__file__).parents[2] / "docs" / "meetings.md").read_text()
(COMMANDS,) = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)


def test_all_edits_options_and_formats_are_told() -> None:
    told = set(re.findall(r'"op":"([a-z]+)"', TEXT))
    assert told == {kind.__struct_config__.tag for kind in Edit.__args__}
    assert all(f"`{name}`" in TEXT for name in Options.__struct_fields__)
    assert "\\|".join(FORMATS) in TEXT


@pytest.mark.skipif(shutil.which("curl") is None, reason="the document calls the relay with curl")
def test_the_commands_work_as_they_stand(tmp_path) -> None:
    counted(tmp_path / "meeting.wav", 30)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    password = {"RELAY_ADMIN_PASSWORD": "a password for this test"}
    with sandbox([Spark()]) as box:
        settings = f'[relay]\npin_cpu = false\n{BASIC}\n[plugins.spark]\nurl = "{box.url}/spark"\n'
        with relay_process(settings, tmp_path / "data", env=password) as relay:
            env = os.environ | password | {"PATH": path, "RELAY_CONFIG": str(relay.config)}
            env["RELAY_DATA_DIR"] = str(relay.data_dir)
            script = COMMANDS.replace("http://127.0.0.1:8484", relay.url).replace("\ncurl", "\necho =====\ncurl")
            command = ["bash", "-ec", script]
            done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, timeout=110, check=True)
    made, followed, renamed, undone, redone, exported = (part.strip() for part in done.stdout.split(b"=====\n")[1:])
    assert json.loads(made)["meeting"]["title"] == "Weekly"
    name, last = events(followed + b"\n\n")[-1]
    assert (name, last["meeting"]["state"]) == ("done", "ready"), followed
    names = [json.loads(part)["text"]["speakers"][0].get("name", "") for part in (renamed, undone, redone)]
    assert names == ["Ana", "", "Ana"]
    assert exported.startswith(b"# Weekly")
    assert b"**Ana**" in exported
