"""What many routes share: who may ask, headers, and how a call can fail."""

from __future__ import annotations

from relay.http.admin.guard import COOKIE
from relay.http.openapi.operation import Json

DESCRIPTION = """\
A gateway in front of AI inference that counts credits.

- Every answer carries `X-Request-Id`. Every failure has one shape: `error.code` is for programs, `error.message` says
  what to do, `error.retryable` whether asking again helps.
- One credit per job: calls under one `X-Recap-Job-Id` are one job, charged with its first answer.
- With an `Idempotency-Key` a repeated request gets the stored answer for a day, and nothing is done twice.
- Further fields may be added to answers at any time; clients ignore what they do not know.
"""
TAGS = {
    "Public": "What anybody may ask.",
    "Calls": "Transcribe, diarize, analyze: one credit a job.",
    "Jobs": "The same in the background.",
    "OpenAI": "For unmodified clients of OpenAI, with `base_url` ending in `/relay/v1`.",
    "Credits": "A caller's own credits.",
    "Keys": "Keys that callers make for their apps.",
    "Buying": "Packages, tiers, invoices.",
    "Users": "For the holder of the operator key.",
    "Payment services": "What they call.",
    "Operator": "For the operator: with the session of the dashboard, or a scoped key.",
    "Operator: figures": "Overview, usage, queues, books.",
    "Operator: accounts": "Accounts and their credits.",
    "Operator: jobs": "Jobs, what they answered, and trying backends.",
    "Operator: money": "Orders, payment services, codes, packages, messages.",
    "Operator: settings": "Settings, prompts, plugins.",
    "Operator: meetings": "The operator's own recordings.",
    "Operator: who may come in": "Sessions, keys, the log of changes.",
}
ID = r"^[A-Za-z0-9._:@-]{1,128}$"
NAMES = {
    "rail": ("A payment service, as in plugins.toml.", r"^[a-z0-9_]{1,64}$"),
    "model": ("A model's name.", r"^[^/\x00-\x20\x7f]{1,200}$"),
}
"""Parameters of the path that are not ids -> what they are, and how they look."""

SCHEMES: Json = {
    "installId": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Recap-Install-Id",
        "description": "An id that an app makes up per installation. It is a secret.",
    },
    "operatorKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Recap-Operator-Key",
        "description": "The key of the operator's own app, which names its users itself.",
    },
    "userId": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Recap-User-Id",
        "description": "Whose account it is; only beside the operator key.",
    },
    "licence": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "A licence key, `LIC1-…`, beside the install id.",
    },
    "callerKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "rk_…",
        "description": "A key that a caller made at `/relay/keys`.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "What `POST /admin/login` sets.",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRF-Token",
        "description": "What login and status say as `csrf_token`, for everything that is not a GET.",
    },
    "scopedKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "ks_…",
        "description": "A key that the operator made, good for the scopes of its role.",
    },
}
CALLER: list[Json] = [
    {"installId": []},
    {"operatorKey": [], "userId": []},
    {"installId": [], "licence": []},
    {"callerKey": []},
]

HEADERS: Json = {
    "X-Request-Id": {
        "description": "Names this request in the relay's log.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
    "Idempotent-Replayed": {
        "description": "`true` on an answer from the store.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
IDEMPOTENCY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same request under the same key is done once; its answer is kept for a day.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
JOB: Json = {
    "name": "X-Recap-Job-Id",
    "in": "header",
    "description": "The caller's name for the job; without it the call is a job of its own.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
}
FAILURES = {
    400: "The request cannot be read: `bad_request`, `bad_json`, `bad_identity`, `url_not_allowed`.",
    401: "No credentials, or wrong ones: `unauthenticated`, `bad_operator_key`, `bad_license`, `bad_key`.",
    402: "No credit left: `insufficient_credits`, `gemini_limit_reached`.",
    403: "Known, but not allowed: `forbidden`, `blocked`, `tier_not_sold_here`.",
    404: "There is no such thing here: `not_found`.",
    405: "This method is not possible here.",
    409: "Not in this state: `in_progress`, `job_closed`, `tier_conflict`, …",
    413: "The body is too large: `too_large`.",
    415: "Not this content type: `unsupported_media`.",
    422: "Readable, but wrong: `invalid` (`details.path` says where), `idempotency_mismatch`, `blocked_by_upstream`.",
    429: "Too many, or too busy: `rate_limited`, `too_many_calls`, `queue_full`.",
    431: "The headers are too large: `headers_too_large`.",
    500: "The relay failed; its log has the reason under the request id: `internal`.",
    502: "Who was asked behind the relay failed: `upstream_failed`, `outcome_unknown`.",
    503: "Not now: `no_backend`, `upstream_unavailable`, `storage_unavailable`, `draining`.",
    504: "Who was asked behind the relay took too long: `upstream_timeout`.",
    507: "The disk is full: `storage_full`.",
}
PLAIN = {
    206: "The range that was asked for.",
    304: "It has not changed.",
    416: "There is no such range.",
}
"""Statuses that are neither the answer nor an error object."""
ALWAYS = (400, 431, 500, 503)
