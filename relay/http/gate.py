"""What is checked as soon as the headers are there, before a body is read: how large it may be, and that the
request carries some credentials at all."""

from __future__ import annotations

from relay.errors import Unauthenticated
from relay.http.server import Gate, RequestHead
from relay.services.core import Core

JSON_LIMIT = 8 * 2**20
WEBHOOK_LIMIT = 256 * 2**10
UPLOADS = frozenset(
    {"/relay/transcribe", "/relay/diarize", "/relay/jobs", "/relay/v1/audio/transcriptions", "/admin/internal-meetings"}
)
ADMIN_CREDENTIALS = frozenset({"cookie", "authorization"})
OPEN_POSTS = ("/relay/health", "/relay/ready", "/relay/policy", "/relay/capabilities")


def gate(core: Core) -> Gate:
    upload = core.settings.relay.max_upload_mb * 2**20
    credentials = {name for strategy in core.registry.auth for name in strategy.headers}

    def check(head: RequestHead) -> int:
        path, webhook = head.path, head.path.startswith("/relay/") and "/webhook" in head.path
        if webhook:
            return WEBHOOK_LIMIT
        has_body = head.method not in {"GET", "HEAD", "OPTIONS"}
        if has_body and path.startswith("/relay/") and path not in OPEN_POSTS and not credentials & head.headers.keys():
            raise Unauthenticated("no credentials: send X-Recap-Install-Id, or the headers your operator gave you")
        if has_body and path in UPLOADS and path.startswith("/admin/") and not ADMIN_CREDENTIALS & head.headers.keys():
            raise Unauthenticated("log in first: POST /admin/login with the admin password")
        # Only a form is written to disk piece by piece; anything else is read into memory.
        form = head.headers.get("content-type", "").strip().lower().startswith("multipart/")
        return upload if form and path in UPLOADS else JSON_LIMIT

    return check
