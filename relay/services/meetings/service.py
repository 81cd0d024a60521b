"""Internal meetings, put together."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from relay.books import meetings
from relay.domain.instants import utcnow
from relay.domain.meeting_edits import Edit, Rename
from relay.domain.meetings import Options, Step, Text
from relay.errors import Conflict, NotFound
from relay.ports.storage import Storage
from relay.services.infer import Infer
from relay.services.live import SettingsView
from relay.services.meetings.analysis import Analyser
from relay.services.meetings.directory import Directory, meeting_view
from relay.services.meetings.editor import Editor
from relay.services.meetings.library import Library
from relay.services.meetings.runs import Runs
from relay.services.meetings.worker import Worker
from relay.shapes.chunks import Chunking

CANCEL_SECONDS = 10.0
SCRATCH = "meetings-scratch"
"""Under the data directory: samples of what is worked on. What a crash left there is removed at the start."""


class Meetings:
    """`settings`: as they are at this moment."""

    def __init__(
        self,
        storage: Storage,
        infer: Infer,
        data_dir: Path,
        max_bytes: int,
        settings: SettingsView,
        clock: Callable[[], datetime] = utcnow,
    ) -> None:
        self._storage = storage
        self._scratch = data_dir / SCRATCH
        self.directory = Directory(storage, data_dir / "uploads", max_bytes, clock)
        self.library = Library(storage, self.directory, clock)
        self.editor = Editor(storage, self.directory, clock)
        self.runs = Runs(storage, self.directory, clock)
        self.worker = Worker(
            storage,
            infer,
            self.directory.uploads,
            Analyser(infer, lambda: settings.prompts.meeting_summary),
            data_dir / SCRATCH,
            clock,
            lambda: Chunking(settings.meetings.piece_seconds, settings.meetings.overlap_seconds),
            self.library.suggest,
        )
        self.directory.uploaded = self.worker.wake

    def start(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._drop_strays()
        self.worker.start()

    def stop(self) -> None:
        self.worker.stop()

    def page(self, *, limit: int, before: str | None, search: str) -> tuple[list[dict[str, Any]], str | None]:
        rows, following = self.directory.page(limit=limit, before=before, search=search)
        return [self._with_progress(row) for row in rows], following

    def row(self, meeting_id: str) -> dict[str, Any]:
        """The row of the list. Raises NotFound."""
        return self._with_progress(self.directory.view(meeting_id))

    def view(self, meeting_id: str) -> dict[str, Any]:
        """All that is known of one meeting. Raises NotFound."""
        row = self.directory.row(meeting_id)
        text = self._storage.read(lambda tx: meetings.text(tx, meeting_id))
        view = self._with_progress(meeting_view(meeting_id, row))
        return {"meeting": view, "text": None if text is None else text_view(text)}

    def run(
        self, meeting_id: str, version: int | None, steps: list[Step] | None, options: Options | None, actor: str
    ) -> dict[str, Any]:
        row = self.runs.begin(meeting_id, version, steps, options, actor)
        self.worker.wake()
        return meeting_view(meeting_id, row)

    def edit(self, meeting_id: str, version: int, edit: Edit, actor: str) -> dict[str, Any]:
        self.editor.edit(meeting_id, version, edit, actor)
        return self.view(meeting_id)

    def undo(self, meeting_id: str, version: int, actor: str) -> dict[str, Any]:
        self.editor.undo(meeting_id, version, actor)
        return self.view(meeting_id)

    def redo(self, meeting_id: str, version: int, actor: str) -> dict[str, Any]:
        self.editor.redo(meeting_id, version, actor)
        return self.view(meeting_id)

    def recording(self, meeting_id: str) -> tuple[BinaryIO, str]:
        """What a browser can play, or the recording as it came, and its content type. Raises Conflict before that."""
        row = self.directory.row(meeting_id)
        ref = row.listen or row.audio
        if ref is None:
            raise Conflict("the recording is not stored yet; wait until its upload is complete", code="not_ready")
        return self._storage.open_blob(ref), "audio/mpeg" if row.listen else "application/octet-stream"

    def delete(self, meeting_id: str, actor: str) -> None:
        """Everything of it, and what its voices gave to the library."""
        current = self.worker.current
        if current is not None and current.meeting_id == meeting_id:
            self.worker.interrupt(meeting_id, actor)
            if not self.worker.ended(meeting_id, CANCEL_SECONDS):
                raise Conflict("its run does not end; try again in a minute", code="busy", retry_after=60)
        self._storage.transact(lambda tx: self.library.forget_meeting(tx, meeting_id))
        self.directory.delete(meeting_id, actor)
        # Once more: until its row was gone, a voice might still be taken from it.
        self._storage.transact(lambda tx: self.library.forget_meeting(tx, meeting_id))

    def rename_voice(self, voice: str, name: str, *, everywhere: bool, actor: str) -> dict[str, Any]:
        """Call a voice by another name: its new row, and with `everywhere` the meetings in which the speakers of that
        name were renamed too, and those in which that was not possible now."""
        row, before = self.library.rename(voice, name, actor)
        done: list[str] = []
        left: list[str] = []
        for meeting_id in row["meetings"] if everywhere else ():
            try:
                if self._rename_speakers(meeting_id, before, row["name"], actor):
                    done.append(meeting_id)
            except (Conflict, NotFound):
                left.append(meeting_id)
        return {"voice": row, "renamed": done, "left": left}

    def _rename_speakers(self, meeting_id: str, before: str, name: str, actor: str) -> bool:
        """Each speaker of that name by an edit of its own, which can be taken back. Raises Conflict, NotFound."""
        wanted = before.casefold()
        ids = [speaker.id for speaker in self.editor.text(meeting_id).speakers if speaker.name.casefold() == wanted]
        for speaker_id in ids:
            self.editor.edit(meeting_id, self.directory.row(meeting_id).version, Rename(speaker_id, name), actor)
        return bool(ids)

    def _with_progress(self, view: dict[str, Any]) -> dict[str, Any]:
        progress = self.worker.progress(view["id"])
        if progress is not None:
            view |= {"step": progress.step, "progress": progress.fraction, "eta_seconds": progress.eta_seconds}
        return view

    def _drop_strays(self) -> None:
        """Parts of recordings whose meeting is gone or has its recording already."""
        for meeting_id in self.directory.uploads.strays():
            row = self._storage.read(lambda tx, key=meeting_id: meetings.get(tx, key))  # type: ignore[misc]
            if row is None or row.audio is not None:
                self.directory.uploads.drop(meeting_id)
            else:
                self.directory.finish(meeting_id)


def text_view(text: Text) -> dict[str, Any]:
    """The text for a reader, without the history of its edits."""
    view: dict[str, Any] = msgspec.to_builtins(text)
    view["can_undo"], view["can_redo"] = bool(text.edits), bool(text.undone)
    view["edits"] = len(text.edits)
    view.pop("undone", None)
    return view
