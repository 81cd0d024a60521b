"""The backend the relay calls: recordings to text, text to an extractive summary."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

from relay.api import (
    CallContext,
    ChatRequest,
    Delta,
    Health,
    Invalid,
    Segment,
    Task,
    TranscribeRequest,
    Transcript,
    Unsupported,
    cut_on_silence,
    decode,
)
from relay_local import answer
from relay_local.engine import MODEL, RATE, Engine

PIECE_SECONDS = 30.0  # the model takes a list of floats: an hour at once would be gigabytes
QUIET = 33  # of 32768, -60 dB below full scale: no recorded voice is that faint
LOUD = 0.5  # of full scale: the speech detector misses a voice 30 dB below this
MAX_GAIN = 100.0


class LocalBackend:
    name = "local"
    cost_class = "local"
    max_concurrent = 1
    tasks: frozenset[Task] = frozenset({"transcribe", "analyze"})

    def __init__(self, engine: Engine, *, max_seconds: float, queue_size: int) -> None:
        self.queue_size = queue_size
        self._engine = engine
        self._max_seconds = max_seconds

    def models(self, task: Task) -> Sequence[str]:
        return (MODEL,) if task == "transcribe" else (answer.MODEL,)

    def transcribe(self, request: TranscribeRequest, ctx: CallContext) -> Transcript:
        """English only. Decodes into the folder of the recording, which belongs to this call."""
        if request.language and not _is_english(request.language):
            raise Unsupported(f"the embedded speech model knows only English, not {request.language!r}")

        def still_wanted(_seconds: float) -> None:
            ctx.remaining()

        source = request.audio.path
        target = source.with_name(f"{source.name}.local.s16")
        audio = decode(source, target, max_seconds=self._max_seconds, check=still_wanted)
        segments: list[Segment] = []
        for start, end in cut_on_silence(audio, PIECE_SECONDS):
            left = ctx.remaining()
            samples = _read(audio.path, start, end)
            lines = self._engine.lines(samples, timeout=left) if samples else []
            segments += [Segment(start + line.start, min(start + line.end, end), line.text) for line in lines]
            ctx.progress(end / audio.seconds)
        if not segments:
            raise Invalid("no speech was found in the recording", "file", reason="no_speech")
        text = " ".join(segment.text for segment in segments)
        return Transcript(text, "en", audio.seconds, tuple(segments), MODEL)

    def chat(self, request: ChatRequest, ctx: CallContext) -> Iterator[Delta]:
        return answer.deltas(request, ctx)

    def health(self) -> Health:
        return Health(ok=True, detail="model loaded" if self._engine.loaded else "model not loaded")

    def close(self) -> None:
        self._engine.close()


def _is_english(language: str) -> bool:
    return language.strip().lower().replace("_", "-").split("-")[0] in {"en", "eng", "english"}


def _read(path: Path, start: float, end: float) -> list[float]:
    """The samples of a stretch between -1 and 1, a faint voice raised; empty when nothing can be heard."""
    samples = array("h")
    with path.open("rb") as file:
        file.seek(round(start * RATE) * samples.itemsize)
        samples.frombytes(file.read(round((end - start) * RATE) * samples.itemsize))
    if sys.byteorder == "big":
        samples.byteswap()
    peak = max(max(samples, default=0), -min(samples, default=0))
    if peak < QUIET:
        return []
    scale = min(max(LOUD * 32768 / peak, 1.0), MAX_GAIN) / 32768
    return [sample * scale for sample in samples]
