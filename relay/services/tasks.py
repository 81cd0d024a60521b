"""One task on one backend: call it, check that there is an answer, and bring it into the contract's shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from relay.errors import Unsupported, UpstreamFailed, boundary
from relay.ports.inference import (
    CallContext,
    ChatRequest,
    Delta,
    Diarizer,
    DiarizeRequest,
    InferenceBackend,
    Segment,
    TranscribeRequest,
)
from relay.services.schemas import parse_answer

MAX_ANSWER_CHARS = 16 * 2**20

Result = tuple[dict[str, Any], str]
"""The `result` object of the contract, and the model's name."""


def transcribe(backend: InferenceBackend, request: TranscribeRequest, ctx: CallContext) -> Result:
    """Raises UpstreamFailed for an empty answer."""
    with boundary(backend.name):
        transcript = backend.transcribe(request, ctx)
    if not transcript.text.strip():
        raise UpstreamFailed(f"{backend.name} answered without any text")
    result = {
        "text": transcript.text,
        "language": transcript.language,
        "duration": round(float(transcript.duration), 3),
        "segments": [segment_view(n, segment) for n, segment in enumerate(transcript.segments)],
    }
    return result, transcript.model


def segment_view(n: int, segment: Segment) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": n,
        "start": round(float(segment.start), 3),
        "end": round(float(segment.end), 3),
        "text": segment.text,
    }
    if segment.words:
        view["words"] = [msgspec.to_builtins(word) for word in segment.words]
    if segment.speaker is not None:
        view["speaker"] = segment.speaker
    return view


def diarize(backend: InferenceBackend, request: DiarizeRequest, ctx: CallContext) -> Result:
    """Raises UpstreamFailed when nobody was heard."""
    if not isinstance(backend, Diarizer):
        raise Unsupported(f"{backend.name} cannot tell speakers apart")
    with boundary(backend.name):
        found = backend.diarize(request, ctx)
    if not found.turns:
        raise UpstreamFailed(f"{backend.name} heard no speaker")
    seconds: dict[str, float] = {}
    for turn in found.turns:
        seconds[turn.speaker] = seconds.get(turn.speaker, 0.0) + turn.end - turn.start
    segments = [{"start": round(t.start, 3), "end": round(t.end, 3), "speaker": t.speaker} for t in found.turns]
    speakers = [{"id": speaker, "seconds": round(total, 3)} for speaker, total in seconds.items()]
    return {"segments": segments, "speakers": speakers}, found.model


class Reading:
    """An answer that comes in pieces: what there is of it so far."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._pieces: list[str] = []
        self._size = 0
        self.model = ""
        self.finish = ""
        self.usage = {"input_tokens": 0, "output_tokens": 0}
        self.tool_calls: list[dict[str, Any]] = []

    def add(self, delta: Delta) -> None:
        """Raises UpstreamFailed for an answer without end."""
        self._pieces.append(delta.text)
        self._size += len(delta.text)
        if self._size > MAX_ANSWER_CHARS:
            raise UpstreamFailed(f"{self._backend} answered more than {MAX_ANSWER_CHARS} characters")
        self.model = delta.model or self.model
        self.finish = delta.finish or self.finish
        if delta.input_tokens is not None:
            self.usage["input_tokens"] = delta.input_tokens
        if delta.output_tokens is not None:
            self.usage["output_tokens"] = delta.output_tokens
        for piece in delta.tool_calls:
            self._add_tool_call(piece)

    def _add_tool_call(self, piece: Any) -> None:
        """OpenAI's streams send a call of a tool as pieces with an index, its arguments cut anywhere."""
        index = piece.get("index", len(self.tool_calls))
        while len(self.tool_calls) <= min(index, 127):
            self.tool_calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        call = self.tool_calls[min(index, 127)]
        call["id"] = piece.get("id") or call["id"]
        function = piece.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""

    def result(self, request: ChatRequest) -> dict[str, Any]:
        """The `result` object. Raises UpstreamFailed for an empty answer, or one that does not fit the schema."""
        text = "".join(self._pieces)
        if not text.strip() and not self.tool_calls:
            raise UpstreamFailed(f"{self._backend} answered without any text")
        data = None if request.schema is None else parse_answer(text, request.schema, self._backend)
        result: dict[str, Any] = {"text": text, "data": data, "usage": self.usage}
        if self.finish == "length":
            result["truncated"] = True
        if self.tool_calls:
            result["tool_calls"] = self.tool_calls
        return result


def analyze(backend: InferenceBackend, request: ChatRequest, ctx: CallContext) -> Result:
    """Raises UpstreamFailed for an empty or unusable answer."""
    reading = Reading(backend.name)
    with boundary(backend.name):
        for delta in backend.chat(request, ctx):
            reading.add(delta)
    return reading.result(request), reading.model


def open_chat(backend: InferenceBackend, request: ChatRequest, ctx: CallContext) -> tuple[list[Delta], Iterator[Delta]]:
    """Start an answer that comes in pieces: its first ones up to the first with content, and the rest.

    Raises UpstreamFailed when it ends before there is any.
    """
    begun: list[Delta] = []
    with boundary(backend.name):
        deltas = iter(backend.chat(request, ctx))
        for delta in deltas:
            begun.append(delta)
            if delta.text.strip() or delta.tool_calls:
                return begun, deltas
    raise UpstreamFailed(f"{backend.name} answered without any text")
