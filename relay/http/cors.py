"""CORS on `/relay/*` and nowhere else, errors included."""

from __future__ import annotations

from collections.abc import Callable, Sequence

EXPOSED = "X-Request-Id, Retry-After, Idempotent-Replayed, Location"
ALLOWED = (
    "Content-Type, Authorization, X-Recap-Install-Id, X-Recap-Operator-Key, X-Recap-User-Id, X-Recap-Job-Id,"
    " Idempotency-Key"
    # What OpenAI's client adds in a browser.
    ", X-Stainless-Lang, X-Stainless-Package-Version, X-Stainless-OS, X-Stainless-Arch, X-Stainless-Runtime,"
    " X-Stainless-Runtime-Version, X-Stainless-Retry-Count, X-Stainless-Timeout, X-Stainless-Async,"
    " X-Stainless-Helper-Method, X-Stainless-Raw-Response, OpenAI-Organization, OpenAI-Project"
)

Headers = list[tuple[str, str]]
Cors = Callable[[str, str | None], Headers]


def cors(origins: Sequence[str]) -> Cors:
    """A function (path, Origin header) -> the headers for the answer."""
    every = "*" in origins

    def headers(path: str, origin: str | None) -> Headers:
        if not path.startswith("/relay/"):
            return []
        if every:
            return [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", EXPOSED)]
        if origin is None or origin not in origins:
            return [("Vary", "Origin")]
        return [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", EXPOSED),
            ("Vary", "Origin"),
        ]

    return headers


PREFLIGHT: Headers = [
    ("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE"),
    ("Access-Control-Allow-Headers", ALLOWED),
    ("Access-Control-Max-Age", "86400"),
]
