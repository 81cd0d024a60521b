"""Spark Control: discovery, Parakeet transcripts, Sortformer speakers with TitaNet vectors, OpenAI-shaped chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from relay.testing.sandbox import diarize
from relay.testing.sandbox.diarize import DIMENSIONS, MAX_SPEAKERS, EmbeddingForm, SegmentForm, SpeakerForm
from relay.testing.sandbox.openai import OpenAI, State
from relay.testing.sandbox.service import Call, Refusal, Reply, Route, json_reply
from relay.testing.sandbox.transcripts import shaped, upload_of

SPEECH_MODEL = "parakeet-tdt-0.6b-v3"
SPEAKER_MODEL = "diar_streaming_sortformer_4spk-v2.1"
EMBEDDING_MODEL = "titanet_large"
AUDIO_ROUTES = ("transcribe", "diarize", "transcriptions")

Part = Literal["transcribe", "diarize", "chat"]


class SparkState(State):
    """Also: `parts`: what this box has, the other paths answer 404. `discovery`: whether `/api/status` is there.
    `speakers`: who speaks when, over the whole recording; empty: two people taking turns every five seconds.
    The forms: how `diarize-chunk` writes it. `waiting`: what discovery says of the queue."""

    models: Annotated[tuple[str, ...], Meta(min_length=1)] = ("gemma-4-26b-a4b-it",)
    max_seconds: float = 1440
    parts: tuple[Part, ...] = ("transcribe", "diarize", "chat")
    discovery: bool = True
    ready: bool = True
    waiting: int = 0
    speakers: tuple[diarize.Turn, ...] = ()
    voices: diarize.Voices = diarize.Voices()
    speaker_form: SpeakerForm = "number"
    segment_form: SegmentForm = "objects"
    embedding_form: EmbeddingForm = "speakers"
    max_chunk_seconds: float = 600


class Spark(OpenAI):
    name: ClassVar[str] = "spark"
    title: ClassVar[str] = "Spark Control: transcribe, diarize-chunk, chat, discovery"
    settings: ClassVar[str] = '[plugins.spark]\nurl = "{url}"'
    faults: ClassVar[Mapping[str, str]] = {
        **OpenAI.faults,
        "oom": "answers 500 with CUDA out of memory, for recordings of more than `above_seconds` (0) and for chat",
        "one_speaker": "hears everybody as one",
    }
    state_type: ClassVar[type[State]] = SparkState
    now: SparkState

    def routes(self) -> Sequence[Route]:
        return [
            Route("discovery", "GET", "/api/status", self.discovery),
            Route("transcribe", "POST", "/api/audio/transcribe", self.transcribe),
            Route("diarize", "POST", "/api/audio/diarize-chunk", self.diarize),
            Route("ready", "GET", "/v1/health/ready", lambda _call: json_reply({"status": "ready"})),
            *super().routes(),
        ]

    def discovery(self, call: Call) -> Reply:
        now = self.now
        if not now.discovery:
            raise Refusal(404, "Not Found")
        self.check_token(call)
        known: dict[str, dict[str, Any]] = {
            "transcribe": {"path": "/api/audio/transcribe", "model": SPEECH_MODEL, "max_seconds": now.max_seconds},
            "diarize": {
                "path": "/api/audio/diarize-chunk",
                "model": SPEAKER_MODEL,
                "embedding_model": EMBEDDING_MODEL,
                "embedding_dim": DIMENSIONS,
                "max_seconds": now.max_chunk_seconds,
                "max_speakers": MAX_SPEAKERS,
            },
            "chat": {"path": "/v1/chat/completions", "base_url": f"{call.base_url}/v1", "model": now.models[0]},
        }
        services = {part: {**known[part], "ready": now.ready} for part in now.parts}
        return json_reply(
            {
                "name": "spark-control",
                "version": "1.0",
                "ready": now.ready,
                "services": services,
                "gpu": {"memory_total_mb": 131_072, "memory_used_mb": 65_536},
                "queue": {"running": self.running, "waiting": now.waiting},
            }
        )

    def models(self, call: Call) -> Reply:
        self._has("chat")
        return super().models(call)

    def chat(self, call: Call) -> Reply:
        self._has("chat")
        self._memory(call, None)
        return super().chat(call)

    def transcribe(self, call: Call) -> Reply:
        self._has("transcribe")
        self.begin(call)
        spoken = self.heard(call)
        self._memory(call, spoken.seconds)
        return shaped(spoken, self.now.transcript_shape, SPEECH_MODEL)

    def transcriptions(self, call: Call) -> Reply:
        self._has("transcribe")
        return super().transcriptions(call)

    def diarize(self, call: Call) -> Reply:
        self._has("diarize")
        self.begin(call)
        now, form = self.now, call.form()
        upload = upload_of(call, now.max_chunk_seconds)
        seconds = upload.seconds or 0.0
        self._memory(call, seconds)
        offset = _number(form.text("offset", "0"), "offset")
        index = int(_number(form.text("chunk_index", "0"), "chunk_index"))
        most = _number(form.text("max_speakers", str(MAX_SPEAKERS)), "max_speakers")
        most = 1 if call.has_fault("one_speaker") else max(1, min(MAX_SPEAKERS, int(most)))
        truth = now.speakers or diarize.talk(offset + seconds)
        turns = diarize.chunk_of(truth, offset, seconds, most)
        told = diarize.answer(turns, offset, now.voices, (now.speaker_form, now.segment_form, now.embedding_form))
        about = (
            {} if now.embedding_form == "none" else {"embedding_model": EMBEDDING_MODEL, "embedding_dim": DIMENSIONS}
        )
        return json_reply({"chunk_index": index, "duration": seconds, **told, **about})

    def _has(self, part: Part) -> None:
        if part not in self.now.parts:
            raise Refusal(404, "Not Found")

    def _memory(self, call: Call, seconds: float | None) -> None:
        if call.has_fault("oom") and (seconds is None or seconds > call.option("above_seconds", 0)):
            raise Refusal(500, "CUDA out of memory. Tried to allocate 2.34 GiB")


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Refusal(422, f"{name} is a number, not {text!r}") from None
