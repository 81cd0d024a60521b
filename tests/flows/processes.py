"""The relay as a process of its own, as an operator runs it.

    with relay_process(config_text, tmp_path / "data") as relay:
        urllib3.request("GET", f"{relay.url}/relay/health")

Settings and log stand beside the data dir (`data.toml`, `data.log`), so a second `relay_process` on the same
data dir is a restart. The environment carries no RELAY_* variable but those given.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

LISTENING = "relay listening on "
PATIENCE = 60

BASIC = """
[plugins.jsonfile]
[plugins.install_id]
"""
"""The smallest settings that serve: a storage and one way to be a caller."""


@dataclass
class RelayProcess:
    """A relay that listens. `lines`: what it has printed to stdout, complete once it has stopped."""

    url: str
    process: subprocess.Popen[bytes]
    data_dir: Path
    config: Path
    log: Path
    lines: list[str] = field(default_factory=list)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, return the exit code. Harmless when it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(by)
        code = self.process.wait(PATIENCE)
        if self.process.stdout and not self.process.stdout.closed:
            self.lines += self.process.stdout.read().decode().splitlines()
            self.process.stdout.close()
        return code

    def stderr(self) -> str:
        """All that this data dir's relays have logged."""
        return self.log.read_text(encoding="utf-8")


@contextmanager
def relay_process(
    config_text: str, data_dir: Path, env: Mapping[str, str] | None = None, args: Sequence[str] = ()
) -> Iterator[RelayProcess]:
    """A relay that listens on a free port of 127.0.0.1, stopped at the end. AssertionError when it does not start."""
    config = write_config(config_text, data_dir)
    log = data_dir.with_name(f"{data_dir.name}.log")
    command = [sys.executable, "-m", "relay", "serve", "--config", str(config), "--data", str(data_dir), "--port", "0"]
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [*command, *args], stdout=subprocess.PIPE, stderr=stderr, env=environment(env), bufsize=0
        )
    relay = RelayProcess("", process, data_dir, config, log)
    try:
        line = _first_line(process)
        if not line.startswith(LISTENING):
            process.kill()
            relay.stop()
            raise AssertionError(f"the relay did not start: {line!r}\n{relay.stderr()[-3000:]}")
        relay.lines.append(line)
        relay.url = line.removeprefix(LISTENING)
        yield relay
    finally:
        try:
            relay.stop()
        except subprocess.TimeoutExpired:
            process.kill()
            relay.stop()
            raise


def run_relay(
    *args: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """One `relay …` command run to its end."""
    command = [sys.executable, "-m", "relay", *map(str, args)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, env=environment(env), cwd=cwd, check=False
    )


def environment(more: Mapping[str, str] | None) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    return clean | dict(more or {})


def write_config(text: str, data_dir: Path) -> Path:
    config = data_dir.with_name(f"{data_dir.name}.toml")
    config.write_text(text, encoding="utf-8")
    return config


def _first_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
    return process.stdout.readline().decode().rstrip("\n") if ready else ""
