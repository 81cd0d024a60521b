"""The list of meetings: make, upload, find, rename, delete."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from relay.books import audit, meetings
from relay.crash import crash_point
from relay.domain.instants import iso
from relay.domain.meetings import ID, Meeting, Options, new_id
from relay.errors import Conflict, Invalid, NotFound, RelayError, TooLarge
from relay.ports.storage import ReadTx, Storage, Tx
from relay.services.meetings.uploads import CHUNK_BYTES, Readable, Uploads

MAX_LOOKED_THROUGH = 5000
MAX_OPEN = 20
"""Uploads that have begun and not ended: more are somebody's mistake."""


class Directory:
    """`max_bytes`: of one recording. `uploaded`: told the id of a meeting whose recording is complete."""

    def __init__(self, storage: Storage, folder: Path, max_bytes: int, clock: Callable[[], datetime]) -> None:
        self._storage = storage
        self.uploads = Uploads(folder)
        self._max_bytes = max_bytes
        self._clock = clock
        self.uploaded: Callable[[str], None] = lambda _meeting_id: None

    def page(self, *, limit: int, before: str | None, search: str) -> tuple[list[dict[str, Any]], str | None]:
        """Newest first. The second value is the `before` of the next page, None at the end."""
        wanted = search.casefold()
        looked = MAX_LOOKED_THROUGH if wanted else limit
        found = self._storage.read(lambda tx: meetings.page(tx, limit=looked, before=before))
        rows = [(key, row) for key, row in found if wanted in f"{row.title} {row.filename} {key}".casefold()]
        following = rows[limit - 1][0] if len(rows) > limit else (found[-1][0] if len(found) == looked else None)
        return [meeting_view(key, row) for key, row in rows[:limit]], following

    def create(self, title: str, filename: str, size: int, options: Options, actor: str) -> dict[str, Any]:
        """A meeting whose recording is to come. Raises TooLarge, StorageFull, Conflict for too many begun uploads."""
        if size > self._max_bytes:
            raise TooLarge(f"a recording may have {self._max_bytes} bytes and this one has {size}")
        self.uploads.reserve(size)
        now = self._clock()
        meeting_id = new_id(now)
        row = Meeting(title.strip() or filename, filename, now, size, options=options)

        def create(tx: Tx) -> None:
            begun = sum(1 for _, one in meetings.page(tx, limit=200, before=None) if one.state == "uploading")
            if begun >= MAX_OPEN:
                raise Conflict(f"{begun} uploads have begun and not ended; finish or delete them first")
            meetings.put(tx, meeting_id, row)
            audit.record(tx, actor, "meetings.create", meeting_id, after={"title": row.title, "bytes": size})

        self._storage.transact(create)
        return meeting_view(meeting_id, row)

    def row(self, meeting_id: str) -> Meeting:
        """Raises NotFound."""
        return self._storage.read(lambda tx: self.get(tx, meeting_id))

    def get(self, tx: ReadTx, meeting_id: str) -> Meeting:
        """Raises NotFound, for any text that is no id too."""
        row = meetings.get(tx, meeting_id) if ID.fullmatch(meeting_id) else None
        if row is None:
            raise NotFound(f"there is no meeting {meeting_id[:64]!r}")
        return row

    def view(self, meeting_id: str) -> dict[str, Any]:
        return meeting_view(meeting_id, self.row(meeting_id))

    def upload(self, meeting_id: str) -> dict[str, Any]:
        """How far the upload is: `offset`, `complete`, and the size of a piece to send."""
        row = self.row(meeting_id)
        open_ = row.state == "uploading"
        offset = self.uploads.offset(meeting_id) if open_ else row.bytes
        return {"offset": offset, "complete": not open_, "chunk_bytes": CHUNK_BYTES}

    def receive(self, meeting_id: str, offset: int, data: Readable, actor: str) -> dict[str, Any]:
        """The next piece. Raises Conflict (`wrong_offset`) when it is not the next one, or the upload has ended."""
        row = self.row(meeting_id)
        if row.state != "uploading":
            raise Conflict("this recording is complete; make another meeting for another one", code="complete")
        # All came before, and only its end could not be written down: then no piece is missing that could be sent.
        all_here = self.uploads.offset(meeting_id) == row.bytes
        have = row.bytes if all_here else self.uploads.append(meeting_id, offset, data, row.bytes)
        if self._storage.read(lambda tx: meetings.get(tx, meeting_id)) is None:
            self.uploads.drop(meeting_id)  # deleted meanwhile: the piece must not stay behind
        if have == row.bytes:
            self._complete(meeting_id, actor)
        return {"offset": have, "complete": have == row.bytes, "chunk_bytes": CHUNK_BYTES}

    def take(self, title: str, filename: str, path: Path, options: Options, actor: str) -> dict[str, Any]:
        """A meeting from a file that is there already, as a form brings it."""
        size = path.stat().st_size
        if not size:
            raise Invalid("the recording is empty", "file")
        made = self.create(title, filename, size, options, actor)
        try:
            with path.open("rb") as file:
                self.receive(made["id"], 0, file, actor)
        except RelayError:
            self.delete(made["id"], actor)  # who sent a form was told of no id to go on with
            raise
        return self.view(made["id"])

    def finish(self, meeting_id: str) -> None:
        """Of an upload that has all its bytes: say so, if a crash or a full disk kept that from being written down."""
        row = self.row(meeting_id)
        if row.state == "uploading" and self.uploads.offset(meeting_id) == row.bytes:
            self._complete(meeting_id, "relay")

    def change(
        self, meeting_id: str, *, title: str | None, options: Options | None, version: int | None, actor: str
    ) -> dict[str, Any]:
        """Raises Conflict (`stale_version`) when somebody else was faster."""

        def change(tx: Tx) -> Meeting:
            row = self.get(tx, meeting_id)
            check_version(row, version)
            before = {"title": row.title, "options": msgspec.to_builtins(row.options)}
            row.title = title.strip() if title and title.strip() else row.title
            row.options = row.options if options is None else options
            after = {"title": row.title, "options": msgspec.to_builtins(row.options)}
            row.version, row.updated_at = row.version + 1, self._clock()
            meetings.put(tx, meeting_id, row)
            if (text := meetings.text(tx, meeting_id)) is not None and text.title != row.title:
                text.title = row.title
                meetings.put_text(tx, meeting_id, text)
            audit.record(tx, actor, "meetings.change", meeting_id, before=before, after=after)
            return row

        return meeting_view(meeting_id, self._storage.transact(change))

    def delete(self, meeting_id: str, actor: str) -> None:
        """All of it: recording, copy, pieces, results, text. Raises NotFound."""
        row = self.row(meeting_id)

        def mark(tx: Tx) -> None:
            audit.record(tx, actor, "meetings.delete", meeting_id, before={"title": row.title})

        self._storage.transact(mark)
        refs = {ref for ref in (row.audio, row.listen) if ref}

        def some(tx: Tx) -> int:
            last = meetings.get(tx, meeting_id)
            if last is not None:  # the worker may have stored them now
                refs.update(ref for ref in (last.audio, last.listen) if ref)
            return meetings.delete_some(tx, meeting_id)

        while self._storage.transact(some):
            crash_point("meetings.deleting")
        self.uploads.drop(meeting_id)
        for ref in refs:
            self._storage.delete_blob(ref)

    def _complete(self, meeting_id: str, actor: str) -> None:
        crash_point("meetings.uploaded")

        def complete(tx: Tx) -> bool:
            row = self.get(tx, meeting_id)
            if row.state != "uploading":
                return False
            row.state, row.updated_at = "uploaded", self._clock()
            meetings.put(tx, meeting_id, row)
            audit.record(tx, actor, "meetings.upload", meeting_id, after={"bytes": row.bytes})
            return True

        if self._storage.transact(complete):
            self.uploaded(meeting_id)


def check_version(row: Meeting, version: int | None) -> None:
    """Raises Conflict when the row is not the one that was looked at; None looks at none."""
    if version is not None and version != row.version:
        raise Conflict(
            "this meeting was changed meanwhile; load it again",
            code="stale_version",
            details={"version": row.version, "yours": version},
        )


def meeting_view(meeting_id: str, row: Meeting) -> dict[str, Any]:
    """The row of the list, without the refs of its blobs."""
    return {
        "id": meeting_id,
        "title": row.title,
        "filename": row.filename,
        "state": row.state,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "bytes": row.bytes,
        "duration": row.duration,
        "speakers": row.speakers,
        "options": msgspec.to_builtins(row.options),
        "run": row.run or None,
        "runs": row.runs,
        "steps": row.steps,
        "step": row.step or None,
        "progress": row.progress,
        "eta_seconds": row.eta_seconds,
        "error": row.error,
        "notes": row.notes,
        "version": row.version,
        "audio": row.audio is not None,
    }
