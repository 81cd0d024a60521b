"""What only the relay promises: it answers while everything is busy, and it never gives away a credit."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import time

from msgspec import Struct

from relay.bench import processes, targets
from relay.bench.drive import begin, drive, finish
from relay.bench.load import Found, Job, percentiles
from relay.bench.targets import Target
from relay.errors import ConfigError

PROBE_SECONDS = 0.02
HEALTH_PATIENCE = 30.0


class Health(Struct):
    """`GET /relay/health` on new connections while slow streams run; milliseconds."""

    threads: int
    streams: int
    probes: int
    p50: float
    p99: float
    worst: float
    found: Found


class Crowd(Struct):
    """As many callers as threads, and four times as many."""

    threads: int
    few: Found
    many: Found


class Overspend(Struct):
    """`answered` calls of `asked` for an account of `credits`; `left`: what it has then; does `ledger verify` agree?"""

    credits: int
    callers: int
    asked: int
    answered: int
    left: int
    balanced: bool

    @property
    def ok(self) -> bool:
        return self.answered == self.credits and self.left == 0 and self.balanced


def slow_streams(streams: int, threads: int, each: int = 2) -> Health:
    """Every stream takes two seconds; `streams` callers open `each` of them one after the other."""
    with targets.mock() as (upstream, _), targets.relay(upstream, threads=threads, prefix="/slow") as target:
        drive(Job(target.port, target.requests(1), 1, each=1))
        job = Job(target.port, target.requests(streams, stream=True), streams, each=each)
        running, took = begin(job), []
        while running.poll() is None:
            began = time.perf_counter()
            probe(target.port)
            took.append(time.perf_counter() - began)
            time.sleep(max(0.0, PROBE_SECONDS - took[-1]))
        found = finish(running, job)
    p50, p99 = percentiles(took)
    return Health(threads, streams, len(took), p50, p99, max(took, default=0.0) * 1000, found)


def probe(port: int) -> None:
    """Raises ConfigError when the relay does not say that it is well."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=HEALTH_PATIENCE)) as connection:
        connection.request("GET", "/relay/health")
        if (status := connection.getresponse().status) != 200:
            raise ConfigError(f"GET /relay/health answered {status} under load")


def crowd(threads: int, seconds: float) -> Crowd:
    with targets.mock() as (upstream, _), targets.relay(upstream, threads=threads) as target:
        drive(Job(target.port, target.requests(4), 4, seconds))
        few, many = (
            drive(Job(target.port, target.requests(callers), callers, seconds, seconds / 4))
            for callers in (threads, threads * 4)
        )
    return Crowd(threads, few, many)


def overspend(callers: int, credits: int = 10, each: int = 4) -> Overspend:  # noqa: A002
    """`callers` at once spend the few credits of one account."""
    with targets.mock() as (upstream, _), targets.relay(upstream, credits=credits) as target:
        found = drive(Job(target.port, [target.request(0)], callers, each=each))
        strange = {status: count for status, count in found.statuses.items() if status not in {200, 402}}
        if strange:
            raise ConfigError(f"the overspend check got answers that are neither 200 nor 402: {strange}")
        answered = found.statuses.get(200, 0)
        return Overspend(credits, callers, callers * each, answered, _left(target), _balanced(target))


def _left(target: Target) -> int:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)) as connection:
        headers = dict(line.split(": ", 1) for line in target.headers(0))
        connection.request("GET", "/relay/credits", headers=headers)
        return int(json.loads(connection.getresponse().read())["credits"]["total"])


def _balanced(target: Target) -> bool:
    assert target.data is not None
    config = str(target.data.parent / "plugins.toml")
    command = processes.python("relay", "ledger", "verify", "--config", config, "--data", str(target.data))
    done = subprocess.run(command, env=processes.clean_env(), capture_output=True, timeout=60, check=False)  # noqa: S603
    return done.returncode == 0
