"""The one table: medians of every target, and the relay's ratio to each, taken within each round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from msgspec import Struct

from relay.bench.alone import Crowd, Health, Overspend
from relay.bench.load import Found
from relay.bench.side_by_side import Sample

RELAY, DIRECT = "relay", "direct"
Pick = Callable[[Sample], float | None]


class Row(Struct):
    """`values`: the median by target. `ratios`: relay to peer by peer, as (median, least, most) over the rounds."""

    what: str
    unit: str
    values: dict[str, float]
    ratios: dict[str, tuple[float, float, float]]


class Results(Struct):
    rows: list[Row]
    health: list[Health]
    crowd: list[Crowd]
    overspend: Overspend
    samples: list[Sample]
    notes: list[str]


def rows(samples: Sequence[Sample], callers: Sequence[int], streams: Sequence[int]) -> list[Row]:
    found: list[Row] = []

    def add(what: str, unit: str, pick: Pick, *, direct: bool = True) -> None:
        chosen = samples if direct else [sample for sample in samples if sample.target != DIRECT]
        row = _row(what, unit, chosen, pick)
        if RELAY in row.values:
            found.append(row)

    for n in callers:
        add(f"calls, {_callers(n)}", "/s", lambda sample, n=n: _of(sample.plain[n], "per_second"))  # type: ignore[misc]
    for n in callers:
        add(f"median call, {_callers(n)}", "ms", lambda sample, n=n: _of(sample.plain[n], "p50"))  # type: ignore[misc]
        add(f"p99 of calls, {_callers(n)}", "ms", lambda sample, n=n: _of(sample.plain[n], "p99"))  # type: ignore[misc]
    add(f"added to a call, {_callers(callers[0])}", "ms", _added(samples, callers[0]), direct=False)
    for n in streams:
        add(f"first streamed byte, {_callers(n)}", "ms", lambda sample, n=n: _of(sample.streamed[n], "first_p50"))  # type: ignore[misc]
    add(f"CPU per call, {_callers(callers[-1])}", "us", lambda sample: sample.cpu_us[callers[-1]], direct=False)
    add("memory after the load", "MiB", lambda sample: sample.rss_mib, direct=False)
    add("start to first answer", "s", lambda sample: sample.start_seconds, direct=False)
    return found


def _callers(n: int) -> str:
    return "1 caller" if n == 1 else f"{n} callers"


def _of(found: Found, field: str) -> float | None:
    """None when a target could not do it: one that refuses fast would look fast."""
    done = found.statuses.get(200, 0)
    return float(getattr(found, field)) if done > found.refused else None


def _added(samples: Sequence[Sample], callers: int) -> Pick:
    bare = {sample.round: sample.plain[callers].p50 for sample in samples if sample.target == DIRECT}

    def added(sample: Sample) -> float | None:
        p50 = _of(sample.plain[callers], "p50")
        return None if p50 is None else p50 - bare[sample.round]

    return added


def _row(what: str, unit: str, samples: Sequence[Sample], pick: Pick) -> Row:
    by_target: dict[str, dict[int, float]] = {}
    for sample in samples:
        value = pick(sample)
        if value is not None:
            by_target.setdefault(sample.target, {})[sample.round] = value
    values = {target: median(found.values()) for target, found in by_target.items()}
    ours, ratios = by_target.get(RELAY, {}), {}
    for target, found in by_target.items():
        each = [ours[n] / found[n] for n in found if n in ours and found[n]]
        if target not in {RELAY, DIRECT} and each:
            ratios[target] = (median(each), min(each), max(each))
    return Row(what, unit, values, ratios)


def table(results: Results) -> tuple[list[str], list[list[str]]]:
    """Head and rows, as text."""
    peers = [each for each in dict.fromkeys(sample.target for sample in results.samples) if each not in {RELAY, DIRECT}]
    head = ["", RELAY, "no gateway", *(text for peer in peers for text in (peer, f"relay : {peer}"))]
    lines = []
    for row in results.rows:
        line = [row.what, *(_value(row.values.get(each), row.unit) for each in (RELAY, DIRECT))]
        for peer in peers:
            line += [_value(row.values.get(peer), row.unit), _ratio(row.ratios.get(peer))]
        lines.append(line)
    width = len(head) - 2
    return head, lines + [[what, value, *[""] * width] for what, value in _alone(results)]


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def _ratio(ratio: tuple[float, float, float] | None) -> str:
    return "-" if ratio is None else "{:.2f} x ({:.2f}-{:.2f})".format(*ratio)


def _alone(results: Results) -> list[tuple[str, str]]:
    found = []
    for each in results.health:
        told = f"p50 {each.p50:.1f}, p99 {each.p99:.0f}, worst {each.worst:.0f} ms"
        done, refused = each.found.statuses.get(200, 0), each.found.refused
        told += f"; {done} streams done, {refused} refused"
        found.append((f"health beside {each.streams} slow streams, {each.threads} threads", told))
    for crowd in results.crowd:
        ratio = crowd.many.per_second / crowd.few.per_second if crowd.few.per_second else 0.0
        told = f"{crowd.many.per_second:,.0f} /s, {ratio:.2f} x that of {crowd.threads}; {crowd.many.refused} refused"
        found.append((f"{crowd.threads * 4} callers on {crowd.threads} threads", told))
    spent = results.overspend
    told = f"{spent.answered} of {spent.asked} calls answered, {spent.left} left, ledger "
    told += "balanced" if spent.balanced else "NOT balanced"
    found.append((f"{spent.callers} callers spend {spent.credits} credits", told))
    return found
