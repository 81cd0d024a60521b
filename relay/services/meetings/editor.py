"""Changing the text of a meeting: one edit at a time, each on the version its author saw, each to be taken back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from relay.books import audit, meetings
from relay.domain.instants import iso
from relay.domain.meeting_edits import Edit, WrongEdit, apply, as_text, replayed
from relay.domain.meetings import Meeting, Text
from relay.errors import Conflict, Invalid
from relay.ports.storage import Storage, Tx
from relay.services.meetings.directory import Directory, check_version

MAX_EDITS = 10_000
MAX_TOLD = 20


class Editor:
    def __init__(self, storage: Storage, directory: Directory, clock: Callable[[], datetime]) -> None:
        self._storage = storage
        self._directory = directory
        self._clock = clock

    def text(self, meeting_id: str) -> Text:
        """Raises NotFound, and Conflict (`not_ready`) while there is none."""
        return self._look(meeting_id)[1]

    def edit(self, meeting_id: str, version: int, edit: Edit, actor: str) -> Meeting:
        """Raises Conflict (`stale_version`, or `busy` during a run), Invalid for an edit that does not fit."""
        row, text = self._seen(meeting_id, version)
        if len(text.edits) >= MAX_EDITS:
            raise Conflict(f"this text has {MAX_EDITS} edits; run the meeting again, or export it")
        try:
            apply(text, edit)
        except WrongEdit as exc:
            raise Invalid(str(exc), f"edit.{exc.path}") from None
        said = msgspec.to_builtins(edit)
        text.edits.append({"edit": said, "by": actor, "at": iso(self._clock())})
        text.undone = []
        return self._save(meeting_id, row, text, actor, f"meetings.{said['op']}", said)

    def undo(self, meeting_id: str, version: int, actor: str) -> Meeting:
        """Take the last edit back. Raises Conflict (`stale_version`, `busy`, `nothing_to_undo`)."""
        row, text = self._seen(meeting_id, version)
        if not text.edits:
            raise Conflict("nothing was changed that could be taken back", code="nothing_to_undo")
        last = text.edits[-1]
        fresh = self._replayed(meeting_id, row, text.run, text.edits[:-1])
        fresh.undone = [*text.undone, last]
        return self._save(meeting_id, row, fresh, actor, "meetings.undo", last["edit"])

    def redo(self, meeting_id: str, version: int, actor: str) -> Meeting:
        """Do the edit again that was taken back last. Raises Conflict (`stale_version`, `busy`, `nothing_to_redo`)."""
        row, text = self._seen(meeting_id, version)
        if not text.undone:
            raise Conflict("nothing was taken back that could be done again", code="nothing_to_redo")
        again = text.undone.pop()
        replayed(text, [again])
        return self._save(meeting_id, row, text, actor, "meetings.redo", again["edit"])

    def _replayed(self, meeting_id: str, row: Meeting, run: str, edits: list[dict[str, Any]]) -> Text:
        result = self._storage.read(lambda tx: meetings.result(tx, meeting_id, run))
        if result is None:
            raise Conflict(f"the result of run {run} is gone, so nothing can be taken back", code="nothing_to_undo")
        return replayed(as_text(meeting_id, row, result), edits)

    def _seen(self, meeting_id: str, version: int) -> tuple[Meeting, Text]:
        """Row and text to change. A run that begins meanwhile makes the version a stale one."""
        row = self._directory.row(meeting_id)
        if row.state in {"uploaded", "processing"}:
            raise Conflict("this meeting is being worked on; edit it when its run has ended", code="busy")
        check_version(row, version)
        row, text = self._look(meeting_id)
        check_version(row, version)
        return row, text

    def _look(self, meeting_id: str) -> tuple[Meeting, Text]:
        row, text = self._storage.read(lambda tx: (self._directory.get(tx, meeting_id), meetings.text(tx, meeting_id)))
        if text is None:
            raise Conflict("this meeting has no text yet; wait until its run has ended", code="not_ready")
        return row, text

    def _save(
        self,
        meeting_id: str,
        seen: Meeting,
        text: Text,
        actor: str,
        action: str,
        said: dict[str, Any],
    ) -> Meeting:
        """The text was read and changed outside of the transaction: only the version is looked at again here."""

        def save(tx: Tx) -> Meeting:
            row = self._directory.get(tx, meeting_id)
            check_version(row, seen.version)
            row.version, row.updated_at = row.version + 1, self._clock()
            row.speakers = sum(1 for speaker in text.speakers if speaker.seconds)
            meetings.put_text(tx, meeting_id, text)
            meetings.put(tx, meeting_id, row)
            audit.record(tx, actor, action, meeting_id, after=_brief(said))
            return row

        return self._storage.transact(save)


def _brief(said: dict[str, Any]) -> dict[str, Any]:
    """An edit for the audit log: never what is said, which must go when the meeting is deleted; a thousand lines are
    told as a number. The text's own history has all of it."""
    brief = dict(said)
    if (lines := said.get("lines")) is not None and len(lines) > MAX_TOLD:
        brief["lines"] = f"{len(lines)} lines from {min(lines)} to {max(lines)}"
    if (text := said.get("text")) is not None:
        brief["text"] = f"{len(text)} characters"
    return brief
