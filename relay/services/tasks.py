"""One task on one backend: call it, check that there is an answer, and bring it into the contract's shape."""

from __future__ import annotations

from typing import Any

import msgspec

from relay.errors import UpstreamFailed, boundary
from relay.ports.inference import CallContext, ChatRequest, InferenceBackend, Segment, TranscribeRequest
from relay.services.schemas import parse_answer

MAX_ANSWER_CHARS = 16 * 2**20


def transcribe(backend: InferenceBackend, request: TranscribeRequest, ctx: CallContext) -> tuple[dict[str, Any], str]:
    """The `result` object and the model's name. Raises UpstreamFailed for an empty answer."""
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


def analyze(backend: InferenceBackend, request: ChatRequest, ctx: CallContext) -> tuple[dict[str, Any], str]:
    """The `result` object and the model's name. Raises UpstreamFailed for an empty or unusable answer."""
    pieces: list[str] = []
    size, model, tokens_in, tokens_out = 0, "", 0, 0
    with boundary(backend.name):
        for delta in backend.chat(request, ctx):
            pieces.append(delta.text)
            size += len(delta.text)
            if size > MAX_ANSWER_CHARS:
                raise UpstreamFailed(f"{backend.name} answered more than {MAX_ANSWER_CHARS} characters")
            model = delta.model or model
            tokens_in = delta.input_tokens if delta.input_tokens is not None else tokens_in
            tokens_out = delta.output_tokens if delta.output_tokens is not None else tokens_out
    text = "".join(pieces)
    if not text.strip():
        raise UpstreamFailed(f"{backend.name} answered without any text")
    data = None if request.schema is None else parse_answer(text, request.schema, backend.name)
    usage = {"input_tokens": tokens_in, "output_tokens": tokens_out}
    return {"text": text, "data": data, "usage": usage}, model
