"""One run: from the recording to a text with speakers, a summary, decisions, action items and chapters.

Everything finished is a piece on disk, so a run that was cut off goes on where it was.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from relay.audio import DecodedAudio, decode
from relay.books import meetings
from relay.crash import crash_point
from relay.domain.meetings import Analysis, Line, Meeting, Options, Result
from relay.errors import Invalid, StorageFull
from relay.ports.inference import CallContext
from relay.ports.storage import Storage, Tx
from relay.services.infer import Infer
from relay.services.meetings.joining import lines, people, speakers_of
from relay.services.meetings.listening import PAUSES, Heard, Listening, Voiced
from relay.services.meetings.pieces import Pieces
from relay.services.meetings.sound import encode_listen
from relay.shapes.chunks import Chunk, Chunking

T = TypeVar("T")
MAX_SECONDS = 12 * 3600.0
CALL_SECONDS = 1800.0
WHOLE_FACTOR = 4.0
"""Times its length that a recording may take to be told apart in one go."""

Analyse = Callable[[Sequence[Line], Options, Pieces, CallContext], tuple[Analysis, list[str]]]


@dataclass
class Progress:
    """How far a run is, for the list. `done` of `total` pieces; `since` on the monotonic clock."""

    step: str = "probe"
    done: int = 0
    total: int = 0
    made: int = 0
    since: float = field(default_factory=time.monotonic)

    @property
    def fraction(self) -> float | None:
        return round(min(1.0, self.done / self.total), 4) if self.total else None

    @property
    def eta_seconds(self) -> float | None:
        """From the pace of the pieces made since the start of this process; None before the first."""
        if not self.made or self.total <= self.done:
            return None
        return round((time.monotonic() - self.since) / self.made * (self.total - self.done), 1)


@dataclass
class Run:
    """`chunking`: how the recording is cut. `pauses`: before a failed piece is tried again. `analyse`: writes the summary
    and all that."""

    storage: Storage
    infer: Infer
    analyse: Analyse
    meeting_id: str
    row: Meeting
    folder: Path
    ctx: CallContext
    now: datetime
    chunking: Chunking
    pauses: tuple[float, ...] = PAUSES
    progress: Progress = field(default_factory=Progress)
    timings: dict[str, float] = field(default_factory=dict)

    def do(self) -> Result:
        """Raises RelayError; what is finished stays."""
        pieces = Pieces(self.storage, self.meeting_id, self.row.run)
        with self._scratch():
            audio = self._decoded()
            self._copy(audio)
            words_plan, speakers_plan = self._plans(audio, pieces)
            kept = pieces.names()
            self.progress = Progress(
                "listen", len(kept & _names(words_plan, speakers_plan)), _count(words_plan, speakers_plan) + 1
            )
            ears = Listening(
                self.infer,
                self.meeting_id,
                self.row.options,
                pieces,
                self.folder,
                self.ctx,
                CALL_SECONDS,
                self._told(kept),
                self.pauses,
            )
            heard, voiced = self._listen_to_all(ears, audio, words_plan, speakers_plan)
        self.timings["in_backends"] = round(ears.in_backends, 3)
        result = self._joined(audio, heard, voiced)
        self._analysed(result, pieces)
        return result

    def _decoded(self) -> DecodedAudio:
        self.progress.step = "decode"
        with self._timed("decode"):
            assert self.row.audio is not None
            source = self.folder / "recording"
            with self.storage.open_blob(self.row.audio) as blob, source.open("wb") as copy:
                shutil.copyfileobj(blob, copy, 1024 * 1024)
            try:
                return decode(
                    source,
                    self.folder / "samples.s16",
                    max_seconds=MAX_SECONDS,
                    check=lambda _seconds: _still(self.ctx),
                )
            finally:
                source.unlink()

    def _copy(self, audio: DecodedAudio) -> None:
        """A copy that browsers play; made once per recording."""
        if self.row.listen is not None:
            return
        self.progress.step = "copy"
        with self._timed("copy"):
            path = encode_listen(audio, self.folder / "listen.mp3", lambda _seconds: _still(self.ctx))
            with path.open("rb") as file:
                ref = self.storage.put_blob(file)

        def keep(tx: Tx) -> None:
            row = meetings.get(tx, self.meeting_id)
            if row is not None:
                row.listen = ref
                meetings.put(tx, self.meeting_id, row)

        self.storage.transact(keep)
        self.row.listen = ref

    def _plans(self, audio: DecodedAudio, pieces: Pieces) -> tuple[list[Chunk], list[Chunk]]:
        """Where to cut: kept too, or a restart with other settings would fit no piece to another."""

        def cut() -> list[Chunk]:
            with self._timed("cut"):
                return self.chunking.cut(audio)

        words = pieces.once("plan", list[Chunk], cut)

        def speakers() -> list[Chunk]:
            found = self.infer.breaker.order(self.infer.candidates("diarize", self.row.options.diarize_backend, None))
            if not found:
                return []
            whole = getattr(found[0], "whole_streams", False)
            return [Chunk(0, 0.0, audio.seconds, 0.0, audio.seconds)] if whole else words

        return words, pieces.once("speakers-plan", list[Chunk], speakers)

    def _listen_to_all(
        self, ears: Listening, audio: DecodedAudio, words: Sequence[Chunk], speakers: Sequence[Chunk]
    ) -> tuple[list[tuple[Chunk, Heard]], list[tuple[Chunk, Voiced]]]:
        """Words and speakers side by side: often they are the business of different machines."""

        def all_of(chunks: Sequence[Chunk], one: Callable[[DecodedAudio, Chunk], T]) -> list[tuple[Chunk, T]]:
            return [(chunk, one(audio, chunk)) for chunk in chunks]

        if speakers and speakers != words:
            ears.call_seconds = max(CALL_SECONDS, audio.seconds * WHOLE_FACTOR)
        with ThreadPoolExecutor(1, thread_name_prefix="meeting-speakers") as pool:
            voiced: Future[list[tuple[Chunk, Voiced]]] = pool.submit(all_of, speakers, ears.speakers)
            try:
                heard = all_of(words, ears.words)
            except BaseException:
                self.ctx.cancel()
                raise
            return heard, voiced.result()

    def _joined(
        self, audio: DecodedAudio, heard: list[tuple[Chunk, Heard]], voiced: list[tuple[Chunk, Voiced]]
    ) -> Result:
        self.progress.step = "join"
        with self._timed("join"):
            told = people(voiced, self.row.options)
            spoken = lines(heard, told.turns)
            if not spoken:
                raise Invalid("no speech was found in this recording", "file", reason="no_speech")
            notes = list(told.notes)
            if not voiced:
                notes.append("No backend here tells speakers apart, so the text has none.")
            models = {
                "transcribe": ", ".join(_used(heard)),
                "diarize": ", ".join(_used(voiced)),
            }
            return Result(
                run=self.row.run,
                at=self.now,
                options=self.row.options,
                lines=spoken,
                speakers=speakers_of(spoken, told.turns),
                voices=told.voices,
                voice_model=told.model,
                models=models,
                notes=notes,
                language=next((one.language for _, one in heard if one.language), ""),
                duration=round(audio.seconds, 3),
            )

    def _analysed(self, result: Result, pieces: Pieces) -> None:
        self.progress.step = "analyze"
        crash_point("meetings.joined")
        with self._timed("analyze"):
            result.analysis, notes = self.analyse(result.lines, self.row.options, pieces, self.ctx)
        result.notes += notes
        result.timings = {name: round(seconds, 3) for name, seconds in self.timings.items()}
        self.progress.done = self.progress.total

    def _told(self, kept: set[str]) -> Callable[[], None]:
        """Pieces that were there before do not tell the pace."""
        left = [len([name for name in kept if name.startswith(("words/", "speakers/"))])]

        def told() -> None:
            if left[0]:
                left[0] -= 1
                return
            self.progress.done += 1
            self.progress.made += 1

        return told

    @contextmanager
    def _scratch(self) -> Iterator[None]:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            yield
        except OSError as exc:
            if exc.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            raise StorageFull(f"the meeting could not be worked on: {exc.strerror}", retry_after=60) from exc
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.timings[step] = self.timings.get(step, 0.0) + time.monotonic() - started


def _still(ctx: CallContext) -> None:
    ctx.remaining()


def _names(words: Sequence[Chunk], speakers: Sequence[Chunk]) -> set[str]:
    return {f"words/{c.index:05}" for c in words} | {f"speakers/{c.index:05}" for c in speakers}


def _count(words: Sequence[Chunk], speakers: Sequence[Chunk]) -> int:
    return len(words) + len(speakers)


def _used(parts: Sequence[tuple[Chunk, Any]]) -> list[str]:
    return sorted({f"{part.backend}/{part.model}".strip("/") for _, part in parts if part.backend})
