"""Relays for the measurements: real processes on real data dirs."""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

KEY = "operator-key-of-the-benchmark"
HEADERS = {"X-Recap-Operator-Key": KEY, "X-Recap-User-Id": "u"}
SETTINGS = """
[relay]
log_level = "warning"
pin_cpu = false
admin_password = "benchmark"
[tiers.core]
[limits]
requests_per_minute = 0
concurrent_calls = 0
new_installs_per_address_per_hour = 0
[plugins.jsonfile]
[plugins.operator_key]
key = "%s"
[plugins.spark]
url = "http://127.0.0.1:%d"
model = "m"
max_concurrent = 256
"""


@contextlib.contextmanager
def relay(
    upstream_port: int, cpus: set[int], module: str = "relay", data: Path | None = None
) -> Iterator[tuple[int, psutil.Process, float]]:
    """Yields (port, process, seconds until it listened). `module` is run like `python -m relay`."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "plugins.toml"
        config.write_text(SETTINGS % (KEY, upstream_port))
        command = [sys.executable, "-m", module, "serve", "--port", "0", "--config", str(config)]
        command += ["--data", str(data or Path(folder) / "data")]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        psutil.Process(process.pid).cpu_affinity(sorted(cpus))
        line = process.stdout.readline()
        took = time.perf_counter() - start
        try:
            yield int(line.rsplit(":", 1)[1]), psutil.Process(process.pid), took
        finally:
            process.terminate()
            process.wait(60)
            process.stdout.close()
