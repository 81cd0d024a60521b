"""What callers ask for: the typed bodies of the tasks, and how they become requests to a backend.

The same bodies serve a call that waits for its answer and a job in the background.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from relay.errors import Invalid
from relay.ports.inference import Audio, ChatRequest, DiarizeRequest, TranscribeRequest
from relay.services.parts import check_urls
from relay.services.schemas import check_schema

TRANSCRIPT = "<transcript>\n{transcript}\n</transcript>"

MISSING = re.compile(r"Object missing required field `(.+)`")
Text = Annotated[str, Meta(pattern=r"\S")]
Speakers = Annotated[int, Meta(ge=1, le=32)]
Tokens = Annotated[int, Meta(ge=1, le=1_000_000)]
Temperature = Annotated[float, Meta(ge=0, le=2)]


class Message(Struct):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[dict[str, Any]]


class AnalyzeBody(Struct):
    """The JSON body of analyze."""

    prompt: Text | None = None
    messages: Annotated[list[Message], Meta(min_length=1, max_length=10_000)] | None = None
    transcript: str | None = None
    system: str | None = None
    schema: dict[str, Any] | None = None
    model: Text | None = None
    backend: Text | None = None
    max_output_tokens: Tokens | None = None
    temperature: Temperature | None = None
    stream: bool = False


class TranscribeBody(Struct):
    """Fields beside the recording, or the JSON body with the recording's `url`."""

    url: Text | None = None
    language: Text | None = None
    prompt: Text | None = None
    model: Text | None = None
    backend: Text | None = None


class DiarizeBody(Struct):
    url: Text | None = None
    num_speakers: Speakers | None = None
    max_speakers: Speakers | None = None
    model: Text | None = None
    backend: Text | None = None


class RecapBody(Struct):
    """Transcribe, then analyze, and diarize when asked. `prompt`, `system`, `schema`: of the analysis; without a
    prompt, the one in the settings."""

    url: Text | None = None
    language: Text | None = None
    prompt: Text | None = None
    system: str | None = None
    schema: dict[str, Any] | None = None
    diarize: bool = False
    num_speakers: Speakers | None = None
    max_speakers: Speakers | None = None


def chat_request(body: AnalyzeBody) -> ChatRequest:
    """The caller's question as messages: system, then the conversation, then the transcript. Raises Invalid, and
    UrlNotAllowed for a part that is to be fetched."""
    if (body.prompt is None) == (body.messages is None):
        raise Invalid("give prompt or messages, one of them", "prompt")
    if body.schema is not None:
        check_schema(body.schema)
    messages: list[dict[str, Any]] = []
    if body.system:
        messages.append({"role": "system", "content": body.system})
    if body.messages is not None:
        for n, message in enumerate(body.messages):
            check_urls(message.content, f"messages.{n}.content")
            messages.append(msgspec.to_builtins(message))
    else:
        messages.append({"role": "user", "content": body.prompt})
    if body.transcript:
        messages.append({"role": "user", "content": TRANSCRIPT.format(transcript=body.transcript)})
    return ChatRequest(
        messages,
        body.transcript,
        body.schema,
        body.model,
        body.max_output_tokens,
        body.temperature,
        stream=body.stream,
    )


def transcribe_request(body: TranscribeBody, recording: Audio) -> TranscribeRequest:
    return TranscribeRequest(recording, body.language, body.prompt, body.model)


def check_speakers(body: DiarizeBody | RecapBody) -> None:
    """Raises Invalid for more speakers than there can be."""
    if body.num_speakers and body.max_speakers and body.num_speakers > body.max_speakers:
        raise Invalid("num_speakers is more than max_speakers", "num_speakers")


def diarize_request(body: DiarizeBody, recording: Audio) -> DiarizeRequest:
    return DiarizeRequest(recording, body.num_speakers, body.max_speakers, body.model)


def from_fields(fields: dict[str, str], kind: type[Any]) -> Any:
    """A body from the text fields of a form; an empty field counts as left out. Raises Invalid."""
    given = {name: text for name, text in fields.items() if text != ""}
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as exc:
        message, _, path = str(exc).partition(" - at `$.")
        if missing := MISSING.fullmatch(message):
            raise Invalid(f"{missing[1]} is required", missing[1]) from None
        raise Invalid(message.replace("`", ""), path.rstrip("`")) from None


def chat_inputs(request: ChatRequest) -> dict[str, int | float | str]:
    """A question in figures, for the job's record."""
    size = sum(len(content) for m in request.messages if isinstance(content := m.get("content"), str))
    return {"messages": len(request.messages), "characters": size}


def audio_inputs(recording: Audio) -> dict[str, int | float | str]:
    """A recording in figures, for the job's record."""
    inputs: dict[str, int | float | str] = {"bytes": recording.path.stat().st_size}
    if recording.duration is not None:
        inputs["seconds"] = round(recording.duration, 3)
    return inputs


def audio_cost(recording: Audio) -> float:
    """What a recording weighs in the queue: its minutes, at least one."""
    return max(1.0, (recording.duration or 0.0) / 60)
