"""Long recordings in chunks that overlap: cut on silence, sent one after another, finished ones kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from relay.audio import DecodedAudio, cut_on_silence, decode, write_wav
from relay.ports.inference import Audio, CallContext
from relay.shapes.failures import OutOfMemory
from relay.upstream import HTTPReply

T = TypeVar("T")

MAX_AUDIO_SECONDS = 8 * 3600.0  # 0.9 GB of samples on disk, and as much again for the WAV of a single chunk


@dataclass(frozen=True, slots=True)
class Chunk:
    """Seconds from `start` to `end` of a recording. `first` to `last`, without half the overlaps, is what this
    chunk alone answers for; the first and the last chunk answer for the very ends. Two halves share an `index`."""

    index: int
    start: float
    end: float
    first: float
    last: float

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def halves(self, overlap: float) -> tuple[Chunk, Chunk]:
        middle = (self.first + self.last) / 2
        return (
            Chunk(self.index, self.start, min(middle + overlap / 2, self.end), self.first, middle),
            Chunk(self.index, max(middle - overlap / 2, self.start), self.end, middle, self.last),
        )


@dataclass(frozen=True, slots=True)
class Chunking:
    """`seconds`: the longest chunk, overlaps included; `overlap`: what two neighbours share, less than half of it."""

    seconds: float
    overlap: float

    def cut(self, audio: DecodedAudio) -> list[Chunk]:
        """A recording that fits is one chunk."""
        if audio.seconds <= self.seconds:
            return [Chunk(0, 0.0, audio.seconds, 0.0, audio.seconds)]
        half = self.overlap / 2
        return [
            Chunk(n, max(first - half, 0.0), min(last + half, audio.seconds), first, last)
            for n, (first, last) in enumerate(cut_on_silence(audio, self.seconds - self.overlap))
        ]


@contextmanager
def decoded(audio: Audio, ctx: CallContext, name: str) -> Iterator[DecodedAudio]:
    """The recording as samples, in a scratch file called after `name` that is removed again."""
    raw = audio.path.with_name(f"{audio.path.name}.{name}.s16")

    def still_wanted(_seconds: float) -> None:
        ctx.remaining()

    try:
        yield decode(audio.path, raw, max_seconds=MAX_AUDIO_SECONDS, check=still_wanted)
    finally:
        raw.unlink(missing_ok=True)


def in_chunks(
    audio: DecodedAudio,
    chunking: Chunking,
    ctx: CallContext,
    *,
    name: str,
    send: Callable[[Chunk, Path], HTTPReply],
    read: Callable[[HTTPReply, Chunk], T],
) -> list[tuple[Chunk, T]]:
    """What `read` makes of the answer to each chunk, in their order. `send` gets a WAV file of the chunk.

    Answers that could be read are kept in `ctx.pieces` under `name`, so that work that was interrupted goes on
    where it was. A chunk for which the GPU's memory is too small is sent again in two halves, once.
    """

    def one(chunk: Chunk) -> tuple[Chunk, T]:
        key = f"{name} {chunk.start:.3f}-{chunk.end:.3f}"
        if (kept := ctx.pieces.get(key)) is not None:
            return chunk, read(HTTPReply(200, {}, kept), chunk)
        wav = audio.path.with_suffix(".wav")
        try:
            reply = send(chunk, write_wav(audio, wav, chunk.start, chunk.end))
        finally:
            wav.unlink(missing_ok=True)
        result = read(reply, chunk)
        ctx.pieces[key] = reply.body
        return chunk, result

    found: list[tuple[Chunk, T]] = []
    for chunk in chunking.cut(audio):
        try:
            found.append(one(chunk))
        except OutOfMemory:
            found += [one(half) for half in chunk.halves(chunking.overlap)]
        ctx.progress(chunk.last / audio.seconds)
    return found
