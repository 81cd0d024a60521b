"""Long recordings of four people through the whole pipeline: how pure the speakers are, what the relay itself costs,
how much memory it takes.

Goals: purity at least 0.95; less than 3 % of the audio's time outside of the backends; RSS grows by less than 200 MB.
The backends are the sandbox's Spark in a process of its own, which knows the truth.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from relay import logs
from relay.config import load_config
from relay.domain.meetings import Options
from relay.loader import load_plugins
from relay.services.core import Core
from tests.espeak import meeting, purity

SETTINGS = """
[relay]
admin_password = "only for measuring"
[plugins.jsonfile]
[plugins.install_id]
[plugins.spark]
url = "{url}"
max_concurrent = 2
"""
SANDBOX = """
import json, sys, threading
from relay.testing.sandbox.box import sandbox
from relay.testing.sandbox.spark import Spark
with sandbox([Spark()]) as box:
    box["spark"].configure({"speakers": json.load(open(sys.argv[1]))})
    print(f"{box.url}/spark", flush=True)
    threading.Event().wait()
"""


def main(arguments: list[str] | None = None) -> None:
    logs.configure("warning")
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=int, nargs="+", default=[60, 120])
    for minutes in parser.parse_args(arguments).minutes:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), minutes)


def measure(folder: Path, minutes: int) -> None:
    truth = meeting(folder / "meeting.wav", minutes * 60)
    told = [{"start": turn.start, "end": turn.end, "speaker": turn.speaker} for turn in truth]
    (folder / "truth.json").write_text(json.dumps(told))
    command = [sys.executable, "-c", SANDBOX, str(folder / "truth.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as box:
        try:
            assert box.stdout is not None
            url = box.stdout.readline().decode().strip()
            (folder / "plugins.toml").write_text(SETTINGS.format(url=url))
            config = load_config(folder / "plugins.toml")
            core = Core(config, load_plugins(config), folder / "data")
            core.start()
            try:
                report(core, folder / "meeting.wav", truth, minutes)
            finally:
                core.close()
        finally:
            box.kill()


def report(core: Core, recording: Path, truth: list[Any], minutes: int) -> None:
    view, spent, wall, grown = run(core, recording)
    lines = view["text"]["lines"]
    said = [(line["speaker"], (start + end) / 2) for line in lines for _, start, end in line["words"]]
    (done,) = core.meetings.runs.view(view["meeting"]["id"])
    timings = done["timings"]
    outside = sum(timings.values()) - 2 * timings["in_backends"]
    seconds = minutes * 60
    print(f"{minutes} minutes, {len(said)} words, {len(lines)} lines, {len(view['text']['speakers'])} speakers")
    print(f"  purity                    {purity(said, truth):.4f}   (goal: at least 0.95)")
    print(f"  outside of the backends   {outside:6.1f} s = {100 * outside / seconds:.2f} %   (goal: less than 3 %)")
    print(f"  processor of the relay    {spent:6.1f} s = {100 * spent / seconds:.2f} %, with the plugin's uploads")
    print(f"  the whole run             {wall:6.1f} s, {timings}")
    print(f"  RSS grew by               {grown / 2**20:6.1f} MB   (goal: less than 200 MB)", flush=True)


def run(core: Core, recording: Path) -> tuple[Any, float, float, int]:
    """The finished meeting, the processor's seconds, the clock's, and by how many bytes memory grew at most."""
    process = psutil.Process()
    before = peak = process.memory_info().rss
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.05):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began, cpu = time.monotonic(), time.process_time()
    try:
        made = core.meetings.directory.take("measured", recording.name, recording, Options(), "benchmark")
        while (view := core.meetings.view(made["id"]))["meeting"]["state"] not in {"ready", "failed"}:
            time.sleep(0.5)
    finally:
        over.set()
        watcher.join()
    if view["meeting"]["error"]:
        raise SystemExit(f"the run failed: {view['meeting']['error']}")
    return view, time.process_time() - cpu, time.monotonic() - began, peak - before


if __name__ == "__main__":
    main()
