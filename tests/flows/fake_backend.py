"""An inference backend that does what a test tells it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from relay.ports.inference import (
    CallContext,
    ChatRequest,
    Delta,
    Diarization,
    DiarizeRequest,
    Health,
    Segment,
    TranscribeRequest,
    Transcript,
    Turn,
)


class FakeBackend:
    """Answers until told otherwise. `fail`: raise this instead; `gate`: wait until it is set; `act`: do this first.

    `calls` counts what reached it, `running` and `most` how many calls were in it at once. `pieces`: what a chat
    yields instead of `text`, exceptions among them are raised and events waited for; `closed`: streams left early.
    """

    def __init__(self, name: str = "fake", cost_class: str = "own", **more: Any) -> None:
        self.name = name
        self.cost_class = cost_class
        self.max_concurrent = more.get("max_concurrent", 1000)
        self.queue_size = more.get("queue_size", 1000)
        self.tasks = frozenset(more.get("tasks", ("transcribe", "analyze")))
        self.names = more.get("models", ())
        self.text = more.get("text", f"the answer of {name}")
        self.fail: Exception | None = None
        self.act: Callable[[CallContext], None] = lambda ctx: None
        self.gate: threading.Event | None = None
        self.entered = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.calls = self.running = self.most = 0
        self.asked: list[Any] = []
        self.pieces: list[Any] = []
        self.closed = 0

    def models(self, _task: str) -> tuple[str, ...]:
        return self.names

    def _work(self, ctx: CallContext, request: Any) -> None:
        with self.lock:
            self.calls += 1
            self.running += 1
            self.most = max(self.most, self.running)
            self.asked.append(request)
        self.entered.release()
        try:
            while self.gate is not None and not self.gate.wait(0.02):
                ctx.remaining()
            self.act(ctx)
            if self.fail is not None:
                raise self.fail
        finally:
            with self.lock:
                self.running -= 1

    def transcribe(self, request: TranscribeRequest, ctx: CallContext) -> Transcript:
        self._work(ctx, request)
        return Transcript(self.text, "en", 2.0, (Segment(0.0, 2.0, self.text),), f"{self.name}-ears")

    def diarize(self, request: DiarizeRequest, ctx: CallContext) -> Diarization:
        self._work(ctx, request)
        turns = (Turn(0.0, 1.0, "S1"), Turn(0.5, 2.0, "S2"), Turn(2.0, 2.25, "S1"))
        return Diarization(turns if self.text else (), 2.25, f"{self.name}-ears")

    def chat(self, request: ChatRequest, ctx: CallContext) -> Iterator[Delta]:
        self._work(ctx, request)
        try:
            for piece in self.pieces or [self.text]:
                if isinstance(piece, threading.Event):
                    with ctx.interruptible(piece.set):
                        piece.wait(30)
                    ctx.remaining()
                elif isinstance(piece, Exception):
                    raise piece
                else:
                    yield Delta(piece)
            yield Delta(finish="stop", model=f"{self.name}-mind", input_tokens=3, output_tokens=5)
        except GeneratorExit:
            self.closed += 1
            raise

    def health(self) -> Health:
        return Health(ok=True)

    def close(self) -> None:
        if self.gate is not None:
            self.gate.set()
