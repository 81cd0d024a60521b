"""`GET /admin/internal-meetings/{id}/export`: the text of a meeting as a file."""

from __future__ import annotations

import re

import falcon

from relay.domain.meeting_export import FORMATS
from relay.errors import BadRequest
from relay.services.core import Core


class MeetingExport:
    """`?format=txt|md|srt|vtt|html|json`: the text as a file."""

    def __init__(self, core: Core) -> None:
        self._meetings = core.meetings

    def on_get(self, req: falcon.Request, resp: falcon.Response, meeting: str) -> None:
        wanted = req.get_param("format") or "txt"
        if wanted not in FORMATS:
            raise BadRequest(f"format must be one of: {', '.join(FORMATS)}", details={"path": "format"})
        text = self._meetings.editor.text(meeting)
        content_type, write = FORMATS[wanted]
        resp.content_type = content_type
        resp.set_header("Content-Disposition", f'attachment; filename="{filename(text.title, wanted)}"')
        resp.set_header("X-Content-Type-Options", "nosniff")
        resp.set_header("Content-Security-Policy", "default-src 'none'; sandbox")
        resp.data = write(text).encode()


def filename(title: str, extension: str) -> str:
    """A name that every system and every header takes."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-")[:80]
    return f"{plain or 'meeting'}.{extension}"
