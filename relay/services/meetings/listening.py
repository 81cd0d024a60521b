"""Words and speakers of a recording, piece by piece, from whatever backends there are."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from relay.audio import DecodedAudio, write_wav
from relay.domain.meetings import Options
from relay.errors import Invalid, Unsupported, boundary
from relay.ports.inference import (
    Audio,
    CallContext,
    Diarizer,
    DiarizeRequest,
    InferenceBackend,
    Segment,
    Task,
    TranscribeRequest,
    Transcript,
    Turn,
    Word,
)
from relay.services.infer import Infer
from relay.services.meetings.pieces import Pieces
from relay.services.unmetered import ask, patiently
from relay.shapes.chunks import Chunk

T = TypeVar("T")
ACCOUNT = "relay:meetings"
PAUSES = (2.0, 10.0, 30.0, 60.0, 120.0)
"""Seconds before a failed piece is tried again. After the last one the run fails, and keeps its finished pieces."""
CALL_SECONDS = 1800.0
CALL_FACTOR = 4.0
"""A piece may take that long, or so many times its own length where that is more: it may be the whole recording."""


MOST_SPEAKERS = 100
"""Of one piece."""
CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], " ")


class Heard(Struct):
    """The words of one piece; times from its start."""

    segments: list[Segment]
    language: str = ""
    backend: str = ""
    model: str = ""
    seconds: float = 0.0


class Voiced(Struct):
    """The speakers of one piece, whose names mean something in it alone; times from its start. `voice_model`: what
    made the voices."""

    turns: list[Turn]
    voices: dict[str, list[float]] = {}
    voice_model: str = ""
    backend: str = ""
    model: str = ""
    seconds: float = 0.0


def _kept(segment: Segment, seconds: float) -> Segment:
    """With times that a recording has, and characters that can be stored: a piece that cannot be read again would stop
    every later try. A text whose times are no numbers may be anywhere."""
    times = segment.start, segment.end
    start, end = _forward(*times) if _finite(*times) else (0.0, seconds)
    timed = all(_finite(word.start, word.end) for word in segment.words)
    words = tuple(Word(_plain(word.word), *_forward(word.start, word.end)) for word in segment.words if timed)
    return Segment(start, end, _plain(segment.text), words)


def _told_apart(turns: Sequence[Turn]) -> list[Turn]:
    """The turns that are some, of those who say most: the work of telling who is who grows with the square."""
    said: dict[str, float] = {}
    real = [turn for turn in turns if _finite(turn.start, turn.end) and turn.start < turn.end]
    for turn in real:
        said[turn.speaker] = said.get(turn.speaker, 0.0) + turn.end - turn.start
    most = set(sorted(said, key=lambda speaker: -said[speaker])[:MOST_SPEAKERS])
    return [turn for turn in real if turn.speaker in most]


def _finite(*numbers: float) -> bool:
    return all(map(math.isfinite, numbers))


def _forward(start: float, end: float) -> tuple[float, float]:
    return max(0.0, start), max(0.0, start, end)


def _plain(text: str) -> str:
    """In one line, without control characters, and without halves of characters."""
    return text.encode("utf-8", "replace").decode().translate(CONTROLS)


@dataclass
class Listening:
    """`folder`: of this run alone. `told`: called after each piece that was made now, from two threads at once.

    `in_backends`: seconds in which some backend was asked.
    """

    infer: Infer
    meeting_id: str
    options: Options
    pieces: Pieces
    folder: Path
    ctx: CallContext
    told: Callable[[], None] = lambda: None
    pauses: tuple[float, ...] = PAUSES
    in_backends: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _asked: int = 0
    _since: float = 0.0

    def words(self, audio: DecodedAudio, chunk: Chunk) -> Heard:
        """Raises what the last backend raised, when it failed once more after the last pause."""

        def perform(backend: InferenceBackend, ctx: CallContext, wav: Path) -> Heard:
            request = TranscribeRequest(Audio(wav, wav.name, chunk.seconds), self.options.language)
            with boundary(backend.name):
                found: Transcript = backend.transcribe(request, ctx)
            segments = [_kept(segment, chunk.seconds) for segment in found.segments]
            return Heard(segments, found.language or "", backend.name, found.model)

        return self._piece(f"words/{chunk.index:05}", Heard, "transcribe", audio, chunk, perform, Heard([]))

    def speakers(self, audio: DecodedAudio, chunk: Chunk) -> Voiced:
        """Raises as `words`."""

        def perform(backend: InferenceBackend, ctx: CallContext, wav: Path) -> Voiced:
            if not isinstance(backend, Diarizer):
                raise Unsupported(f"{backend.name} cannot tell speakers apart")
            options = self.options
            request = DiarizeRequest(
                Audio(wav, wav.name, chunk.seconds),
                max_speakers=options.max_speakers or options.num_speakers,
                offset=chunk.start,
            )
            with boundary(backend.name):
                found = backend.diarize(request, ctx)
            turns = _told_apart(found.turns)
            known = {turn.speaker for turn in turns}
            voices = {name: list(vector) for name, vector in found.voices.items() if name in known and _finite(*vector)}
            made_by = found.voice_model or found.model
            return Voiced(turns, voices, made_by, backend.name, found.model)

        return self._piece(f"speakers/{chunk.index:05}", Voiced, "diarize", audio, chunk, perform, Voiced([]))

    def _piece(
        self,
        name: str,
        kind: type[T],
        task: Task,
        audio: DecodedAudio,
        chunk: Chunk,
        perform: Callable[[InferenceBackend, CallContext, Path], T],
        silence: T,
    ) -> T:
        """As it was kept, else made now and kept; `silence` where nothing is said. One that failed is tried again
        alone, after a pause."""
        kept = self.pieces.get(name, kind)
        if kept is not None:
            return kept
        self.ctx.remaining()
        wav = write_wav(audio, self.folder / f"{task}-{chunk.index:05}.wav", chunk.start, chunk.end)
        try:
            made = patiently(
                lambda: self._asking(task, chunk, lambda backend, ctx: perform(backend, ctx, wav)),
                self.pauses,
                self.ctx,
            )
        except Invalid as exc:
            if exc.details.get("reason") != "no_speech":
                raise
            made = silence
        finally:
            wav.unlink(missing_ok=True)
        self.pieces.put(name, made)
        self.told()
        return made

    def _asking(self, task: Task, chunk: Chunk, perform: Callable[[InferenceBackend, CallContext], T]) -> T:
        seconds = min(max(CALL_SECONDS, chunk.seconds * CALL_FACTOR), self.ctx.remaining())
        ctx = CallContext(deadline=time.monotonic() + seconds)
        wanted = self.options.transcribe_backend if task == "transcribe" else self.options.diarize_backend
        with self._counted(), self.ctx.interruptible(ctx.cancel):
            answer, _ = ask(
                self.infer,
                task,
                wanted,
                ctx,
                perform,
                account=ACCOUNT,
                reference=f"meeting {self.meeting_id}",
                cost=max(1.0, chunk.seconds / 60),
            )
        return answer

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._asked += 1
            if self._asked == 1:
                self._since = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._asked -= 1
                if not self._asked:
                    self.in_backends += time.monotonic() - self._since
