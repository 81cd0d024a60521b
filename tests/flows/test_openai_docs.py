"""Every example of docs/openai.md works as it stands there, on the repository's own settings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.cli.demo import recording
from relay.errors import ConfigError
from tests.flows.processes import RelayProcess, relay_process

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "openai.md").read_text(encoding="utf-8")
CLIENTS = ROOT / "tests" / "clients"
needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (CLIENTS / "node_modules" / "openai").exists(),
    reason="needs node, and the client that `npm ci --prefix tests/clients` installs",
)
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the document makes its key with curl")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    try:
        sound = recording()
    except ConfigError as exc:
        pytest.skip(exc.message)
    folder = tmp_path_factory.mktemp("openai-docs")
    shutil.copy(sound, folder / "recording.wav")
    settings = (ROOT / "plugins.toml").read_text(encoding="utf-8").replace("# [plugins.api_key]", "[plugins.api_key]")
    with relay_process(settings, folder / "data", env={"RELAY_ADMIN_PASSWORD": "for this test"}) as relay:
        yield relay


def run(relay: RelayProcess, command: str, files: dict[str, str] | None = None) -> str:
    """What the command prints after the document's set-up, in a folder with a recording."""
    folder = relay.data_dir.parent
    for name, text in (files or {}).items():
        (folder / name).write_text(text, encoding="utf-8")
    script = blocks("sh")[0].replace("http://127.0.0.1:8484", relay.url) + command
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done
    return done.stdout


def test_the_calls_with_curl_work(relay: RelayProcess) -> None:
    _, calls = blocks("sh")
    models, chat, heard = (run(relay, line) for line in calls.splitlines())
    assert '"id":"default"' in models
    assert "Anna sends the draft on Monday." in chat
    assert "best of times" in heard


def test_the_examples_in_python_work(relay: RelayProcess) -> None:
    both, once = (run(relay, "python example.py", {"example.py": code}) for code in blocks("python"))
    assert "best of times" in both
    assert re.search(r"\d+ tokens; \d+ credits left", both)
    assert "1 credit spent" in once


@needs_node
def test_the_example_in_node_works(relay: RelayProcess) -> None:
    modules = relay.data_dir.parent / "node_modules"
    if not modules.exists():
        modules.symlink_to(CLIENTS / "node_modules")
    (code,) = blocks("js")
    said = run(relay, "node example.mjs", {"example.mjs": code})
    assert "best of times" in said
    assert re.search(r"\d+ credits left", said)
