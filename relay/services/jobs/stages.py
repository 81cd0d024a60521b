"""Do the work of one job: one task, or the three of a recap, each kept when it is finished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from msgspec import Struct

from relay.crash import crash_point
from relay.errors import PaymentRequired, QueueFull
from relay.ports.inference import Audio, CallContext, InferenceBackend, Segment, Task, Turn
from relay.services import tasks
from relay.services.infer import CERTAIN, Done, Infer
from relay.services.jobs import orders
from relay.services.jobs.orders import AnalyzeJob, DiarizeJob, Order, RecapJob, TranscribeJob
from relay.services.jobs.pieces import Pieces
from relay.services.meter import Call
from relay.services.meter_gemini import COST_CLASS
from relay.services.requests import (
    audio_cost,
    audio_inputs,
    chat_inputs,
    chat_request,
    diarize_request,
    transcribe_request,
)
from relay.services.speakers import assign_words
from relay.services.tasks import Result

BUSY_SECONDS = 2.0
"""How long a job waits before it asks again when the queue of a backend is full."""

Act = Callable[[InferenceBackend, CallContext], Result]


class Outcome(Struct):
    """What came of a task, and of whom. `cost_class`: gemini when any part of it was done there."""

    result: dict[str, Any]
    backend: str
    model: str
    cost_class: str


@dataclass(slots=True)
class Run:
    """One run of one job. `recording` is None for analyze only."""

    infer: Infer
    call: Call
    ctx: CallContext
    pieces: Pieces
    recording: Audio | None = None

    def perform(self, order: Order) -> Outcome:
        """Raises the RelayError the job fails with."""
        if self.recording is not None:
            self.call.inputs, self.call.cost = audio_inputs(self.recording), audio_cost(self.recording)
        if isinstance(order, RecapJob):
            return self._recap(order, self._audio())
        task, backend, model = orders.routed(order)[0]
        return self._stage(task, self._act(order), self.ctx, backend, model)

    def _act(self, order: TranscribeJob | AnalyzeJob | DiarizeJob) -> Act:
        if isinstance(order, TranscribeJob):
            listening = transcribe_request(order, self._audio())
            return lambda backend, ctx: tasks.transcribe(backend, listening, ctx)
        if isinstance(order, DiarizeJob):
            telling_apart = diarize_request(order, self._audio())
            return lambda backend, ctx: tasks.diarize(backend, telling_apart, ctx)
        question = chat_request(order)
        self.call.inputs = chat_inputs(question)
        return lambda backend, ctx: tasks.analyze(backend, question, ctx)

    def _audio(self) -> Audio:
        assert self.recording is not None
        return self.recording

    def _recap(self, order: RecapJob, recording: Audio) -> Outcome:
        heard = transcribe_request(orders.listening(order), recording)
        # Listening takes most of the time, whatever the backend.
        listened = 0.6 if order.diarize else 0.75
        transcript = self._part("transcribe", lambda b, ctx: tasks.transcribe(b, heard, ctx), 0.0, listened)
        answer: dict[str, Any] = {"transcript": transcript.result}
        parts = [transcript]
        if order.diarize:
            voices = diarize_request(orders.speakers(order), recording)
            turns = self._part("diarize", lambda b, ctx: tasks.diarize(b, voices, ctx), 0.6, 0.8)
            parts.append(turns)
            answer["transcript"] = with_speakers(transcript.result, turns.result)
            answer["speakers"] = turns.result["speakers"]
        question = orders.analysis(order, spoken(answer["transcript"]))
        analysis = self._part("analyze", lambda b, ctx: tasks.analyze(b, question, ctx), 0.8 if order.diarize else 0.75)
        parts.append(analysis)
        answer["analysis"] = analysis.result
        gemini = any(part.cost_class == COST_CLASS for part in parts)
        return Outcome(answer, analysis.backend, analysis.model, COST_CLASS if gemini else analysis.cost_class)

    def _part(self, task: Task, act: Act, begin: float, end: float = 1.0) -> Outcome:
        """A stage of a recap. Once finished it is not done again, also after a restart."""
        name = f"finished/{task}"
        kept = self.pieces.get(name)
        if kept is not None:
            done = msgspec.json.decode(kept, type=Outcome)
        else:
            report = self.ctx.progress
            ctx = replace(self.ctx, progress=lambda fraction: report(begin + (end - begin) * fraction))
            done = self._stage(task, act, ctx, None, None)
            self.pieces[name] = msgspec.json.encode(done)
            crash_point("jobs.stage_kept")
        self.ctx.progress(end)
        return done

    def _stage(self, task: Task, act: Act, ctx: CallContext, backend: str | None, model: str | None) -> Outcome:
        def perform(backend: InferenceBackend, ctx: CallContext) -> Result:
            # What one backend put aside means nothing to the next one that is asked.
            return act(backend, replace(ctx, pieces=self.pieces.within(f"{task}/{backend.name}/")))

        candidates = self.infer.candidates(task, backend, model)
        done = self._patiently(lambda: self.infer.answer(self.call, candidates, perform, ctx), ctx)
        return Outcome(done.result, done.backend.name, done.model, done.backend.cost_class)

    def _patiently(self, ask: Callable[[], Done], ctx: CallContext) -> Done:
        """A job can wait where a caller would be told that the queue is full."""
        before = len(self.call.attempts)
        while True:
            try:
                return ask()
            except (*CERTAIN, PaymentRequired):
                # Anything else may have happened, or was refused for good: never asked again.
                if not any(attempt.code == QueueFull.code for attempt in self.call.attempts[before:]):
                    raise
                del self.call.attempts[before:]
            ctx.cancelled.wait(min(BUSY_SECONDS, ctx.remaining()))


def with_speakers(transcript: dict[str, Any], diarization: dict[str, Any]) -> dict[str, Any]:
    """The transcript's result with each segment said by one speaker."""
    segments = msgspec.convert(transcript["segments"], list[Segment])
    turns = msgspec.convert(diarization["segments"], list[Turn])
    said = assign_words(segments, turns)
    return {**transcript, "segments": [tasks.segment_view(n, segment) for n, segment in enumerate(said)]}


def spoken(transcript: dict[str, Any]) -> str:
    """The text as it is given to the analysis: who says what, where that is known."""
    lines: list[str] = []
    before = None
    for segment in transcript["segments"]:
        speaker, text = segment.get("speaker"), segment["text"].strip()
        if lines and speaker == before:
            lines[-1] += f" {text}"
        else:
            lines.append(f"{speaker}: {text}" if speaker else text)
        before = speaker
    return "\n".join(lines) if before is not None else transcript["text"]
