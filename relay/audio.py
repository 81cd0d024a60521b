"""Recordings on disk: probe, decode to 16 kHz mono, cut on silence, write WAV.

PyAV carries ffmpeg's libraries and is imported inside the functions that need it: an idle relay does not pay for it.
"""

from __future__ import annotations

import errno
import wave
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, islice, pairwise
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from relay.errors import StorageFull, TooLarge, UnsupportedMedia

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

RATE = 16_000
WIDTH = 2
BYTES_PER_SECOND = RATE * WIDTH
# A file may name other files and addresses for ffmpeg to read (playlists, concat lists). Only containers that hold
# their own samples are opened, and nothing but local files.
FORMATS = "aac,aiff,amr,asf,au,avi,caf,flac,matroska,mov,mp3,mpegts,ogg,w64,wav,webm"
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
RATES = range(4_000, 768_001)  # outside it a header lies, and resampling would multiply a few bytes into gigabytes
VALUES_PER_SECOND = 2_000_000  # 192 kHz with ten channels: more than that is silence blown up to cost time
BLOCKS_PER_CHECK = 500  # a file of damaged packets yields no seconds, and must still be stoppable
PROBED_PACKETS = 2_000  # of which one must decode; a file can hold millions of damaged ones
BLOCK = RATE // 50  # 20 ms
WINDOW = 5  # blocks: 100 ms


@dataclass(frozen=True, slots=True)
class DecodedAudio:
    """Raw 16-bit little-endian mono samples at 16 kHz in a file. `seconds` is the decoded length."""

    path: Path
    seconds: float


def probe(path: Path) -> float | None:
    """The length in seconds as the container says it (it may lie), or None when it does not say.

    The name of the file does not matter. Raises UnsupportedMedia for anything a first sound cannot be decoded from.
    """
    with _opened(path) as (container, stream):
        if not any(islice(_frames(container, stream), PROBED_PACKETS)):
            raise _not_audio()
        if container.duration is not None:
            seconds = container.duration / 1_000_000
        elif stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
        else:
            return None
    return seconds if seconds > 0 else None


def _no_check(_seconds: float) -> None:
    """The default: nobody waits for progress, nobody cancels."""


def decode(
    source: Path, target: Path, *, max_seconds: float, check: Callable[[float], None] = _no_check
) -> DecodedAudio:
    """Decode `source` into `target`, a second at a time; all channels become one.

    `check` gets the seconds decoded so far about once per second of audio; what it raises ends the work. A damaged
    file yields what can be decoded of it. Raises UnsupportedMedia when that is nothing, TooLarge as soon as more than
    `max_seconds` have been decoded (headers lie, so they are not asked) or more values than such a recording can need,
    StorageFull when the disk is.
    """
    try:
        with _opened(source) as (container, stream), target.open("wb") as out:
            written = _write_samples(container, stream, out, max_seconds, check)
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("no disk space left for decoding the recording") from exc
        raise
    if not written:
        raise _not_audio()
    return DecodedAudio(target, written / BYTES_PER_SECOND)


def _write_samples(
    container: InputContainer,
    stream: AudioStream,
    out: BinaryIO,
    max_seconds: float,
    check: Callable[[float], None],
) -> int:
    written = checked = 0
    frames = _bounded(_frames(container, stream), max_seconds)
    for count, samples in enumerate(_resampled(frames), 1):
        written += out.write(samples)
        if written > max_seconds * BYTES_PER_SECOND:
            raise TooLarge(
                f"the recording is longer than the {max_seconds:g} seconds allowed here; send it in shorter parts",
                details={"max_seconds": max_seconds},
            )
        if written - checked >= BYTES_PER_SECOND or count % BLOCKS_PER_CHECK == 0:
            checked = written
            check(written / BYTES_PER_SECOND)
    return written


