"""The table [plugins.gemini]."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

GOOGLE = "https://generativelanguage.googleapis.com/"

Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`base_url` empty: Google's. `transcribe_model` empty: recordings go to `model`. Times in seconds.

    `thinking` empty: as the model does by itself. `inline_mb`: recordings up to this size travel inside the
    request; Google takes 100 MB for a whole request, and base64 adds a third.
    """

    api_key: str
    base_url: str = ""
    model: str = "gemini-3.8-flash"
    transcribe_model: str = "gemini-3.5-transcribe"
    other_models: tuple[str, ...] = ()
    thinking: Literal["", "minimal", "low", "medium", "high"] = ""
    max_concurrent: Annotated[int, Meta(ge=1)] = 16
    queue_size: Annotated[int, Meta(ge=0)] = 64
    connect_timeout: Seconds = 10
    read_timeout: Seconds = 300
    inline_mb: Annotated[float, Meta(gt=0, le=70)] = 15
    transcribe_piece_minutes: Annotated[float, Meta(ge=1, le=30)] = 30
    piece_minutes: Annotated[float, Meta(ge=1, le=20)] = 20


def check_settings(settings: Settings) -> None:
    """Raises ValueError, beginning with the key, for a value that cannot work. The API key is not repeated."""
    key = settings.api_key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("api_key: this is not an API key; copy it from Google AI Studio again")
    if not settings.model:
        raise ValueError("model: must name a model")
    if settings.base_url:
        try:
            url = urlsplit(settings.base_url)
            good = url.scheme in {"http", "https"} and url.hostname and (url.port is None or url.port > 0)
        except ValueError:
            good = False
        if not good or url.username or url.password or url.query or url.fragment:
            raise ValueError("base_url: must be like https://host or http://host:8000/path, or empty for Google's")
