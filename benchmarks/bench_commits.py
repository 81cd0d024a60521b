"""What a durable commit costs: python benchmarks/bench_commits.py [--rounds N] [--rows N] [--dir DIR] [--sync-ms MS].

Everything is measured in one run, the variants taking turns, and told as medians and ratios: a disk and a machine
of another day give other figures. Nothing here is asserted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
from relay_jsonfile import JSONFileStorage

from relay.api import Tx
from relay.ports.storage import COLLECTIONS, STREAMS

SMALL = 500


def account(number: int) -> dict[str, object]:
    """A credits row of about 400 bytes, with all four indexes."""
    return {
        "tier": "core",
        "lifetime_consumed": number % 10,
        "lifetime_gemini_consumed": 0,
        "monthly_consumed": number % 50,
        "monthly_gemini_consumed": 0,
        "purchased_balance": number * 7919 % 1000,
        "purchased_total_ever": number % 5000,
        "held": 0,
        "sort_total": number * 7919 % 10_000,
        "cycle_started_at": "2026-01-01T00:00:00.000+00:00",
        "last_active_at": f"2026-01-{number % 28 + 1:02}T{number % 24:02}:00:00.000+00:00",
        "due_at": f"2026-02-{number % 28 + 1:02}T00:00:00.000+00:00",
        "note": "x" * 20,
    }


def use_credit(key: str, tx: Tx) -> None:
    doc = tx.get("credits", key)
    assert doc is not None
    doc["lifetime_consumed"] += 1
    doc["sort_total"] -= 1
    tx.put("credits", key, doc)


class OneSyncEach:
    """The plain way: a lock, a write and an fdatasync for every commit."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._rows = {key_of(number): msgspec.json.encode(account(number)) for number in range(SMALL)}

    def commit(self, key: str) -> None:
        with self._lock:
            doc = msgspec.json.decode(self._rows[key])
            doc["lifetime_consumed"] += 1
            self._rows[key] = msgspec.json.encode(doc)
            os.write(self._fd, self._rows[key] + b"\n")
            os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def key_of(number: int) -> str:
    return f"inst:{number:08}"


def per_second(commit: Callable[[str], None], threads: int, seconds: float) -> float:
    """Commits per second of `threads` threads, each on rows of its own."""
    counts = [0] * threads
    stop = time.perf_counter() + seconds

    def work(thread: int) -> None:
        while time.perf_counter() < stop:
            commit(key_of((counts[thread] * threads + thread) % SMALL))
            counts[thread] += 1

    running = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(counts) / seconds


def opened(path: Path, rows: int) -> JSONFileStorage:
    """A storage with that many accounts, none of them in the journal."""
    storage = JSONFileStorage()
    storage.open(path, COLLECTIONS, STREAMS)
    for start in range(0, rows, 5000):

        def fill(tx: Tx, start: int = start) -> None:
            for number in range(start, min(rows, start + 5000)):
                tx.put("credits", key_of(number), account(number))

        storage.transact(fill)
    storage.checkpoint()
    return storage


def commit_to(storage: JSONFileStorage, key: str) -> None:
    storage.transact(partial(use_credit, key))


def cpu_each(storage: JSONFileStorage, count: int = 3000) -> float:
    """Microseconds of CPU of the whole process for one commit, one thread."""
    start = time.process_time()
    for number in range(count):
        commit_to(storage, key_of(number % SMALL))
    return (time.process_time() - start) / count * 1e6


def start_time(path: Path) -> float:
    storage = JSONFileStorage()
    start = time.perf_counter()
    storage.open(path, COLLECTIONS, STREAMS)
    took = time.perf_counter() - start
    storage.close()
    return took


def slow_down_syncs(milliseconds: float) -> None:
    """Make every fdatasync take longer, as on a disk of a cloud (1 to 5 ms)."""
    sync = os.fdatasync

    def slow(fd: int) -> None:
        time.sleep(milliseconds / 1000)
        sync(fd)

    os.fdatasync = slow  # type: ignore[assignment]


def run(folder: Path, rounds: int, rows: int, seconds: float) -> None:
    plain, small, large = OneSyncEach(folder / "plain"), opened(folder / "small", SMALL), opened(folder / "large", rows)
    alone = opened(folder / "alone", SMALL)
    alone._writer.batch = 1  # grouping switched off
    variants: dict[str, Callable[[], float]] = {}
    for threads in (1, 16):
        variants[f"one fdatasync each, {threads} threads"] = partial(per_second, plain.commit, threads, seconds)
        variants[f"alone, {threads} threads"] = partial(per_second, partial(commit_to, alone), threads, seconds)
        for count, storage in ((SMALL, small), (rows, large)):
            variants[f"jsonfile, {count} rows, {threads} threads"] = partial(
                per_second, partial(commit_to, storage), threads, seconds
            )
    variants[f"cpu, {SMALL} rows"] = partial(cpu_each, small)
    variants[f"cpu, {rows} rows"] = partial(cpu_each, large)
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, variant in variants.items():
            found[name].append(variant())
    for storage in (small, large, alone):
        storage.close()
    plain.close()
    median = {name: statistics.median(values) for name, values in found.items()}
    starts = statistics.median(start_time(folder / "large") for _ in range(rounds))
    report(median, rows, starts)


def report(median: dict[str, float], rows: int, starts: float) -> None:
    for threads in (1, 16):
        plain, alone = (median[f"{name}, {threads} threads"] for name in ("one fdatasync each", "alone"))
        small, large = (median[f"jsonfile, {n} rows, {threads} threads"] for n in (SMALL, rows))
        print(f"{threads:>2} threads: jsonfile, {SMALL} rows {small:>8,.0f} commits/s")
        print(f"            is {small / alone:.2f} x the same storage with one fdatasync for each ({alone:,.0f}/s)")
        print(f"            and {small / plain:.2f} x a bare write and fdatasync behind a lock ({plain:,.0f}/s)")
        print(
            f"            jsonfile, {rows} rows {large:>8,.0f} commits/s, {large / small:.2f} of the {SMALL}-row rate"
        )
    small, large = median[f"cpu, {SMALL} rows"], median[f"cpu, {rows} rows"]
    print(f"CPU per commit: {small:.0f} us with {SMALL} rows, {large:.0f} us with {rows}, ratio {large / small:.2f}")
    print(f"start with {rows} rows: {starts:.2f} s")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=1.0, help="per variant and round")
    parser.add_argument("--dir", type=Path, default=None, help="on the disk to be measured")
    parser.add_argument("--sync-ms", type=float, default=0, help="added to every fdatasync")
    options = parser.parse_args(arguments)
    if options.sync_ms:
        slow_down_syncs(options.sync_ms)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one cpu, as `relay serve` does
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        run(Path(folder), options.rounds, options.rows, options.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
