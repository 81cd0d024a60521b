"""`relay demo`: a real relay on a free port, a real recording, one credit."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from relay.cli import output
from relay.cli.options import Places
from relay.errors import ConfigError

SETTINGS = """
[tiers.core]
lifetime_credits = 10
[plugins.jsonfile]
[plugins.install_id]
[plugins.local]
"""
HEADERS = {"X-Recap-Install-Id": "demo", "X-Recap-Job-Id": "demo-job"}
TIMEOUT = (5, 600)
START_SECONDS = 120


def run(_places: Places) -> int:
    """0, or ConfigError with the reason. Uses a temporary data dir and settings of its own."""
    speech = recording()
    try:
        return _demonstrate(speech)
    except (requests.RequestException, subprocess.TimeoutExpired) as exc:
        raise ConfigError(f"the demo was interrupted: {exc}") from None


def _demonstrate(speech: Path) -> int:
    with tempfile.TemporaryDirectory(prefix="relay-demo-") as folder, running(Path(folder)) as url:
        before = total(url)
        output.heading(f"Transcribing {speech.name} ({speech.stat().st_size // 1024} kB of human speech) ...")
        with speech.open("rb") as file, output.progress("loading the model, listening"):
            transcript = call(f"{url}/relay/transcribe", files={"file": (speech.name, file)})
        output.heading(f"Transcript ({transcript['meta']['model']})")
        print(textwrap.fill(transcript["result"]["text"], 88))
        asked = {"prompt": "Summarise this.", "transcript": transcript["result"]["text"]}
        with output.progress("summarising"):
            summary = call(f"{url}/relay/analyze", json=asked)
        output.heading(f"Summary ({summary['meta']['model']})")
        print(summary["result"]["text"])
        after = total(url)
        output.heading("Credits")
        output.good(f"{before} -> {after} credits: two calls of one job cost one credit")
    if before - after != 1:
        raise ConfigError(f"the two calls cost {before - after} credits instead of one")
    return 0


def recording() -> Path:
    """The speech recording that comes with the embedded backend's wheel (MIT)."""
    spec = importlib.util.find_spec("moonshine_voice")
    if spec is None or spec.origin is None:
        raise ConfigError('the embedded backend is not installed: pip install "recap-relay[local]"')
    path = Path(spec.origin).parent / "assets" / "two_cities.wav"
    if not path.is_file():
        raise ConfigError(f"{path} is missing; install the embedded backend again")
    return path


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """A relay in a process of its own; yields its URL."""
    settings = folder / "plugins.toml"
    settings.write_text(SETTINGS, encoding="utf-8")
    command = [sys.executable, "-m", "relay", "serve", "--port", "0", "--config", str(settings)]
    command += ["--data", str(folder / "data")]
    env = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    log = (folder / "log").open("w+b")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=env)  # noqa: S603
    impatience = threading.Timer(START_SECONDS, process.kill)
    impatience.start()
    try:
        line = process.stdout.readline().decode() if process.stdout else ""
        impatience.cancel()
        if "listening on " not in line:
            process.wait(timeout=30)
            log.seek(0)
            raise ConfigError(f"the relay did not start: {log.read().decode(errors='replace')[-2000:]}")
        yield line.split("listening on ", 1)[1].strip()
    finally:
        impatience.cancel()
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)
        if process.stdout:
            process.stdout.close()
        log.close()


def direct() -> requests.Session:
    """Straight to our own relay, whatever proxy the environment names."""
    session = requests.Session()
    session.trust_env = False
    return session


def total(url: str) -> int:
    reply = direct().get(f"{url}/relay/credits", headers=HEADERS, timeout=TIMEOUT).json()
    return int(reply["credits"]["total"])


def call(url: str, **body: Any) -> Any:
    """The answer's JSON. Raises ConfigError with the relay's own message."""
    reply = direct().post(url, headers=HEADERS, timeout=TIMEOUT, **body)
    answer = reply.json()
    if not answer["ok"]:
        raise ConfigError(f"{answer['error']['code']}: {answer['error']['message']}")
    return answer