def _not_audio() -> UnsupportedMedia:
    return UnsupportedMedia(
        "this file is not a recording that can be read; send audio as WAV, MP3, M4A, AAC, Ogg, Opus, FLAC or WebM, "
        "or a video that has sound"
    )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, AudioStream]]:
    """The container and its best sound stream. Whatever ffmpeg complains about leaves as UnsupportedMedia."""
    import av

    try:
        # "file:" keeps ffmpeg from reading a protocol into the path. Tags may be in any encoding: they are not read.
        with av.open(f"file:{path.absolute()}", options=dict(OPTIONS), metadata_errors="replace") as container:
            stream = container.streams.best("audio")
            if not isinstance(stream, av.AudioStream):
                raise UnsupportedMedia("this file has no sound; send a recording with an audio track")
            if stream.codec_context is None or stream.rate not in RATES:
                raise _not_audio()
            yield container, stream
    except av.FFmpegError as exc:
        raise _not_audio() from exc


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame | None]:
    """Every frame that decodes, None for a packet that yields none. A damaged container ends the recording there."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):
            return
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:
            yield None
            continue
        yield from frames or (None,)


def _bounded(frames: Iterator[AudioFrame | None], max_seconds: float) -> Iterator[AudioFrame | None]:
    """A small file of many channels at a high rate decodes to gigabytes within the seconds that are allowed."""
    left = max_seconds * VALUES_PER_SECOND
    for frame in frames:
        if frame is not None:
            left -= frame.samples * frame.layout.nb_channels
            if left < 0:
                raise TooLarge("the recording has too many channels at too high a rate; send it as 48 kHz stereo")
        yield frame


def _resampled(frames: Iterator[AudioFrame | None]) -> Iterator[bytes]:
    """16 kHz mono s16le. A stream may change its rate or channels half-way; each stretch has its own resampler."""
    from av import AudioResampler

    resampler, shape = None, None
    for frame in frames:
        if frame is None or frame.sample_rate not in RATES:
            yield b""
            continue
        frame.pts = None  # time stamps may jump; samples are counted instead
        now = (frame.format.name, frame.layout.name, frame.layout.nb_channels, frame.sample_rate)
        if resampler is None or now != shape:
            if resampler is not None:
                yield from _bytes(resampler.resample(None))
            resampler, shape = AudioResampler(format="s16", layout="mono", rate=RATE), now
        yield from _bytes(resampler.resample(frame))
    if resampler is not None:
        yield from _bytes(resampler.resample(None))


def _bytes(frames: list[AudioFrame]) -> Iterator[bytes]:
    for frame in frames:
        yield bytes(frame.planes[0])[: frame.samples * WIDTH]  # a plane may be padded


def cut_on_silence(
    audio: DecodedAudio, piece_seconds: float, *, slack_seconds: float = 10.0
) -> list[tuple[float, float]]:
    """(start, end) in seconds of pieces that cover the whole recording, none longer than `piece_seconds`.

    Each cut is in the middle of the quietest 100 ms of the last `slack_seconds` of its piece (of half the piece, if
    that is less). Only those stretches are read.
    """
    total = round(audio.seconds * RATE)
    piece = round(piece_seconds * RATE)
    slack = min(round(slack_seconds * RATE), piece // 2)
    cuts = [0]
    with audio.path.open("rb") as file:
        while total - cuts[-1] > piece:
            latest = cuts[-1] + piece
            file.seek((latest - slack) * WIDTH)
            cuts.append(latest - slack + _quietest(array("h", file.read(slack * WIDTH))))
    cuts.append(total)
    return [(a / RATE, b / RATE) for a, b in pairwise(cuts)]


def _quietest(samples: array[int]) -> int:
    """The sample in the middle of the quietest 100 ms; in long silence, of the middle one of equals."""
    energies = []
    for at in range(0, len(samples) - BLOCK + 1, BLOCK):
        block = samples[at : at + BLOCK : 2]  # every other sample tells as much, at half the time
        energies.append(sum(map(mul, block, block)))
    sums = [0, *accumulate(energies)]
    windows = [sums[i + WINDOW] - sums[i] for i in range(len(energies) - WINDOW + 1)]
    if not windows:
        return len(samples)
    least = min(windows)
    ties = [i for i, energy in enumerate(windows) if energy == least]
    return ties[len(ties) // 2] * BLOCK + WINDOW * BLOCK // 2


def write_wav(audio: DecodedAudio, target: Path, start: float = 0.0, end: float | None = None) -> Path:
    """A WAV file of the seconds from `start` to `end` (None: to the end). Returns `target`."""
    first = round(max(start, 0.0) * RATE)
    last = round(min(audio.seconds if end is None else end, audio.seconds) * RATE)
    left = max(last - first, 0) * WIDTH
    with audio.path.open("rb") as source, wave.open(str(target), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(WIDTH)
        out.setframerate(RATE)
        source.seek(first * WIDTH)
        while left > 0 and (block := source.read(min(left, BYTES_PER_SECOND))):
            out.writeframesraw(block)
            left -= len(block)
    return target
