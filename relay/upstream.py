"""A small HTTP client for inference backends on a kept urllib3 pool. (Signatures; being written.)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HTTPReply:
    status: int
    headers: Mapping[str, str]
    body: bytes


class HTTPClient: ...
