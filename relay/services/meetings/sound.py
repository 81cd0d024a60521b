"""The recording itself: kept as it came, decoded for the backends, and copied into what every browser plays."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.audio import RATE, WIDTH, DecodedAudio, probe

if TYPE_CHECKING:
    from av.container import OutputContainer

BIT_RATE = 48_000
LISTEN_RATE = 16_000
QUALITY = "7"
"""Of 0 (slowest) to 9: for speech nobody hears the difference to the default of 5, which takes twice the time."""
BLOCK_SECONDS = 1.0
UNKNOWN_SIZE = 2**31 - 2**16


def announced_seconds(source: Path) -> float:
    """The length that the file says it has; 0 when it does not say. It may have been cut off since."""
    seconds = probe(source) or 0.0
    try:
        with wave.open(str(source)) as file:
            # ffmpeg goes by what is there. A header that was never filled in says 0, or all it can.
            size = file.getnframes() * file.getnchannels() * file.getsampwidth()
            return max(seconds, file.getnframes() / file.getframerate()) if size < UNKNOWN_SIZE else seconds
    except (wave.Error, EOFError, ZeroDivisionError):
        return seconds


def encode_listen(audio: DecodedAudio, target: Path, check: Callable[[float], None]) -> Path:
    """An MP3 of the samples: 48 kbit/s, one channel, constant rate, so that a second is found by its place. `check` is
    told the seconds done so far, and may raise to end the work."""
    import av

    with av.open(f"file:{target.absolute()}", "w", format="mp3") as out:
        stream = out.add_stream("mp3", rate=LISTEN_RATE, options={"compression_level": QUALITY})
        stream.bit_rate = BIT_RATE
        stream.layout = "mono"
        resampler = av.AudioResampler(format="s16p", layout="mono", rate=LISTEN_RATE)
        done = 0.0
        with audio.path.open("rb") as file:
            while block := file.read(int(BLOCK_SECONDS * RATE) * WIDTH):
                _write(out, stream, resampler.resample(_frame(block)))
                done += len(block) / WIDTH / RATE
                check(done)
        _write(out, stream, resampler.resample(None))
        for packet in stream.encode(None):
            out.mux(packet)
    return target


def _frame(block: bytes) -> Any:
    from av import AudioFrame

    samples = len(block) // WIDTH
    frame = AudioFrame(format="s16", layout="mono", samples=samples, align=1)
    frame.planes[0].update(block[: samples * WIDTH])
    frame.sample_rate = RATE
    return frame


def _write(out: OutputContainer, stream: Any, frames: list[Any]) -> None:
    for frame in frames:
        frame.pts = None
        for packet in stream.encode(frame):
            out.mux(packet)
