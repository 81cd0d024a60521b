"""`/relay/analyze` with the ledger on and durable, against the same route without a disk, and without metering.

"No disk": all of the books are kept, in memory, and nothing is written. "No ledger": nothing is metered at all.
"""

import json
import os
import statistics

from benchmarks.load import drive, fast_upstream, post
from benchmarks.relays import HEADERS, relay

ROUNDS, SECONDS = 5, 3.0
BODY = json.dumps({"prompt": "What was decided? " + "word " * 180}).encode()


VARIANTS = {"ledger": "relay", "no disk": "benchmarks.no_disk", "no ledger": "benchmarks.no_ledger"}


def main() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    request = post("/relay/analyze", HEADERS, BODY)
    with fast_upstream(cpus[-1]) as upstream:
        for callers in (1, 16, 64):
            rounds = [
                {name: measure(upstream, cpus, request, callers, module) for name, module in VARIANTS.items()}
                for _ in range(ROUNDS)
            ]
            for name in VARIANTS:
                report(callers, name, rounds)


def report(callers: int, name: str, rounds: list[dict[str, tuple[float, ...]]]) -> None:
    rate, p50, p99, cpu = (statistics.median(x) for x in zip(*(found[name] for found in rounds), strict=True))
    line = f"{callers:3} callers, {name:9}: {rate:5.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms, {cpu:.0f} us of CPU"
    if name != "ledger":
        ratios = [found["ledger"][0] / found[name][0] for found in rounds]
        line += f"; with the ledger {statistics.median(ratios):.2f} of it ({min(ratios):.2f}-{max(ratios):.2f})"
    print(line, flush=True)


def measure(upstream: int, cpus: list[int], request: bytes, callers: int, module: str) -> tuple[float, ...]:
    """(requests/s, p50 ms, p99 ms, CPU microseconds of the relay per request)."""
    with relay(upstream, {cpus[0]}, module) as (port, process, _):
        os.sched_setaffinity(0, {cpus[-1]})
        drive(port, request, callers, 1.0)
        before = process.cpu_times()
        rate, p50, p99 = drive(port, request, callers, SECONDS)
        after = process.cpu_times()
        os.sched_setaffinity(0, set(cpus))
    cpu = (after.user + after.system - before.user - before.system) / (rate * SECONDS) * 1e6
    return rate, p50, p99, cpu
