"""Run a load in a process of its own: `wrk` where it is installed and fits, else ours."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from math import ceil
from pathlib import Path

import msgspec

from relay.bench import processes
from relay.bench.load import Found, Job
from relay.errors import ConfigError

WRK = """
local requests = {{ {requests} }}
local last = 0
request = function()
  last = last % #requests + 1
  return requests[last]
end
done = function(summary, latency)
  local failed = summary.errors
  local broken = failed.connect + failed.read + failed.write + failed.timeout
  io.write(string.format(
    '\\nFOUND {{"requests":%d,"us":%d,"p50":%d,"p99":%d,"refused":%d,"broken":%d}}\\n', summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99), failed.status, broken))
end
"""


class _Wrk(msgspec.Struct):
    requests: int
    us: int
    p50: int
    p99: int
    refused: int
    broken: int


def drive(job: Job) -> Found:
    """Raises ConfigError with what the load generator said when it could not do it."""
    return finish(begin(job), job)


def begin(job: Job) -> subprocess.Popen[bytes]:
    """Our own load, running while the caller looks at something else."""
    running = subprocess.Popen(  # noqa: S603
        processes.python("relay.bench.load"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=processes.clean_env(),
    )
    assert running.stdin is not None
    running.stdin.write(msgspec.json.encode(job))
    running.stdin.close()
    running.stdin = None
    return running


def finish(running: subprocess.Popen[bytes], job: Job) -> Found:
    out, said = running.communicate(timeout=job.warm_up + job.seconds + 300)
    if running.returncode != 0:
        raise ConfigError(f"the load generator failed: {said.decode(errors='replace')[-1000:]}")
    return msgspec.json.decode(out, type=Found)


def drive_fastest(job: Job) -> Found:
    """For plain answers: with `wrk` when it is on PATH. Its callers take the requests in turn."""
    program = shutil.which("wrk")
    if program is None:
        return drive(job)
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as folder:
        script = Path(folder) / "load.lua"
        script.write_text(WRK.format(requests=", ".join(_lua(request) for request in job.requests)))
        if job.warm_up:
            _wrk(program, script, job, job.warm_up)
        return _wrk(program, script, job, job.seconds)


def _wrk(program: str, script: Path, job: Job, seconds: float) -> Found:
    command = [program, "-t1", f"-c{job.callers}", f"-d{ceil(seconds)}s", "-s", str(script)]
    command.append(f"http://127.0.0.1:{job.port}/")
    done = subprocess.run(command, capture_output=True, timeout=seconds + 120, check=False)  # noqa: S603
    _, found, line = done.stdout.rpartition(b"\nFOUND ")
    if done.returncode != 0 or not found:
        raise ConfigError(f"wrk failed: {(done.stderr + done.stdout).decode(errors='replace')[-1000:]}")
    said = msgspec.json.decode(line, type=_Wrk)
    good = said.requests - said.refused
    statuses = {200: good, 0: said.refused + said.broken} if said.refused + said.broken else {200: good}
    return Found(good / (said.us / 1e6), said.p50 / 1000, said.p99 / 1000, statuses=statuses)


def _lua(data: bytes) -> str:
    """As a Lua string. Everything is escaped but letters and digits."""
    return '"' + "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\{byte:03}" for byte in data) + '"'
