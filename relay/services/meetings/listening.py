"""Words and speakers of a recording, piece by piece, from whatever backends there are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from relay.audio import DecodedAudio, write_wav
from relay.domain.meetings import Options
from relay.errors import Invalid, RelayError, Unsupported, boundary
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
)
from relay.services.infer import Infer
from relay.services.meetings.pieces import Pieces
from relay.services.unmetered import ask
from relay.shapes.chunks import Chunk

T = TypeVar("T")
ACCOUNT = "relay:meetings"
PAUSES = (2.0, 10.0, 30.0, 60.0, 120.0)
"""Seconds before a failed piece is tried again. After the last one the run fails, and keeps its finished pieces."""


class Heard(Struct):
    """The words of one piece; times from its start."""

    segments: list[Segment]
    language: str = ""
    backend: str = ""
    model: str = ""
    seconds: float = 0.0


class Voiced(Struct):
    """The speakers of one piece, whose names mean something in it alone; times from its start."""

    turns: list[Turn]
    voices: dict[str, list[float]] = {}
    backend: str = ""
    model: str = ""
    seconds: float = 0.0


@dataclass
class Listening:
    """`folder`: of this run alone. `told`: called after each finished piece. `call_seconds`: for one piece."""

    infer: Infer
    meeting_id: str
    options: Options
    pieces: Pieces
    folder: Path
    ctx: CallContext
    call_seconds: float
    told: Callable[[], None] = lambda: None
    pauses: tuple[float, ...] = PAUSES
    in_backends: float = field(default=0.0)

    def words(self, audio: DecodedAudio, chunk: Chunk) -> Heard:
        """Raises what the last backend raised, when it failed once more after the last pause."""

        def perform(backend: InferenceBackend, ctx: CallContext, wav: Path) -> Heard:
            request = TranscribeRequest(Audio(wav, wav.name, chunk.seconds), self.options.language)
            with boundary(backend.name):
                found: Transcript = backend.transcribe(request, ctx)
            return Heard(list(found.segments), found.language or "", backend.name, found.model)

        name = f"words/{chunk.index:05}"
        made = self.pieces.once(
            name, Heard, lambda: self._patiently("transcribe", audio, chunk, perform) or Heard([], backend="")
        )
        self.told()
        return made

    def speakers(self, audio: DecodedAudio, chunk: Chunk) -> Voiced:
        """Raises as `words`."""

        def perform(backend: InferenceBackend, ctx: CallContext, wav: Path) -> Voiced:
            if not isinstance(backend, Diarizer):
                raise Unsupported(f"{backend.name} cannot tell speakers apart")
            options = self.options
            request = DiarizeRequest(
                Audio(wav, wav.name, chunk.seconds), max_speakers=options.max_speakers or options.num_speakers
            )
            with boundary(backend.name):
                found = backend.diarize(request, ctx)
            voices = {name: list(vector) for name, vector in found.voices.items()}
            return Voiced(list(found.turns), voices, backend.name, found.model)

        name = f"speakers/{chunk.index:05}"
        made = self.pieces.once(
            name, Voiced, lambda: self._patiently("diarize", audio, chunk, perform) or Voiced([], backend="")
        )
        self.told()
        return made

    def _patiently(
        self,
        task: Task,
        audio: DecodedAudio,
        chunk: Chunk,
        perform: Callable[[InferenceBackend, CallContext, Path], T],
    ) -> T | None:
        """None when nothing is said in the piece. A failed one is tried again alone, after a pause."""
        wav = write_wav(audio, self.folder / f"{task}-{chunk.index:05}.wav", chunk.start, chunk.end)
        try:
            for pause in (*self.pauses, None):
                try:
                    return self._once(task, chunk, lambda backend, ctx: perform(backend, ctx, wav))
                except Invalid as exc:
                    if exc.details.get("reason") == "no_speech":
                        return None
                    raise
                except RelayError as exc:
                    self.ctx.remaining()
                    if pause is None or not exc.retryable:
                        raise
                    self.ctx.cancelled.wait(pause)
            raise AssertionError("the last pause is None")
        finally:
            wav.unlink(missing_ok=True)

    def _once(self, task: Task, chunk: Chunk, perform: Callable[[InferenceBackend, CallContext], T]) -> T:
        ctx = CallContext(deadline=time.monotonic() + min(self.call_seconds, self.ctx.remaining()))
        started = time.monotonic()
        wanted = self.options.transcribe_backend if task == "transcribe" else self.options.diarize_backend
        try:
            with self.ctx.interruptible(ctx.cancel):
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
        finally:
            self.in_backends += time.monotonic() - started
