"""The backend the relay calls: recordings to text and to speakers' turns, text to an extractive summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from relay.api import (
    Audio,
    CallContext,
    ChatRequest,
    DecodedAudio,
    Delta,
    Diarization,
    DiarizeRequest,
    Health,
    Invalid,
    Segment,
    Task,
    TranscribeRequest,
    Transcript,
    Turn,
    Unsupported,
    cut_on_silence,
    decode,
    stitch_speakers,
)
from relay_local import answer, speakers
from relay_local.engine import MODEL, RATE, Engine, Line
from relay_local.samples import read_raised

PIECE_SECONDS = 30.0  # the model takes a list of floats: an hour at once would be gigabytes
MODELS = {"transcribe": (MODEL,), "analyze": (answer.MODEL,), "diarize": (speakers.MODEL,)}


class LocalBackend:
    name = "local"
    cost_class = "local"
    max_concurrent = 2  # they take turns at the model, piece by piece: an hour of diarization holds nobody up
    tasks: frozenset[Task] = frozenset({"transcribe", "analyze", "diarize"})

    def __init__(self, engine: Engine, *, max_seconds: float, queue_size: int) -> None:
        self.queue_size = queue_size
        self._engine = engine
        self._max_seconds = max_seconds
        self.whole_streams = max_seconds  # it names speakers through a whole stream, and gives no voices to match

    def models(self, task: Task) -> Sequence[str]:
        return MODELS[task]

    def transcribe(self, request: TranscribeRequest, ctx: CallContext) -> Transcript:
        """English only."""
        if request.language and not _is_english(request.language):
            raise Unsupported(f"the embedded speech model knows only English, not {request.language!r}")
        segments: list[Segment] = []
        with self._decoded(request.audio, "transcribe", ctx) as audio:
            for start, end in cut_on_silence(audio, PIECE_SECONDS):
                lines = self._lines(audio, start, end, ctx)
                segments += [Segment(start + line.start, min(start + line.end, end), line.text) for line in lines]
                ctx.progress(end / audio.seconds)
        if not segments:
            raise _no_speech()
        text = " ".join(segment.text for segment in segments)
        return Transcript(text, "en", audio.seconds, tuple(segments), MODEL)

    def diarize(self, request: DiarizeRequest, ctx: CallContext) -> Diarization:
        """In any language. Where more speakers are found than `num_speakers` or `max_speakers` says, the one who
        says least goes to the nearest in time. Where fewer are found they stay fewer: two voices much alike, or a
        recording under 20 s, may be told as one speaker."""
        with self._decoded(request.audio, "diarize", ctx) as audio:
            found = speakers.diarize(self._engine, audio, ctx)
        turns, _ = stitch_speakers([found], num_speakers=request.num_speakers, max_speakers=request.max_speakers)
        if not turns:
            raise _no_speech()
        return Diarization(tuple(Turn(*turn) for turn in turns), audio.seconds, speakers.MODEL)

    def chat(self, request: ChatRequest, ctx: CallContext) -> Iterator[Delta]:
        return answer.deltas(request, ctx)

    def health(self) -> Health:
        return Health(ok=True, detail="model loaded" if self._engine.loaded else "model not loaded")

    def close(self) -> None:
        self._engine.close()

    @contextmanager
    def _decoded(self, audio: Audio, task: Task, ctx: CallContext) -> Iterator[DecodedAudio]:
        """Samples beside the recording, in the folder of this call, where another task may be at work too."""

        def still_wanted(_seconds: float) -> None:
            ctx.remaining()

        target = audio.path.with_name(f"{audio.path.name}.{task}.s16")
        try:
            yield decode(audio.path, target, max_seconds=self._max_seconds, check=still_wanted)
        finally:
            target.unlink(missing_ok=True)

    def _lines(self, audio: DecodedAudio, start: float, end: float, ctx: CallContext) -> list[Line]:
        """What is said in a piece: from before a crash, if it was heard then."""
        left = ctx.remaining()
        name = f"local-{MODEL}-{round(start * RATE)}-{round(end * RATE)}"
        if name in ctx.pieces:
            return msgspec.json.decode(ctx.pieces[name], type=list[Line])
        samples = read_raised(audio, start, end)
        lines = self._engine.lines(samples, timeout=left) if samples else []
        ctx.pieces[name] = msgspec.json.encode(lines)
        return lines


def _no_speech() -> Invalid:
    return Invalid("no speech was found in the recording", "file", reason="no_speech")


def _is_english(language: str) -> bool:
    return language.strip().lower().replace("_", "-").split("-")[0] in {"en", "eng", "english"}
