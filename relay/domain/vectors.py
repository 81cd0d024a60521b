"""Embeddings of voices: directions, compared by the cosine between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul

Vector = tuple[float, ...]


def unit(vector: Sequence[float]) -> Vector | None:
    """At length 1; None for no direction at all, or one that is not made of numbers."""
    length = math.hypot(*vector)
    return tuple(value / length for value in vector) if 0 < length < math.inf else None


def cosine(one: Vector, other: Vector) -> float:
    """Of vectors that are not null; 0 for sums that have cancelled out."""
    lengths = math.hypot(*one) * math.hypot(*other)
    return sum(map(mul, one, other)) / lengths if lengths else 0.0


def scaled(vector: Vector | None, weight: float) -> Vector | None:
    return None if vector is None else tuple(value * weight for value in vector)


def total(one: Vector | None, other: Vector | None) -> Vector | None:
    if one is None or other is None:
        return one or other
    return tuple(a + b for a, b in zip(one, other, strict=True))
