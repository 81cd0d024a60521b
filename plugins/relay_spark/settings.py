"""The table [plugins.spark]. Only the paths and the shapes are a contract with the server; all have defaults."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from relay.api import Chunking, Task

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
AtLeastOne = Annotated[int, Meta(ge=1)]

DEFAULT_PATHS: dict[Task, str] = {
    "transcribe": "/api/audio/transcribe",
    "diarize": "/api/audio/diarize-chunk",
    "analyze": "/v1/chat/completions",
}
PATH_SETTINGS: dict[Task, str] = {
    "transcribe": "transcribe_path",
    "diarize": "diarize_path",
    "analyze": "chat_path",
}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`model` empty: the one the server names, else the first it lists. A path that is not set is what the
    discovery says, else the default. Times in seconds."""

    url: str
    token: str | None = None
    discovery_path: str = "/api/status"
    transcribe_path: str | None = None
    diarize_path: str | None = None
    chat_path: str | None = None
    models_path: str = "/v1/models"
    allow_discovered_hosts: bool = False
    model: str = ""
    chunk_seconds: Seconds = 300
    overlap_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 10
    max_speakers_per_chunk: AtLeastOne = 4
    speaker_threshold: Annotated[float, Meta(ge=-1, le=1)] = 0.4
    connect_timeout: Seconds = 5
    read_timeout: Seconds = 600
    max_concurrent: AtLeastOne = 1
    queue_size: Annotated[int, Meta(ge=0)] = 32

    def __post_init__(self) -> None:
        if self.overlap_seconds * 2 >= self.chunk_seconds:
            raise ValueError("overlap_seconds must be less than half of chunk_seconds")

    def path(self, task: Task) -> str | None:
        path: str | None = getattr(self, PATH_SETTINGS[task])
        return path

    def chunking(self, longest: float | None) -> Chunking:
        """Chunks as set, but none longer than `longest`, which the server names (None: it does not)."""
        seconds = min(self.chunk_seconds, longest or self.chunk_seconds)
        return Chunking(seconds, min(self.overlap_seconds, seconds / 4))
