"""Decoded samples as the speech model takes them: lists of floats between -1 and 1, a faint voice raised."""

from __future__ import annotations

import sys
from array import array

from relay.api import DecodedAudio
from relay_local.engine import RATE

QUIET = 33  # of 32768, -60 dB below full scale: no recorded voice is that faint
LOUD = 0.5  # of full scale: the speech detector misses a voice 30 dB below this
MAX_GAIN = 100.0
BLOCK_SECONDS = 10.0


def read_raised(audio: DecodedAudio, start: float, end: float) -> list[float]:
    """The samples of a stretch, raised by its own loudest; empty when nothing can be heard in it."""
    samples = _read(audio, start, end)
    peak = _peak(samples)
    return [] if peak < QUIET else _scaled(samples, peak)


def read_scaled(audio: DecodedAudio, start: float, end: float, peak: int) -> list[float]:
    """The samples of a stretch, raised as one whose loudest is `peak`: the same for all stretches of a recording."""
    return _scaled(_read(audio, start, end), peak)


def loudest(audio: DecodedAudio) -> int:
    """The loudest sample of the whole recording, of 32768; 0 when nothing can be heard in it."""
    blocks = range(int(audio.seconds // BLOCK_SECONDS) + 1)
    peak = max(_peak(_read(audio, i * BLOCK_SECONDS, (i + 1) * BLOCK_SECONDS)) for i in blocks)
    return 0 if peak < QUIET else peak


def _read(audio: DecodedAudio, start: float, end: float) -> array[int]:
    samples = array("h")
    with audio.path.open("rb") as file:
        file.seek(round(start * RATE) * samples.itemsize)
        samples.frombytes(file.read(round((end - start) * RATE) * samples.itemsize))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def _peak(samples: array[int]) -> int:
    return max(max(samples, default=0), -min(samples, default=0))


def _scaled(samples: array[int], peak: int) -> list[float]:
    scale = min(max(LOUD * 32768 / peak, 1.0), MAX_GAIN) / 32768
    return [sample * scale for sample in samples]
