"""`/relay/analyze` with the ledger on and durable, against the same route with a ledger that does nothing."""

import json
import os
import statistics

from benchmarks.load import drive, fast_upstream, post
from benchmarks.relays import HEADERS, relay

ROUNDS, SECONDS = 5, 3.0
BODY = json.dumps({"prompt": "What was decided? " + "word " * 180}).encode()


def main() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    request = post("/relay/analyze", HEADERS, BODY)
    with fast_upstream(cpus[-1]) as upstream:
        for callers in (1, 16, 64):
            ratios, cpu_ratios, shown = [], [], []
            for _ in range(ROUNDS):
                with_ledger = measure(upstream, cpus, request, callers, "relay")
                without = measure(upstream, cpus, request, callers, "benchmarks.no_ledger")
                ratios.append(with_ledger[0] / without[0])
                cpu_ratios.append(with_ledger[3] / without[3])
                shown.append((with_ledger, without))
            on, off = (
                tuple(statistics.median(x) for x in zip(*side, strict=True)) for side in zip(*shown, strict=True)
            )
            print(
                f"{callers:3} callers: ledger on / off {statistics.median(ratios):.2f}"
                f" (rounds {min(ratios):.2f}-{max(ratios):.2f}), cpu {statistics.median(cpu_ratios):.2f};"
                f" on {on[0]:.0f}/s p50 {on[1]:.1f} p99 {on[2]:.1f} ms {on[3]:.0f} us;"
                f" off {off[0]:.0f}/s p50 {off[1]:.1f} p99 {off[2]:.1f} ms {off[3]:.0f} us",
                flush=True,
            )


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
