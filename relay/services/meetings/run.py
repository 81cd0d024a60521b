"""One run: from the recording to a text with speakers, a summary, decisions, action items and chapters.

Everything finished is a piece on disk, so a run that was cut off goes on where it was.
"""

from __future__ import annotations

import errno
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from relay.audio import DecodedAudio, decode
from relay.books import meetings
from relay.crash import crash_point
from relay.domain.meeting_export import clock, names
from relay.domain.meetings import Analysis, Line, Meeting, Options, Result, Text
from relay.errors import Invalid, NoBackend, NotFound, StorageFull
from relay.ports.inference import CallContext, Turn, whole_streams
from relay.ports.storage import Storage, Tx
from relay.services.infer import Infer
from relay.services.meetings.channels import by_channel
from relay.services.meetings.joining import People, lines, people, speakers_of
from relay.services.meetings.listening import PAUSES, Heard, Listening, Voiced
from relay.services.meetings.pieces import Pieces
from relay.services.meetings.sound import announced_seconds, encode_listen
from relay.shapes.chunks import Chunk, Chunking

T = TypeVar("T")
MAX_SECONDS = 12 * 3600.0
ENDS_EARLY = 0.05
"""Share of the announced length that may be missing before it is told."""

EACH_ITS_CHANNEL = "Each of the two channels has a speaker of its own, so the channels tell who speaks."

Analyse = Callable[
    [Sequence[Line], Mapping[str | None, str], Options, Pieces, CallContext, Sequence[float]],
    tuple[Analysis, list[str]],
]


