"""Google's spelling: names of fields, error bodies, events of a stream, times."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
CALLERS_OWN = frozenset(
    {"responseJsonSchema", "responseSchema", "parametersJsonSchema", "parameters", "args", "response"}
)


def camel(value: Any) -> Any:
    """The same with keys in camelCase: a request may spell them either way. Schemas and arguments stay as they are."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {re.sub(r"_([a-z])", lambda found: found[1].upper(), key): item for key, item in value.items()}
    return {key: item if key in CALLERS_OWN else camel(item) for key, item in renamed.items()}


def error_body(
    status: int, message: str, word: str = "", details: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    error: dict[str, Any] = {"code": status, "message": message, "status": word or WORDS.get(status, "UNKNOWN")}
    if details:
        error["details"] = details
    return {"error": error}


def quota_details(model: str, seconds: float | None, *, per_day: bool) -> list[dict[str, Any]]:
    """What a 429 says: which quota, where to read about it, and mostly how long to wait."""
    period = "PerDay" if per_day else "PerMinute"
    violation = {
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
        "quotaId": f"GenerateRequests{period}PerProjectPerModel-FreeTier",
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": "10",
    }
    link = {
        "description": "Learn more about Gemini API quotas",
        "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
    }
    details: list[dict[str, Any]] = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
        {"@type": "type.googleapis.com/google.rpc.Help", "links": [link]},
    ]
    if seconds is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{seconds:g}s"})
    return details


def event(data: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(data) + b"\r\n\r\n"


def rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
