"""The table [plugins.spark]. Only the paths and the shapes are a contract with the server; all have defaults."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0)]
AtLeastOne = Annotated[int, Meta(ge=1)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`model` empty: the first one the server lists. Times in seconds."""

    url: str
    token: str | None = None
    discovery_path: str = "/api/status"
    transcribe_path: str = "/api/audio/transcribe"
    diarize_path: str = "/api/audio/diarize-chunk"
    chat_path: str = "/v1/chat/completions"
    models_path: str = "/v1/models"
    model: str = ""
    chunk_seconds: Seconds = 300
    overlap_seconds: Annotated[float, Meta(ge=0)] = 10
    max_speakers_per_chunk: AtLeastOne = 4
    speaker_threshold: Annotated[float, Meta(ge=-1, le=1)] = 0.4
    connect_timeout: Seconds = 5
    read_timeout: Seconds = 600
    max_concurrent: AtLeastOne = 1
    queue_size: Annotated[int, Meta(ge=0)] = 32
