"""Recordings on disk: probe, decode to 16 kHz mono, cut on silence. (Signatures; being written.)"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

RATE = 16_000


@dataclass(frozen=True, slots=True)
class DecodedAudio:
    """Raw 16-bit little-endian mono samples at 16 kHz in a file. `seconds` is the decoded length."""

    path: Path
    seconds: float


def probe(path: Path) -> float | None: ...


def decode(
    source: Path, target: Path, *, max_seconds: float, check: Callable[[float], None] = lambda seconds: None
) -> DecodedAudio: ...


def cut_on_silence(
    audio: DecodedAudio, piece_seconds: float, *, slack_seconds: float = 10.0
) -> list[tuple[float, float]]: ...


def write_wav(audio: DecodedAudio, target: Path, start: float = 0.0, end: float | None = None) -> Path: ...
