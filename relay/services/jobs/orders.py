"""What a caller orders: the body of a task with its name in `task`, and where to report the end."""

from __future__ import annotations

from typing import cast

import msgspec

from relay.domain.work import WorkTask
from relay.errors import Invalid
from relay.ports.inference import ChatRequest, Task
from relay.services.requests import (
    AnalyzeBody,
    DiarizeBody,
    RecapBody,
    Text,
    TranscribeBody,
    chat_request,
    check_speakers,
)
from relay.settings import RECAP_PROMPT


class TranscribeJob(TranscribeBody, tag_field="task", tag="transcribe"):
    callback_url: Text | None = None


class AnalyzeJob(AnalyzeBody, tag_field="task", tag="analyze"):
    callback_url: Text | None = None


class DiarizeJob(DiarizeBody, tag_field="task", tag="diarize"):
    callback_url: Text | None = None


class RecapJob(RecapBody, tag_field="task", tag="recap"):
    callback_url: Text | None = None


Order = TranscribeJob | AnalyzeJob | DiarizeJob | RecapJob
_decoder: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)


def load(raw: bytes) -> Order:
    return _decoder.decode(raw)


def task_of(order: Order) -> WorkTask:
    return cast("WorkTask", order.__struct_config__.tag)


def url_of(order: Order) -> str | None:
    """Where the recording is, when it does not come along."""
    return None if isinstance(order, AnalyzeJob) else order.url


def routed(order: Order) -> list[tuple[Task, str | None, str | None]]:
    """The tasks behind it, each with the backend and the model that was asked for."""
    if isinstance(order, RecapJob):
        tasks: list[Task] = ["transcribe", "diarize", "analyze"] if order.diarize else ["transcribe", "analyze"]
        return [(task, None, None) for task in tasks]
    return [(cast("Task", task_of(order)), order.backend, order.model)]


def check(order: Order) -> None:
    """Raises Invalid for what would fail later."""
    if isinstance(order, AnalyzeJob):
        if order.stream:
            raise Invalid("a job does not stream; leave stream out and read /relay/jobs/ID/events", "stream")
        chat_request(order)
    elif isinstance(order, RecapJob):
        analysis(order, "")
    if isinstance(order, DiarizeJob | RecapJob):
        check_speakers(speakers(order))


def analysis(order: RecapJob, transcript: str) -> ChatRequest:
    """What is asked about the finished transcript. Raises Invalid for a bad schema."""
    return chat_request(
        AnalyzeBody(
            prompt=order.prompt or RECAP_PROMPT, transcript=transcript, system=order.system, schema=order.schema
        )
    )


def speakers(order: DiarizeJob | RecapJob) -> DiarizeBody:
    return DiarizeBody(num_speakers=order.num_speakers, max_speakers=order.max_speakers)


def listening(order: RecapJob) -> TranscribeBody:
    return TranscribeBody(language=order.language)
