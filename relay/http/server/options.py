"""What the server is told, and what it tells the gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What is known of a request when its headers are in and its body is not.

    `path` is the decoded path the application will see. `headers` have lower-case names with dashes.
    `content_length` is in bytes, 0 without a body, None when the body is chunked and its length unknown.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    content_length: int | None


Gate = Callable[[RequestHead], int]
"""Returns the largest body in bytes this request may bring; raises a RelayError to refuse it.

Runs in the server's only network thread for every request, so it must not wait for anything.
"""

CORSHeaders = Callable[[str, str | None], list[tuple[str, str]]]
"""(path, Origin header) -> headers for an answer that never reached the application.

The path is "" when the request was too broken to have one.
"""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Times are seconds, sizes bytes."""

    threads: int
    spool_dir: Path
    max_spool_bytes: int
    cors_headers: CORSHeaders
    head_seconds: float = 30
    body_seconds: float = 600
    idle_seconds: float = 120
    connection_limit: int = 2000
