"""Internal meetings: upload, work, edit, export."""

from __future__ import annotations

from relay.domain.meeting_export import FORMATS
from relay.http.admin.meeting_work import EditBody, RunBody, UseBody, VersionBody, VoiceBody, VoiceName
from relay.http.admin.meetings import Change, FormFields, NewMeeting
from relay.http.openapi import meeting_answers as answers
from relay.http.openapi.operation import Operation, Operations, Param, choice, paging, text

TAG = "Operator: meetings"
RANGE = Param("Range", "As HTTP has it.", {"type": "string", "pattern": "^bytes=[0-9]{1,9}-[0-9]{0,9}$"}, "header")
OFFSET = Param("Upload-Offset", "Where these bytes begin.", {"type": "integer", "minimum": 0}, "header", required=True)
EVENTS = "`event: state` and `event: progress`, then `event: done` with the meeting, or `event: error`."
MEETINGS: Operations = {
    ("GET", "/admin/internal-meetings"): Operation(
        "Internal meetings, newest first",
        TAG,
        answers.MeetingsAnswer,
        params=(*paging(50, 200), text("q", "A part of the title, file name or id.")),
        who="admin",
    ),
    ("POST", "/admin/internal-meetings"): Operation(
        "Announce a recording that is sent in pieces, or bring it as a form",
        TAG,
        answers.MeetingMade,
        201,
        who="admin",
        body=NewMeeting,
        form=(FormFields,),
        headers={"Location": "Where the meeting is."},
        errors=(409,),
        sends={"title": "Monday", "filename": "monday.m4a", "bytes": 1048576},
    ),
    ("GET", "/admin/internal-meetings/{meeting}"): Operation("One meeting", TAG, answers.MeetingAnswer, who="admin"),
    ("PATCH", "/admin/internal-meetings/{meeting}"): Operation(
        "Rename a meeting, or change what its next run does",
        TAG,
        answers.MeetingAnswer,
        who="admin",
        body=Change,
        errors=(409,),
        sends={"title": "Monday, the long one"},
    ),
    ("DELETE", "/admin/internal-meetings/{meeting}"): Operation(
        "Delete a meeting and all that came of it",
        TAG,
        answers.DeletedName,
        who="admin",
        errors=(409,),
    ),
    ("GET", "/admin/internal-meetings/{meeting}/upload"): Operation(
        "How far an upload is", TAG, answers.UploadAnswer, who="admin"
    ),
    ("PUT", "/admin/internal-meetings/{meeting}/upload"): Operation(
        "The next piece of a recording",
        TAG,
        answers.UploadAnswer,
        text="409 `wrong_offset` says where to go on.",
        who="admin",
        params=(OFFSET,),
        other_body={"application/octet-stream": {}},
        errors=(409, 413, 422),
    ),
}
DONE: Operations = {
    ("GET", "/admin/internal-meetings/{meeting}/audio"): Operation(
        "The recording, or a range of it",
        TAG,
        text="206 for a `Range`, 416 for one outside of the recording.",
        media={"audio/mpeg": "A copy that browsers play.", "application/octet-stream": "As it came."},
        who="admin",
        params=(RANGE,),
        errors=(206, 409, 416),
    ),
    ("HEAD", "/admin/internal-meetings/{meeting}/audio"): Operation(
        "How long the recording is", TAG, who="admin", params=(RANGE,), errors=(206, 409, 416)
    ),
    ("GET", "/admin/internal-meetings/{meeting}/export"): Operation(
        "The text as a file",
        TAG,
        media={kind: f"`{name}`." for name, (kind, _) in FORMATS.items()},
        who="admin",
        params=(choice("format", "Which kind of file.", *FORMATS),),
        headers={"Content-Disposition": "The name of the file."},
        errors=(409,),
    ),
    ("GET", "/admin/internal-meetings/{meeting}/events"): Operation(
        "Follow a run",
        TAG,
        media={"text/event-stream": EVENTS},
        text="Ends with the run; at once when none is under way.",
        who="admin",
    ),
    ("POST", "/admin/internal-meetings/{meeting}/run"): Operation(
        "Work on a meeting",
        TAG,
        answers.MeetingAnswer,
        202,
        text="Without `steps` a failed run goes on where it was, any other does all again.",
        who="admin",
        body=RunBody,
        errors=(409,),
        sends={"options": {"language": "en", "num_speakers": 2}},
    ),
    ("POST", "/admin/internal-meetings/{meeting}/cancel"): Operation(
        "End a run",
        TAG,
        answers.MeetingCancelled,
        text="Finished pieces stay.",
        who="admin",
        errors=(409,),
    ),
    ("POST", "/admin/internal-meetings/{meeting}/edits"): Operation(
        "Edit the text", TAG, answers.MeetingView, who="admin", body=EditBody, errors=(409,)
    ),
    ("POST", "/admin/internal-meetings/{meeting}/undo"): Operation(
        "Undo an edit", TAG, answers.MeetingView, who="admin", body=VersionBody, errors=(409,), sends={"version": 3}
    ),
    ("POST", "/admin/internal-meetings/{meeting}/redo"): Operation(
        "Do it again", TAG, answers.MeetingView, who="admin", body=VersionBody, errors=(409,), sends={"version": 4}
    ),
    ("GET", "/admin/internal-meetings/{meeting}/runs"): Operation(
        "Runs that have a result", TAG, answers.RunsAnswer, who="admin"
    ),
    ("GET", "/admin/internal-meetings/{meeting}/compare"): Operation(
        "Where two runs differ",
        TAG,
        answers.DifferenceAnswer,
        who="admin",
        params=(text("a", "A run."), text("b", "Another run.")),
        errors=(409,),
    ),
    ("POST", "/admin/internal-meetings/{meeting}/use"): Operation(
        "Show the result of another run",
        TAG,
        answers.MeetingView,
        who="admin",
        body=UseBody,
        errors=(409,),
        sends={"version": 4, "run": "r1"},
    ),
}
VOICES: Operations = {
    ("GET", "/admin/internal-meetings/voices"): Operation(
        "Voices that are known", TAG, answers.VoicesAnswer, who="admin"
    ),
    ("POST", "/admin/internal-meetings/voices"): Operation(
        "Keep the voice of a named speaker",
        TAG,
        answers.VoiceAnswer,
        201,
        who="admin",
        body=VoiceBody,
        errors=(404, 409),
        sends={"meeting": "20260131-120000-0a1b2c3d", "speaker": "S1"},
    ),
    ("PATCH", "/admin/internal-meetings/voices/{voice}"): Operation(
        "Call a voice by another name",
        TAG,
        answers.VoiceRenamed,
        text="It has another `id` then. `everywhere` renames the speakers of that name too, where the voice was taken.",
        who="admin",
        body=VoiceName,
        errors=(404, 409),
    ),
    ("DELETE", "/admin/internal-meetings/voices/{voice}"): Operation(
        "Forget a voice", TAG, answers.DeletedName, who="admin"
    ),
}
OPERATIONS: Operations = {**MEETINGS, **DONE, **VOICES}
