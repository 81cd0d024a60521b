"""Starting: until the port listens, with empty books and with 200 000 accounts, and what an idle relay weighs."""

import os
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks.bench_meter import MANY, books
from benchmarks.relays import relay


def main() -> None:
    cpus = os.sched_getaffinity(0)
    with relay(1, cpus) as (port, process, took):
        start = time.perf_counter()
        urllib.request.urlopen(f"http://127.0.0.1:{port}/relay/health").read()
        first = took + time.perf_counter() - start
        time.sleep(2)
        print(f"empty books: first health answer {first:.2f} s after start, idle RSS {mib(process):.0f} MiB")
    with tempfile.TemporaryDirectory() as folder:
        storage, _ = books(Path(folder) / "books", MANY)
        storage.close()
        with relay(1, cpus, data=Path(folder) / "books" / "data") as (_, process, took):
            print(f"{MANY} accounts: listening {took:.2f} s after start, RSS {mib(process):.0f} MiB")


def mib(process) -> float:
    return process.memory_info().rss / 2**20
