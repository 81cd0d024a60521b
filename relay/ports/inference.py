"""The inference port: a backend that can transcribe, chat or diarize."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from relay.errors import Unavailable, UpstreamTimeout

Task = Literal["transcribe", "analyze", "diarize"]
TASKS: tuple[Task, ...] = ("transcribe", "analyze", "diarize")


@dataclass(frozen=True, slots=True)
class Audio:
    """A recording on disk. `duration` in seconds as probed, None when the container does not say.

    `path.parent` is a scratch folder of this call alone: a backend may write there, the core removes it.
    """

    path: Path
    filename: str
    duration: float | None = None


@dataclass(frozen=True, slots=True)
class TranscribeRequest:
    audio: Audio
    language: str | None = None
    prompt: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Word:
    word: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech; `start` and `end` in seconds from the start of the recording."""

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """`duration` in seconds of decoded audio; `language` as ISO 639-1."""

    text: str
    language: str | None
    duration: float
    segments: tuple[Segment, ...]
    model: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """`messages` in OpenAI's shape, ready to send. `transcript` is the caller's own text apart from the
    instructions, for a backend that works on it directly; it is also inside `messages`."""

    messages: Sequence[Mapping[str, Any]]
    transcript: str | None = None
    schema: Mapping[str, Any] | None = None
    model: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer. The last one carries `finish` (`stop`, `length`, …), `model` and the usage."""

    text: str = ""
    finish: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(slots=True)
class CallContext:
    """What one call may cost in time, and how to stop it.

    `deadline` on the monotonic clock. `gone` says whether the caller has hung up.
    """

    deadline: float
    cancelled: threading.Event = field(default_factory=threading.Event)
    gone: Callable[[], bool] = lambda: False
    progress: Callable[[float], None] = lambda _fraction: None

    def remaining(self) -> float:
        """Seconds left. Raises UpstreamTimeout when none are, Unavailable when the caller has gone."""
        if self.cancelled.is_set() or self.gone():
            raise Unavailable("the call was cancelled")
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise UpstreamTimeout("the time for this call is used up")
        return left


@dataclass(frozen=True, slots=True)
class Health:
    ok: bool
    detail: str = ""


class InferenceBackend(Protocol):
    """`tasks`: what it can do now. `cost_class`: "gemini" is counted against a tier's gemini limit; any
    other word is not. `max_concurrent` calls run at once, `queue_size` more may wait."""

    name: str
    cost_class: str
    max_concurrent: int
    queue_size: int

    @property
    def tasks(self) -> frozenset[Task]: ...

    def models(self, task: Task) -> Sequence[str]:
        """Names a caller may ask for with this task; empty when it is not known, or any will do."""

    def transcribe(self, request: TranscribeRequest, ctx: CallContext) -> Transcript: ...

    def chat(self, request: ChatRequest, ctx: CallContext) -> Iterator[Delta]: ...

    def health(self) -> Health:
        """Ask the service itself. May take up to five seconds; never raises."""

    def close(self) -> None: ...
