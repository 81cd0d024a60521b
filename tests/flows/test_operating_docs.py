"""docs/operating.md: every command works as it stands there, and what it says of settings and metrics is true."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from relay.settings import OutputSettings, RelaySettings, RetentionSettings
from tests.flows.busy import busy_relay
from tests.flows.processes import relay_process

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "operating.md").read_text()
BLOCKS = re.findall(r"```sh ?(\w*)\n(.*?)```", TEXT, re.DOTALL)
LOST = "another long password"


def commands(kind: str = "") -> list[str]:
    return [line for found, block in BLOCKS if found == kind for line in block.splitlines()]


class Machine:
    """A folder that stands for the machine's root: the document's paths lie in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "var" / "lib" / "relay"
        self.data.parent.mkdir(parents=True)

    def run(self, command: str, url: str = "") -> str:
        words = "\n".join([*commands("setup"), command])
        words = words.replace("/var/lib", str(self.data.parent)).replace("/etc/relay", str(self.data.parent))
        words = words.replace("/plugins.toml", "/relay.toml").replace("http://127.0.0.1:8484", url)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")} | {"PATH": path}
        done = subprocess.run(
            ["bash", "-ec", words], cwd=self.root, env=env, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="the document calls the relay with curl")
def test_the_commands_work_as_they_stand(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    settings = (ROOT / "plugins.toml").read_text()
    machine.data.with_name("relay.toml").write_text(settings)
    for command in commands("before"):
        machine.run(command)
    assert commands("serve") == ["relay serve"]
    with relay_process(settings, machine.data) as relay:
        password = re.search(r"the admin password is (\S+)", relay.stderr())
        assert password, "the first start prints one"
        assert len(commands()) >= 8
        for command in commands():
            machine.run(command, relay.url)
        assert json.loads(login(relay.url, password[1]))["ok"] is True
        assert relay.stop(signal.SIGTERM) == 0
    for command in commands("stopped"):
        machine.run(command)
    assert commands("lost") == [f"RELAY_ADMIN_PASSWORD='{LOST}' relay serve"]
    with relay_process(settings, tmp_path / "restored" / "relay", env={"RELAY_ADMIN_PASSWORD": LOST}) as relay:
        assert json.loads(login(relay.url, LOST))["ok"] is True
        assert json.loads(login(relay.url, password[1]))["ok"] is False
        keys = machine.run("relay keys list --json --data restored/relay")
        assert [key["label"] for key in json.loads(keys)["keys"]] == ["prometheus"], "the backup holds the key"


def login(url: str, password: str) -> bytes:
    command = ["curl", "-s", "--json", json.dumps({"password": password}), f"{url}/admin/login"]
    return subprocess.check_output(command, timeout=30)


def test_there_is_no_command_that_is_not_run_here() -> None:
    assert {kind for kind, _ in BLOCKS} == {"", "setup", "before", "serve", "stopped", "lost"}


def test_the_table_of_what_is_kept_says_the_defaults() -> None:
    kept = dict(re.findall(r"`retention\.(\w+)` \| ([^|]+?) \|", TEXT))
    defaults = RetentionSettings()
    assert kept.keys() == {*RetentionSettings.__struct_fields__}
    for name, said in kept.items():
        assert str(getattr(defaults, name)) in said, name
    assert f"`outputs.max_mb` ({OutputSettings().max_mb})" in TEXT


def test_the_proxies_let_through_what_the_relay_takes() -> None:
    relay = RelaySettings()
    assert f"client_max_body_size {relay.max_upload_mb}m;" in TEXT
    assert f"max_size {relay.max_upload_mb}MB" in TEXT
    timeouts = [int(found) for found in re.findall(r"read_timeout (\d+)s", TEXT)]
    assert len(timeouts) == 2
    assert min(timeouts) > relay.call_seconds
    assert f"`relay.drain_seconds` ({relay.drain_seconds})" in TEXT
    stop = re.search(r"TimeoutStopSec=(\d+)", TEXT)
    assert stop
    assert int(stop[1]) > relay.drain_seconds


def test_the_alerts_ask_for_what_a_scrape_holds(tmp_path: Path) -> None:
    documents = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]
    scrape, rules = documents[0]["scrape_configs"][0], documents[1]["groups"][0]["rules"]
    assert scrape["metrics_path"] == "/metrics"
    with busy_relay(tmp_path) as live:
        text = live.get("/metrics").body.decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    names = {sample.name for sample in samples} | {"up"}
    for rule in rules:
        asked = set(re.findall(r"\b(relay_[a-z_]+|up)\b", rule["expr"]))
        assert asked, rule
        assert asked <= names, rule
        labels = {label for sample in samples if sample.name in asked for label in sample.labels}
        assert set(re.findall(r"(\w+)=~?\"", rule["expr"])) <= labels | {"job"}, rule


def test_every_link_leads_to_a_file() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
