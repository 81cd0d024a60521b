"""Processes that are measured, and what the kernel says about them (Linux)."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import urllib3

from relay.errors import ConfigError

START_SECONDS = 120.0
STOP_SECONDS = 30.0
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def started(
    command: Sequence[str], log: Path, env: Mapping[str, str], *, says: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """The command in a process group of its own, stopped at the end with all it started.

    What it prints goes to `log`, with `says` only its stderr: then it prints one line to be read.
    """
    with log.open("ab") as file:
        process = subprocess.Popen(  # noqa: S603 - what the operator asked to be measured
            command, stdout=subprocess.PIPE if says else file, stderr=file, env=dict(env), process_group=0
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=STOP_SECONDS)
    # Also what it started and left behind.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=STOP_SECONDS)
    if process.stdout is not None:
        process.stdout.close()


def first_line(process: subprocess.Popen[bytes], what: str, log: Path) -> str:
    """The first line it prints. Raises ConfigError with the end of its log when it prints none in two minutes."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline().decode() if ready else ""
    if not line:
        raise ConfigError(f"{what} did not start: {log.read_text(errors='replace')[-1500:]}")
    return line.strip()


def wait_for_http(process: subprocess.Popen[bytes], url: str, what: str, log: Path) -> None:
    """Until it answers with anything. Raises ConfigError with the end of its log when it does not in two minutes."""
    end = time.monotonic() + START_SECONDS
    pool = urllib3.PoolManager(retries=False, timeout=5)
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            pool.request("GET", url)
            return
        time.sleep(0.1)
    raise ConfigError(f"{what} did not start: {log.read_text(errors='replace')[-1500:]}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def clean_env(**more: str) -> dict[str, str]:
    """The environment without the relay's own variables and without proxies."""
    return {name: value for name, value in os.environ.items() if not _ours(name)} | more


def _ours(name: str) -> bool:
    return name.startswith("RELAY_") or name.lower() in {"http_proxy", "https_proxy", "all_proxy"}


def cpu_seconds(pid: int) -> float:
    """Of the process and of its children that are still there."""
    return sum(_cpu(each) for each in _family(pid))


def rss_mib(pid: int) -> float:
    """Resident memory of the process and its children, in MiB."""
    pages = 0
    for each in _family(pid):
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{each}/statm").read_text().split()[1])
    return pages * PAGE / 2**20


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def _family(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):  # it may end while it is looked at
            for children in Path(f"/proc/{each}/task").glob("*/children"):
                found += [int(child) for child in children.read_text().split()]
    return found


def busy_cores(seconds: float = 0.3) -> float:
    """How many cores are busy now. Asked while nothing of ours runs, that is what disturbs the measurement."""
    before = _busy_ticks()
    time.sleep(seconds)
    return (_busy_ticks() - before) / TICKS / seconds


def _busy_ticks() -> int:
    user, nice, system, _idle, _iowait, irq, soft, steal = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    )
    return user + nice + system + irq + soft + steal


def wait_for_quiet(limit: float, patience: float) -> float:
    """Until others use less than `limit` cores, or `patience` seconds are over; return what they use now."""
    end = time.monotonic() + patience
    while (busy := busy_cores()) > limit and time.monotonic() < end:
        time.sleep(0.5)
    return busy
