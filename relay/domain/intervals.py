"""Stretches of time: sorted, disjoint (start, end) pairs in seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Span = tuple[float, float]


def joined(spans: Iterable[Span], gap: float = 0.0) -> list[Span]:
    """Sorted and disjoint; neighbours closer than `gap` become one."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and (start <= result[-1][1] or start - result[-1][1] < gap):
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result


def clipped(spans: Iterable[Span], first: float, last: float) -> list[Span]:
    """What of each lies between `first` and `last`."""
    return [(max(start, first), min(end, last)) for start, end in spans if start < last and end > first]


def seconds(spans: Iterable[Span]) -> float:
    return sum(end - start for start, end in spans)


def shared(one: Sequence[Span], other: Sequence[Span]) -> float:
    """Seconds that lie in both."""
    total, i, j = 0.0, 0, 0
    while i < len(one) and j < len(other):
        total += max(0.0, min(one[i][1], other[j][1]) - max(one[i][0], other[j][0]))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return total


def distance(one: Sequence[Span], other: Sequence[Span]) -> float:
    """The smallest pause between a stretch of the one and a stretch of the other; infinite when one is empty."""
    least, i, j = float("inf"), 0, 0
    while i < len(one) and j < len(other):
        least = min(least, max(0.0, one[i][0] - other[j][1], other[j][0] - one[i][1]))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return least
