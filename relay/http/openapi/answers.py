"""Shapes of the answers under `/relay/`. Handlers may say more; what is here they always say."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from relay.domain.work import State as JobState

Counts = Literal["lifetime", "monthly"]


class Ok(Struct):
    ok: bool


class ErrorObject(Struct):
    """`type`: the family that OpenAI's clients read. `charged`: credits this call cost in spite of the error."""

    code: str
    type: str
    message: str
    origin: Literal["caller", "relay", "upstream", "rail"]
    retryable: bool
    charged: int
    details: dict[str, Any]


class ErrorMeta(Struct):
    request_id: str


class ErrorAnswer(Ok):
    error: ErrorObject
    meta: ErrorMeta


# What anybody may ask


class HealthAnswer(Ok):
    version: str
    uptime_seconds: float


class ReadyAnswer(Ok):
    ready: bool


class TierPolicy(Struct):
    """`counts` says which of the two pairs of limits is there; null is unlimited."""

    counts: Counts
    price: str | None
    currency: str
    period_days: int | None
    lifetime_credits: int | UnsetType | None = UNSET
    lifetime_gemini: int | UnsetType | None = UNSET
    monthly_credits: int | UnsetType | None = UNSET
    monthly_gemini: int | UnsetType | None = UNSET


class OnSale(Struct):
    """`price`: a decimal."""

    id: str
    credits: int
    price: str
    currency: str


class PolicyAnswer(Ok):
    tiers: dict[str, TierPolicy]
    packages: list[OnSale]
    limits: dict[str, int]
    jobs: dict[str, float]
    retention: dict[str, int]
    rules: dict[str, str]


class BackendCapabilities(Struct):
    tasks: list[str]
    models: list[str]
    cost_class: str


class CapabilitiesAnswer(Ok):
    tasks: dict[str, list[str]]
    backends: dict[str, BackendCapabilities]
    models: list[str]
    formats: list[str]
    auth: list[str]
    rails: list[str]


class ReceiptKeyAnswer(Ok):
    algorithm: str
    public_key: str


# Calls


class Credits(Struct):
    """What can be spent now, open holds off; null is unlimited. `total`: `remaining` and `purchased`."""

    remaining: int | None
    purchased: int
    total: int | None
    gemini_remaining: int | None
    held: int
    capped: Counts
    tier: str


class PaidCredits(Credits, kw_only=True):
    """`charged`: what this call cost."""

    charged: int


class OwnCredits(Credits, kw_only=True):
    subscription_expires_at: datetime | None


class CallMeta(Struct):
    """`job_id`: the caller's id for the job, or the server's."""

    request_id: str
    job_id: str
    server_job_id: str
    backend: str
    model: str
    elapsed_ms: int


class SpokenWord(Struct):
    word: str
    start: float
    end: float


class TranscriptSegment(Struct):
    """Times in seconds."""

    id: int
    start: float
    end: float
    text: str
    words: list[SpokenWord] | UnsetType = UNSET
    speaker: str | UnsetType = UNSET


class TranscribeResult(Struct):
    text: str
    language: str | None
    duration: float
    segments: list[TranscriptSegment]


class Usage(Struct):
    input_tokens: int
    output_tokens: int


class AnalyzeResult(Struct):
    """`data`: the parsed object when a `schema` was given, else null. `truncated`: cut at the limit of tokens."""

    text: str
    data: Any
    usage: Usage
    truncated: bool | UnsetType = UNSET
    tool_calls: list[dict[str, Any]] | UnsetType = UNSET


class SpokenTurn(Struct):
    start: float
    end: float
    speaker: str


class Speaker(Struct):
    id: str
    seconds: float


class DiarizeResult(Struct):
    segments: list[SpokenTurn]
    speakers: list[Speaker]


class CallAnswer(Ok):
    meta: CallMeta
    credits: PaidCredits


class TranscribeAnswer(CallAnswer, kw_only=True):
    result: TranscribeResult


class AnalyzeAnswer(CallAnswer, kw_only=True):
    result: AnalyzeResult


class DiarizeAnswer(CallAnswer, kw_only=True):
    result: DiarizeResult


# Jobs


class Attempt(Struct):
    """`code`: "ok", or that of the error."""

    backend: str
    at: datetime | None
    ms: int
    code: str


class JobMeta(Struct):
    backend: str | None
    model: str | None
    attempts: list[Attempt]


class JobError(Struct):
    code: str
    message: str


class ListedJob(Struct):
    """`position` from 1, while it waits. `progress` from 0 to 1."""

    id: str
    server_job_id: str
    task: str
    state: JobState
    position: int | None
    progress: float
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: JobError | None
    meta: JobMeta


class OwnJob(ListedJob, kw_only=True):
    """`receipt`: signed, once it was charged. `result_expired`: it had a result that is no longer kept."""

    result: Any
    receipt: dict[str, Any] | None
    result_expired: bool | UnsetType = UNSET


class SubmittedJob(Struct):
    id: str
    server_job_id: str
    task: str
    state: JobState
    position: int | None
    created_at: datetime


class SubmittedAnswer(Ok):
    """`callback_secret`: what signs the callback, when there is a `callback_url`."""

    job: SubmittedJob
    credits: Credits
    callback_secret: str | UnsetType = UNSET


class JobAnswer(Ok):
    job: OwnJob


class CancelledAnswer(Ok):
    job: ListedJob


class JobsAnswer(Ok):
    jobs: list[ListedJob]
    next: str | None


# OpenAI's shapes


class Model(Struct):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(Struct):
    object: Literal["list"]
    data: list[Model]


class RelayExtra(Struct):
    """The relay's own object beside OpenAI's."""

    meta: CallMeta
    credits: PaidCredits


class ChatMessage(Struct):
    role: Literal["assistant"]
    content: str | None
    tool_calls: list[dict[str, Any]] | UnsetType = UNSET


class ChatChoice(Struct):
    index: int
    message: ChatMessage
    finish_reason: str


class TokenUsage(Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletion(Struct):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: TokenUsage
    relay: RelayExtra


class Transcription(Struct):
    """`json`; `verbose_json` and `diarized_json` add OpenAI's further fields."""

    text: str
    usage: dict[str, Any]
    relay: RelayExtra
