"""The table [plugins.openai_compatible.NAME] of one server."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from relay.api import Chunking

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
AtLeastOne = Annotated[int, Meta(ge=1)]
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
OURS = frozenset({"host", "content-length", "transfer-encoding", "connection"})
"""Say how a request is sent, which is not the operator's to choose."""
VERSION = re.compile(r"/v\d+[a-z]*\d*(/|$)")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`model` empty: the first of `models`, else the first the server lists. `models`: what callers may ask for;
    empty: `model` alone, or without it whatever the server lists. `transcribe_model` empty: `model`.

    `limit_field`: what the server calls the limit of output tokens. `transcribe_format`: `json` for a server that
    knows no times. Times in seconds.
    """

    base_url: str
    api_key: str | None = None
    model: str = ""
    models: tuple[str, ...] = ()
    tasks: Annotated[tuple[Literal["analyze", "transcribe"], ...], Meta(min_length=1)] = ("analyze",)
    transcribe_model: str = ""
    transcribe_format: Literal["verbose_json", "json"] = "verbose_json"
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    cost_class: Annotated[str, Meta(min_length=1)] = "openai_compatible"
    max_concurrent: AtLeastOne = 8
    queue_size: Annotated[int, Meta(ge=0)] = 64
    connect_timeout: Seconds = 5
    read_timeout: Seconds = 600
    chunk_seconds: Seconds = 300
    overlap_seconds: Annotated[float, Meta(ge=0)] = 10
    headers: dict[str, str] = {}

    def __post_init__(self) -> None:
        if self.overlap_seconds * 2 >= self.chunk_seconds:
            raise ValueError("overlap_seconds must be less than half of chunk_seconds")
        for name in self.headers:
            if not TOKEN.fullmatch(name) or name.lower() in OURS:
                raise ValueError(f"headers: {name!r} is not a header that can be set here")

    @property
    def root(self) -> str:
        """`base_url` with `/v1` behind it, unless its path names a version already."""
        base = self.base_url.rstrip("/")
        return base if VERSION.search(urlsplit(base).path) else f"{base}/v1"

    @property
    def chunking(self) -> Chunking:
        return Chunking(self.chunk_seconds, self.overlap_seconds)
