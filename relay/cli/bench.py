"""`relay bench`: side by side with what is installed of its peers, told as ratios."""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from pathlib import Path

import click
import msgspec

from relay.bench import alone, report, side_by_side, targets
from relay.bench.side_by_side import Plan
from relay.bench.targets import Start
from relay.cli import output
from relay.errors import ConfigError

FULL = Plan()
QUICK = Plan(
    rounds=1, callers=(1, 4), streams=(1,), seconds=0.3, warm_up=0.1, settle=0.1, patience=0.0, quiet_cores=99.0
)
NOISE = 0.3
"""Cores used by others from which on a note says so."""


def run(
    *, quick: bool, rounds: int | None, seconds: float | None, litellm: Path | None, portkey: Path | None, as_json: bool
) -> int:
    """0, or ConfigError for what could not be measured or must not be: a credit spent twice."""
    if not sys.platform.startswith("linux"):
        raise ConfigError("relay bench reads /proc and needs epoll: run it on Linux")
    plan = QUICK if quick else FULL
    plan = msgspec.structs.replace(plan, rounds=rounds or plan.rounds, seconds=seconds or plan.seconds)
    starts, notes = peers(litellm, portkey, quick=quick)
    results = _measure(plan, starts, notes, quick=quick)
    if as_json:
        click.echo(msgspec.json.encode(results))
    else:
        head, lines = report.table(results)
        output.table(head, lines if sys.stdout.isatty() else [head, *lines])
        for note in results.notes:
            click.echo(note)
    if not results.overspend.ok:
        raise ConfigError("credits were spent twice or lost: see the last line of the table. Please report this")
    return 0


def peers(litellm: Path | None, portkey: Path | None, *, quick: bool) -> tuple[dict[str, Start], list[str]]:
    """What to start, in the order of each round, and what to say about it. Raises ConfigError for a wrong path."""
    starts: dict[str, Start] = {report.DIRECT: targets.direct, report.RELAY: targets.relay}
    notes = ["ratios are relay : peer, median of the rounds (least-most); figures are this machine's, now"]
    program = str(litellm) if litellm else None if quick else shutil.which("litellm")
    if program is not None:
        if shutil.which(program) is None:
            raise ConfigError(f"no LiteLLM at {program}: give the program `litellm` of an environment that has it")
        starts["LiteLLM"] = targets.litellm(Path(program))
    if portkey is not None:
        if shutil.which("node") is None:
            raise ConfigError("Portkey's gateway needs node on PATH")
        starts["Portkey"] = targets.portkey(targets.find_portkey(portkey))
    if len(starts) == 2 and not quick:
        notes.append("no peer measured: --litellm and --portkey name them, docs/benchmarks.md says how to get them")
    return starts, notes


def _measure(plan: Plan, starts: dict[str, Start], notes: list[str], *, quick: bool) -> report.Results:
    streams, sizes, callers = (8, (8,), 16) if quick else (200, (256, 64), 64)
    samples = side_by_side.measure(plan, starts, _say)
    _say("slow streams")
    health = [alone.slow_streams(streams, threads, each=1 if quick else 3) for threads in sizes]
    _say("four times as many callers as threads")
    crowd = [alone.crowd(8 if quick else 64, plan.seconds)]
    _say("more callers than credits")
    overspend = alone.overspend(callers)
    noise = max(sample.disturbed for sample in samples)
    if noise > NOISE:
        notes.append(f"others used up to {noise:.1f} cores meanwhile: trust nothing but clear ratios, or repeat it")
    rows = report.rows(samples, plan.callers, plan.streams)
    return report.Results(rows, health, crowd, overspend, samples, notes)


def _say(what: str) -> None:
    with suppress(OSError):
        click.echo(f"bench: {what}", err=True)
