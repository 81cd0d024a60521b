"""`/admin/internal-meetings`: the list, and recordings on their way in."""

from __future__ import annotations

import re
import secrets
from typing import Annotated

import falcon
import msgspec
from msgspec import Meta, Struct

from relay.domain.meetings import Options
from relay.errors import BadRequest
from relay.http.answers import answer
from relay.http.body import query_int, read_json
from relay.http.relay.recordings import is_json
from relay.http.uploads import read_upload, scratch
from relay.services.core import Core
from relay.services.requests import from_fields

OFFSET = re.compile(r"\d{1,15}")
Title = Annotated[str, Meta(max_length=200)]


class NewMeeting(Struct):
    filename: Annotated[str, Meta(min_length=1, max_length=255)]
    bytes: Annotated[int, Meta(ge=1, le=2**50)]
    title: Title = ""
    options: Options = msgspec.field(default_factory=Options)


class FormFields(Options):
    """What may stand beside `file` in a form."""

    title: Title = ""


class Change(Struct):
    title: Title | None = None
    options: Options | None = None
    version: int | None = None


class InternalMeetings:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._directory = core.meetings.directory

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`?limit=&before=&q=`, newest first."""
        rows, following = self._core.meetings.page(
            limit=query_int(req, "limit", default=50, low=1, high=200),
            before=req.get_param("before") or None,
            search=req.get_param("q") or "",
        )
        answer(resp, {"ok": True, "meetings": rows, "next": following})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """JSON announces a recording that is sent in pieces; a form brings it at once."""
        actor = req.context.actor
        if is_json(req):
            body = read_json(req, NewMeeting)
            made = self._directory.create(body.title, body.filename, body.bytes, body.options, actor)
            upload = self._directory.upload(made["id"])
            answer(resp, {"ok": True, "meeting": made, "upload": upload}, 201)
        else:
            with scratch(self._core.spool_dir / f"meeting-{secrets.token_hex(8)}") as folder:
                sent = read_upload(req, folder)
                fields = from_fields(sent.fields, FormFields)
                options = Options(**{name: getattr(fields, name) for name in Options.__struct_fields__})
                made = self._directory.take(fields.title, sent.filename, sent.path, options, actor)
            answer(resp, {"ok": True, "meeting": made}, 201)
        resp.set_header("Location", f"/admin/internal-meetings/{made['id']}")

    def on_get_one(self, _req: falcon.Request, resp: falcon.Response, meeting: str) -> None:
        answer(resp, {"ok": True, **self._core.meetings.view(meeting)})

    def on_patch_one(self, req: falcon.Request, resp: falcon.Response, meeting: str) -> None:
        """`{"title"?, "options"?, "version"?}`; options count for the next run."""
        body = read_json(req, Change)
        changed = self._directory.change(
            meeting, title=body.title, options=body.options, version=body.version, actor=req.context.actor
        )
        answer(resp, {"ok": True, "meeting": changed})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, meeting: str) -> None:
        self._core.meetings.delete(meeting, req.context.actor)
        answer(resp, {"ok": True, "deleted": meeting})

    def on_get_upload(self, _req: falcon.Request, resp: falcon.Response, meeting: str) -> None:
        answer(resp, {"ok": True, "upload": self._directory.upload(meeting)})

    def on_put_upload(self, req: falcon.Request, resp: falcon.Response, meeting: str) -> None:
        """The bytes that begin at `Upload-Offset`; 409 `wrong_offset` tells where to go on."""
        offset = req.get_header("Upload-Offset") or ""
        if not OFFSET.fullmatch(offset):
            raise BadRequest("the header Upload-Offset must say where these bytes begin", details={"path": "offset"})
        received = self._directory.receive(meeting, int(offset), req.bounded_stream, req.context.actor)
        answer(resp, {"ok": True, "upload": received})
