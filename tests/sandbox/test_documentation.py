"""docs/sandbox.md: its examples run, its tables are complete."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from relay.testing.sandbox.catalogue import all_services
from relay.testing.sandbox.faults import COMMON

TEXT = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_the_python_examples_run(code):
    exec(compile(code, "docs/sandbox.md", "exec"), {"__name__": "example"})


@pytest.mark.skipif(shutil.which("curl") is None, reason="the example is for curl")
def test_the_shell_example_says_what_the_text_claims(box):
    (script,) = blocks("sh")
    answers = []
    for line in script.replace("http://127.0.0.1:8485", box.url).splitlines():
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30, check=True)
        answers.append(done.stdout)
    overview, state, _planned, busy, answer, requests, counts, reset = answers
    assert "plays these services" in overview
    assert '"answer":"They meet on Friday."' in state
    assert "told to be busy" in busy
    assert "They meet on Friday." in answer
    assert '"fault":"retry_after"' in requests
    assert '"json":{"messages":[{"role":"user","content":"When?"}]}' in requests
    assert '"chat":{"calls":2,"billed":1}' in counts
    assert reset == '{"ok":true}'


def test_every_fault_and_setting_is_in_the_document():
    for name, (_, options) in COMMON.items():
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{name}` |"))
        assert [option for option in options if f"`{option}`" not in row] == []
    spark = next(service for service in all_services() if service.name == "spark")
    for name in [*spark.state(), *spark.faults]:
        assert f"`{name}`" in TEXT, name
