"""What is done with one meeting: runs, edits, speakers' names, and the voice library."""

from __future__ import annotations

from typing import Annotated, Any

import falcon
from msgspec import Meta, Struct

from relay.domain.meeting_edits import Edit
from relay.domain.meetings import Options, Step
from relay.errors import BadRequest
from relay.http.answers import answer
from relay.http.body import read_json
from relay.services.core import Core

Version = Annotated[int, Meta(ge=0)]
RunName = Annotated[str, Meta(pattern=r"^r\d{1,4}$")]


class RunBody(Struct):
    """No `steps`: a failed run goes on where it was, any other does all again."""

    steps: list[Step] | None = None
    options: Options | None = None
    version: Version | None = None


class EditBody(Struct):
    version: Version
    edit: Edit


class VersionBody(Struct):
    version: Version


class UseBody(Struct):
    version: Version
    run: RunName


class VoiceBody(Struct):
    meeting: str
    speaker: str


class VoiceName(Struct):
    """`everywhere`: also the speakers of that name in the meetings the voice was taken from."""

    name: Annotated[str, Meta(min_length=1, max_length=80)]
    everywhere: bool = False


class MeetingWork:
    def __init__(self, core: Core) -> None:
        self._meetings = core.meetings

    def on_post_run(self, req: falcon.Request, resp: falcon.Response, meeting: str) -> None:
        body = read_json(req, RunBody)
        begun = self._meetings.run(meeting, body.version, body.steps, body.options, req.context.actor)
        answer(resp, {"ok": True, "meeting": begun}, 202)

    def on_post_cancel(self, req: falcon.Request, resp: falcon.Response, meeting: str) -> None:
        """Finished pieces stay; running it again goes on from there."""
        self._meetings.directory.row(meeting)
        self._meetings.worker.cancel(meeting, req.context.actor)
        answer(resp, {"ok": True, "cancelled": meeting})

    def on_post_edits(self, req: falcon.Request, resp: falcon.Response, meeting: str) -> None:
        body = read_json(req, EditBody)
        self._tell(resp, self._meetings.edit(meeting, body.version, body.edit, req.context.actor))

    def on_post_undo(self, req: falcon.Request, resp: falcon.Response, meeting: str) -> None:
        self._tell(resp, self._meetings.undo(meeting, read_json(req, VersionBody).version, req.context.actor))

    def on_post_redo(self, req: falcon.Request, resp: falcon.Response, meeting: str) -> None:
        self._tell(resp, self._meetings.redo(meeting, read_json(req, VersionBody).version, req.context.actor))

    def on_get_runs(self, _req: falcon.Request, resp: falcon.Response, meeting: str) -> None:
        answer(resp, {"ok": True, "runs": self._meetings.runs.view(meeting)})

    def on_get_compare(self, req: falcon.Request, resp: falcon.Response, meeting: str) -> None:
        """`?a=r1&b=r2`."""
        one, other = req.get_param("a"), req.get_param("b")
        if not one or not other:
            raise BadRequest("name two runs: ?a=r1&b=r2", details={"path": "a"})
        answer(resp, {"ok": True, "difference": self._meetings.runs.compare(meeting, one, other)})

    def on_post_use(self, req: falcon.Request, resp: falcon.Response, meeting: str) -> None:
        body = read_json(req, UseBody)
        self._meetings.runs.use(meeting, body.run, body.version, req.context.actor)
        self._tell(resp, self._meetings.view(meeting))

    def on_get_voices(self, _req: falcon.Request, resp: falcon.Response) -> None:
        answer(resp, {"ok": True, "voices": self._meetings.library.view()})

    def on_post_voices(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`{"meeting", "speaker"}`: keep the voice of this named speaker."""
        body = read_json(req, VoiceBody)
        kept = self._meetings.library.remember(body.meeting, body.speaker, req.context.actor)
        answer(resp, {"ok": True, "voice": kept}, 201)

    def on_patch_voice(self, req: falcon.Request, resp: falcon.Response, voice: str) -> None:
        """The voice gets another id with its other name."""
        body = read_json(req, VoiceName)
        renamed = self._meetings.rename_voice(voice, body.name, everywhere=body.everywhere, actor=req.context.actor)
        answer(resp, {"ok": True, **renamed})

    def on_delete_voice(self, req: falcon.Request, resp: falcon.Response, voice: str) -> None:
        self._meetings.library.forget(voice, req.context.actor)
        answer(resp, {"ok": True, "deleted": voice})

    def _tell(self, resp: falcon.Response, view: dict[str, Any]) -> None:
        answer(resp, {"ok": True, **view})
