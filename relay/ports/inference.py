"""The inference port: a backend that can transcribe, chat or diarize."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import structlog

from relay.errors import Unavailable, UpstreamTimeout

log = structlog.get_logger("relay.calls")

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
class DiarizeRequest:
    """`num_speakers`: how many there are, when the caller knows; `max_speakers`: how many there can be. `offset`: where
    this begins in a longer recording, in seconds."""

    audio: Audio
    num_speakers: int | None = None
    max_speakers: int | None = None
    model: str | None = None
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One speaker speaks; seconds from the start of the recording. Turns of different speakers may overlap."""

    start: float
    end: float
    speaker: str


@dataclass(frozen=True, slots=True)
class Diarization:
    """Who speaks when. Speakers are `S1`, `S2`, … by first appearance; `turns` in the order of their start.

    `voices`: an embedding of each speaker's voice where there is one; `voice_model`: what made them, where that is not
    `model`: those of different models are never compared.
    """

    turns: tuple[Turn, ...]
    duration: float
    model: str
    voices: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    voice_model: str = ""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """`messages` in OpenAI's shape, ready to send. `transcript` is the caller's own text apart from the
    instructions, for a backend that works on it directly; it is also inside `messages`.

    `options`: more fields of OpenAI's request, to pass on (`top_p`, `stop`, `seed`, `tools`, `tool_choice`, …).
    A backend that cannot do `tools` raises Unsupported; other options it does not know it leaves out.
    `stream`: the caller wants the pieces as they come, not one answer at the end.
    """

    messages: Sequence[Mapping[str, Any]]
    transcript: str | None = None
    schema: Mapping[str, Any] | None = None
    model: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer. The last one carries `finish` (`stop`, `length`, …), `model` and the usage.

    `tool_calls`: pieces of calls of tools, in the shape of OpenAI's streams (each with its `index`).
    """

    text: str = ""
    finish: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    tool_calls: Sequence[Mapping[str, Any]] = ()


@dataclass(slots=True)
class CallContext:
    """What one call may cost in time, and how to stop it.

    `deadline` on the monotonic clock. `gone` says whether the caller has hung up; the core asks it several
    times a second and then calls `cancel`. `pieces`: finished parts of long work under names of the backend's
    own choice; what is put there before a crash is there again when the job goes on after it.
    """

    deadline: float
    cancelled: threading.Event = field(default_factory=threading.Event)
    gone: Callable[[], bool] = lambda: False
    progress: Callable[[float], None] = lambda _fraction: None
    pieces: MutableMapping[str, bytes] = field(default_factory=dict)
    _stops: list[Callable[[], None]] = field(default_factory=list)

    def remaining(self) -> float:
        """Seconds left. Raises UpstreamTimeout when none are, Unavailable when the caller has gone."""
        if self.cancelled.is_set() or self.gone():
            raise Unavailable("the call was cancelled")
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise UpstreamTimeout("the time for this call is used up")
        return left

    def cancel(self) -> None:
        """End the call from another thread, at once: whatever it waits for is interrupted."""
        self.cancelled.set()
        for stop in tuple(self._stops):
            try:
                stop()
            except Exception:
                # One that raises must not keep the others, or the caller, from going on.
                log.exception("stop_failed")

    @contextmanager
    def interruptible(self, stop: Callable[[], None]) -> Iterator[None]:
        """While inside, `cancel` calls `stop`, which must end what this thread waits for.

        `stop` runs in another thread, perhaps twice, and must neither wait nor raise.
        """
        self._stops.append(stop)
        try:
            if self.cancelled.is_set():
                stop()
            yield
        finally:
            self._stops.remove(stop)


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

    def chat(self, request: ChatRequest, ctx: CallContext) -> Iterator[Delta]:
        """The answer in pieces, as they come when `request.stream`. The core closes the iterator early to give up."""

    def health(self) -> Health:
        """Ask the service itself. May take up to five seconds; never raises."""

    def close(self) -> None: ...


@runtime_checkable
class Diarizer(Protocol):
    """What a backend with the task `diarize` offers besides.

    One that follows speakers through a whole recording but gives no `voices` may say so with an attribute
    `whole_streams: float`, the longest recording it takes, in seconds: up to there the relay sends it long recordings
    in one go and not in pieces, whose speakers could not be matched well.
    """

    def diarize(self, request: DiarizeRequest, ctx: CallContext) -> Diarization: ...


def whole_streams(backend: InferenceBackend) -> float:
    """Seconds of a recording in which it keeps speakers apart by itself; 0 when it did not say."""
    return float(getattr(backend, "whole_streams", 0.0))
