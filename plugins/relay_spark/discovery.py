"""What the server says about itself: `GET /api/status`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from relay.api import Task

NAMES: dict[Task, str] = {"transcribe": "transcribe", "diarize": "diarize", "analyze": "chat"}


@dataclass(frozen=True, slots=True)
class Announced:
    """One service as announced. `base_url`: where else than here; `max_seconds`: the longest recording it takes;
    `embedding_model`: what makes its embeddings of voices."""

    path: str | None = None
    base_url: str | None = None
    model: str = ""
    ready: bool = True
    max_seconds: float | None = None
    embedding_model: str = ""


def read_status(body: bytes) -> Mapping[Task, Announced] | None:
    """The services announced, by task; None when this is no answer to a discovery.

    Lenient: a field of a wrong type counts as missing, and a service may be a plain path or `true`.
    """
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    services = data.get("services") if isinstance(data, dict) else None
    if not isinstance(services, dict):
        return None
    return {task: _announced(services[name]) for task, name in NAMES.items() if services.get(name) not in (None, False)}


def _announced(said: Any) -> Announced:
    if not isinstance(said, dict):
        return Announced(_text(said) or None)
    base_url, path = _text(said.get("base_url")), _text(said.get("path"))
    if "://" in path:
        base_url, path = _split(path)
    return Announced(
        path=path or None,
        base_url=base_url or None,
        model=_text(said.get("model")),
        ready=said.get("ready") is not False,
        max_seconds=_seconds(said.get("max_seconds")),
        embedding_model=_text(said.get("embedding_model")),
    )


def _split(url: str) -> tuple[str, str]:
    """`http://host:8000/v1/chat` as `http://host:8000` and `/v1/chat`."""
    host, slash, path = url.partition("://")[2].partition("/")
    return f"{url.partition('://')[0]}://{host}", slash + path


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _seconds(value: Any) -> float | None:
    """A length that makes sense."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 1 <= value < math.inf else None
