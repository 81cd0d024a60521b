"""The relay and its peers under the same load, in interleaved rounds, each started fresh in every round."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

from msgspec import Struct

from relay.bench import processes, targets
from relay.bench.drive import drive, drive_fastest
from relay.bench.load import Found, Job
from relay.bench.targets import Start, Target

Say = Callable[[str], None]


class Plan(Struct):
    """How much is measured. `callers`: of plain calls; `streams`: callers of streams. Times in seconds.

    `warm_up`: before the first sample of a fresh process; `settle`: before each. `patience`: how long a sample waits
    for others to leave the machine alone, that is to use less than `quiet_cores`.
    """

    rounds: int = 3
    callers: tuple[int, ...] = (1, 16, 64)
    streams: tuple[int, ...] = (1, 16)
    seconds: float = 3.0
    warm_up: float = 4.0
    settle: float = 0.5
    patience: float = 20.0
    quiet_cores: float = 0.15


class Sample(Struct):
    """One target in one round. `plain` and `streamed` by number of callers; `cpu_us`: CPU per plain call.

    `start_seconds`: until the process answered its first call. `disturbed`: cores that others used before samples.
    """

    target: str
    round: int
    start_seconds: float
    plain: dict[int, Found] = {}
    streamed: dict[int, Found] = {}
    cpu_us: dict[int, float] = {}
    rss_mib: float = 0.0
    disturbed: float = 0.0


def measure(plan: Plan, starts: Mapping[str, Start], say: Say) -> list[Sample]:
    samples = []
    for number in range(plan.rounds):
        with targets.mock() as (upstream, _):
            for name, start in starts.items():
                say(f"round {number + 1} of {plan.rounds}: {name}")
                samples.append(_measure_one(plan, name, number, start, upstream))
    return samples


def _measure_one(plan: Plan, name: str, number: int, start: Start, upstream: int) -> Sample:
    begun = time.perf_counter()
    with start(upstream) as target:
        drive(Job(target.port, target.requests(1), 1, each=1))
        sample = Sample(name, number, time.perf_counter() - begun)
        drive(Job(target.port, target.requests(4), 4, seconds=plan.warm_up))
        noise = []
        for callers in plan.callers:
            noise.append(processes.wait_for_quiet(plan.quiet_cores, plan.patience))
            before = processes.cpu_seconds(target.pid)
            job = Job(target.port, target.requests(callers), callers, plan.seconds)
            found = sample.plain[callers] = drive_fastest(job)
            calls = max(1, sum(found.statuses.values()))
            sample.cpu_us[callers] = (processes.cpu_seconds(target.pid) - before) / calls * 1e6
        for callers in plan.streams:
            noise.append(processes.wait_for_quiet(plan.quiet_cores, plan.patience))
            sample.streamed[callers] = _stream(plan, target, callers)
        sample.rss_mib = processes.rss_mib(target.pid)
        sample.disturbed = median(noise)
    return sample


def _stream(plan: Plan, target: Target, callers: int) -> Found:
    requests = target.requests(callers, stream=True)
    return drive(Job(target.port, requests, callers, plan.seconds, plan.settle))