@dataclass
class Progress:
    """How far a run is, for the list. `done` of `total` pieces, `made` of them since `since` on the monotonic clock."""

    step: str = "probe"
    done: int = 0
    total: int = 0
    made: int = 0
    since: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def one_more(self) -> None:
        """A piece was made, by one of two threads."""
        with self.lock:
            self.done += 1
            self.made += 1

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
    """`chunking`: how the recording is cut. `pauses`: before a failed piece is tried again. `analyse`: writes the
    summary and all that."""

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
    notes: list[str] = field(default_factory=list)
    channels: list[Turn] = field(default_factory=list)

    def do(self) -> Result:
        """Raises RelayError; what is finished stays."""
        pieces = Pieces(self.storage, self.meeting_id, self.row.run)
        with self._scratch():
            audio = self._decoded()
            self._copy(audio)
            words_plan, speakers_plan = self._plans(audio, pieces)
            kept = pieces.names()
            wanted = _names(words_plan, speakers_plan)
            self.progress = Progress("listen", len(kept & wanted), len(wanted) + 1)
            ears = Listening(
                self.infer,
                self.meeting_id,
                self.row.options,
                pieces,
                self.folder,
                self.ctx,
                self.progress.one_more,
                self.pauses,
            )
            with self._timed("listen"):
                heard, voiced = self._listen_to_all(ears, audio, words_plan, speakers_plan)
        self.timings["in_backends"] = ears.in_backends
        result = self._joined(audio, heard, voiced)
        crash_point("meetings.joined")
        self._analysed(result, result.lines, {speaker.id: speaker.id for speaker in result.speakers}, pieces)
        return result

    def again(self, text: Text, base: Result) -> Result:
        """Only the analysis, of the text as people have edited it; all else as in `base`."""
        self.progress = Progress("analyze", 0, 1)
        result = msgspec.structs.replace(
            base, run=self.row.run, at=self.now, options=self.row.options, notes=[], analysis=Analysis()
        )
        self._analysed(result, text.lines, names(text), Pieces(self.storage, self.meeting_id, self.row.run))
        result.notes = [note for note in base.notes if note not in base.analysis_notes] + result.notes
        return result

    def _decoded(self) -> DecodedAudio:
        self.progress.step = "decode"
        with self._timed("decode"):
            assert self.row.audio is not None
            source = self.folder / "recording"
            with self.storage.open_blob(self.row.audio) as blob, source.open("wb") as copy:
                shutil.copyfileobj(blob, copy, 1024 * 1024)
            try:
                announced = announced_seconds(source)
                self.channels = self._by_channel(source)
                samples = self.folder / "samples.s16"
                audio = decode(source, samples, max_seconds=MAX_SECONDS, check=lambda _seconds: _still(self.ctx))
            finally:
                source.unlink()
        if audio.seconds < announced * (1 - ENDS_EARLY):
            self.notes.append(
                f"The recording ends early: of the {clock(announced)} that the file announces, {clock(audio.seconds)}"
                " could be read. The file may have been cut off."
            )
        return audio

    def _by_channel(self, source: Path) -> list[Turn]:
        """Only where nobody asked for a certain diarizer, or knows of more or fewer speakers than two."""
        options = self.row.options
        if options.diarize_backend is not None or options.num_speakers not in {None, 2} or options.max_speakers == 1:
            return []
        return by_channel(source, lambda _seconds: _still(self.ctx))

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
            if row is None:
                raise NotFound("the meeting was deleted")
            row.listen = ref
            meetings.put(tx, self.meeting_id, row)

        try:
            self.storage.transact(keep)
        except NotFound:
            self.storage.delete_blob(ref)  # no row names it
            raise
        self.row.listen = ref

    def _plans(self, audio: DecodedAudio, pieces: Pieces) -> tuple[list[Chunk], list[Chunk]]:
        """Where to cut: kept too, or a restart with other settings would fit no piece to another."""

        def cut() -> list[Chunk]:
            with self._timed("cut"):
                return self.chunking.cut(audio)

        options = self.row.options
        if not self.infer.candidates("transcribe", options.transcribe_backend, None):
            raise NoBackend("no backend here can transcribe; enable one in plugins.toml, and run this again")
        words = pieces.once("plan", list[Chunk], cut)
        if self.channels:
            return words, []
        if (speakers := pieces.get("speakers-plan", list[Chunk])) is not None:
            return words, speakers
        found = self.infer.breaker.order(self.infer.candidates("diarize", options.diarize_backend, None))
        if not found:
            # Not kept: when this run is gone on with, there may be one.
            return words, []
        whole = whole_streams(found[0]) >= audio.seconds
        speakers = [Chunk(0, 0.0, audio.seconds, 0.0, audio.seconds)] if whole else words
        pieces.put("speakers-plan", speakers)
        return words, speakers

    def _listen_to_all(
        self, ears: Listening, audio: DecodedAudio, words: Sequence[Chunk], speakers: Sequence[Chunk]
    ) -> tuple[list[tuple[Chunk, Heard]], list[tuple[Chunk, Voiced]]]:
        """Words and speakers side by side: often they are the business of different machines."""

        def all_of(chunks: Sequence[Chunk], one: Callable[[DecodedAudio, Chunk], T]) -> list[tuple[Chunk, T]]:
            return [(chunk, one(audio, chunk)) for chunk in chunks]

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
            if self.channels:
                told = People(self.channels, {}, "", [EACH_ITS_CHANNEL])
            spoken = lines(heard, told.turns)
            if not spoken:
                raise Invalid("no speech was found in this recording", "file", reason="no_speech")
            notes = [*self.notes, *told.notes]
            if not voiced and not self.channels:
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

    def _analysed(
        self, result: Result, spoken: Sequence[Line], called: Mapping[str | None, str], pieces: Pieces
    ) -> None:
        self.progress.step = "analyze"
        with self._timed("analyze"):
            result.analysis, result.analysis_notes = self.analyse(
                spoken, called, self.row.options, pieces, self.ctx, self.pauses
            )
        result.notes += result.analysis_notes
        result.timings = {name: round(seconds, 3) for name, seconds in self.timings.items()}
        self.progress.done = self.progress.total

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


def _used(parts: Sequence[tuple[Chunk, Any]]) -> list[str]:
    return sorted({f"{part.backend}/{part.model}".strip("/") for _, part in parts if part.backend})
