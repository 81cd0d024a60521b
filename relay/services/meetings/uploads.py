"""Recordings on their way in: a file that grows piece by piece, and goes on where it stopped."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from relay.domain.meetings import ID
from relay.errors import Conflict, Invalid, NotFound, StorageFull

CHUNK_BYTES = 4 * 2**20
SPARE_BYTES = 256 * 2**20
"""Left free on the disk: the books come first."""
BLOCK = 1024 * 1024


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Uploads:
    """Files `<id>.part` in `folder`; the length of one is how far it got."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, meeting_id: str) -> Path:
        """Raises NotFound for what is no meeting's id."""
        if not ID.fullmatch(meeting_id):
            raise NotFound(f"there is no meeting {meeting_id[:64]!r}")
        return self._folder / f"{meeting_id}.part"

    def offset(self, meeting_id: str) -> int:
        try:
            return self.path(meeting_id).stat().st_size
        except FileNotFoundError:
            return 0

    def reserve(self, size: int) -> None:
        """Raises StorageFull when the disk has no room for a recording of that many bytes."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(self._folder).free
        # Twice: the recording, and the samples it is decoded to.
        if free < 2 * size + SPARE_BYTES:
            raise StorageFull(f"the disk has {free // 2**20} MB left, which is too little for this recording")

    def append(self, meeting_id: str, offset: int, data: Readable, expected: int) -> int:
        """Write a piece that begins at `offset` of `expected` bytes in all; returns how far it is now.

        Raises Conflict with the true offset when another piece is wanted, Invalid for more than was announced. A piece
        that breaks off stays as far as it came.
        """
        path = self.path(meeting_id)
        try:
            with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as file:
                free = _locked(file)
                have = file.seek(0, os.SEEK_END)
                if offset != have or not free:
                    why = f"the upload is at byte {have}, not {offset}" if free else "another piece is being stored"
                    raise Conflict(f"{why}; go on from there", code="wrong_offset", details={"offset": have})
                for block in _blocks(data):
                    have += len(block)
                    if have > expected:
                        raise Invalid(f"the recording was announced with {expected} bytes and has more", "bytes")
                    file.write(block)
                file.flush()
                if have == expected:
                    os.fsync(file.fileno())
                return have
        except OSError as exc:
            raise StorageFull(f"the upload could not be stored: {exc.strerror}", retry_after=60) from exc

    @contextmanager
    def opened(self, meeting_id: str) -> Iterator[BinaryIO]:
        """A finished one. Raises NotFound when it is not there."""
        try:
            file = self.path(meeting_id).open("rb")
        except FileNotFoundError:
            raise NotFound("the recording is not there (any more); upload it again") from None
        with file:
            yield file

    def drop(self, meeting_id: str) -> None:
        self.path(meeting_id).unlink(missing_ok=True)

    def strays(self) -> Iterator[str]:
        """Ids of all that lie here."""
        if self._folder.is_dir():
            yield from (path.stem for path in self._folder.glob("*.part") if ID.fullmatch(path.stem))


def _locked(file: BinaryIO) -> bool:
    """Until the file is closed, nobody else writes: two senders of one piece would both find its offset right."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _blocks(data: Readable) -> Iterator[bytes]:
    while block := data.read(BLOCK):
        yield block
