"""A recording with one speaker per channel, as telephone systems make them: the channels tell who speaks, exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.audio import OPTIONS
from relay.domain.intervals import joined
from relay.ports.inference import Turn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE = 8000
BLOCK_SECONDS = 0.05
BLOCK = int(RATE * BLOCK_SECONDS)
AUDIBLE = 0.01
"""Of the energy of a channel's loud blocks: 20 dB below them. What is less is no speech."""
APART = 0.03
"""What one speaker may leave of energy in the other's channel: 15 dB less. Microphones in one room do worse."""
ONE_SIDED = 0.8
"""The share of the blocks with speech in which only one channel may have it; people do talk at once."""
LEAST_SHARE = 0.05
"""Of these blocks that each channel must have: a silent channel is no second speaker."""
PAUSE, SHORTEST = 0.5, 0.2
"""Seconds: a shorter pause ends no turn, and nothing shorter is one."""


def by_channel(source: Path, check: Callable[[float], None]) -> list[Turn]:
    """Who speaks when, where each of two channels has a speaker of its own; nothing for any other recording. `check`
    is told the seconds read so far, and may raise to end the work."""
    import numpy as np

    blocks = list(_energies(source, check))
    if not blocks:
        return []
    energy = np.concatenate(blocks)
    loud = np.percentile(energy, 95, axis=0)
    speech = (energy > AUDIBLE * loud) & (energy > APART * energy[:, ::-1])
    some = speech.any(axis=1)
    alone = speech.sum(axis=1) == 1
    if not some.any() or alone[some].mean() < ONE_SIDED or speech[alone].mean(axis=0).min() < LEAST_SHARE:
        return []
    spans = [joined(_spans(speech[:, channel]), PAUSE) for channel in (0, 1)]
    heard = sorted([(start, end) for start, end in one if end - start >= SHORTEST] for one in spans)
    return sorted(
        (Turn(start, end, f"S{number}") for number, one in enumerate(heard, 1) for start, end in one),
        key=lambda turn: (turn.start, turn.end),
    )


def _energies(source: Path, check: Callable[[float], None]) -> Iterator[NDArray[np.float64]]:
    """Blocks x 2 channels, a stretch at a time; nothing for a recording of one channel, or of more than two."""
    import av
    import numpy as np

    with av.open(f"file:{source.absolute()}", options=dict(OPTIONS), metadata_errors="replace") as container:
        stream = container.streams.best("audio")
        if not isinstance(stream, av.AudioStream) or stream.layout.nb_channels != 2:
            return
        resampler = av.AudioResampler(format="s16", layout="stereo", rate=RATE)
        rest = np.empty((0, 2), dtype=np.float64)
        done = 0
        for frame in _frames(container, stream):
            for made in resampler.resample(frame):
                samples = np.frombuffer(bytes(made.planes[0])[: made.samples * 4], dtype="<i2").reshape(-1, 2)
                rest = np.concatenate([rest, samples.astype(np.float64)])
                done += len(samples)
            if len(rest) >= RATE:
                whole = len(rest) // BLOCK * BLOCK
                yield (rest[:whole].reshape(-1, BLOCK, 2) ** 2).mean(axis=1)
                rest = rest[whole:]
                check(done / RATE)
        whole = len(rest) // BLOCK * BLOCK
        yield (rest[:whole].reshape(-1, BLOCK, 2) ** 2).mean(axis=1)


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """What can be decoded; a file that was cut off or changes its shape ends there."""
    import av

    try:
        for frame in container.decode(stream):
            frame.pts = None
            if frame.layout.nb_channels != 2:
                return
            yield frame
    except av.FFmpegError:
        return


def _spans(speech: NDArray[np.bool_]) -> list[tuple[float, float]]:
    import numpy as np

    edges = np.flatnonzero(np.diff(np.concatenate([[False], speech, [False]]).astype(np.int8)))
    return [
        (a * BLOCK_SECONDS, b * BLOCK_SECONDS) for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    ]
