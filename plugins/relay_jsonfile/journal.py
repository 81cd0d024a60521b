"""`journal.jsonl`: one checksummed line per batch of commits, on disk before anyone is answered.

A line is a JSON object: `{"crc":"<8 hex>","seq":…,"time":…,"ops":[…]}`. The CRC-32 covers everything after it.
Operations: `["put", collection, key, document]`, `["delete", collection, key]`,
`["append", stream, partition, number, document]`.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from relay.api import crash_point

from .files import data_sync, open_file, sync_dir, write_all

NAME = "journal.jsonl"
_OLD = re.compile(r"journal\.(\d+)\.jsonl")
_PREFIX = re.compile(rb'\{"crc":"([0-9a-f]{8})",')


class SyncFailed(Exception):
    """What reached the disk is unknown: nothing may be written any more."""


class Batch(msgspec.Struct):
    seq: int
    time: str
    ops: list[list[msgspec.Raw]]


class Journal:
    """The open journal; used by the writer thread alone."""

    def __init__(self, data_dir: Path) -> None:
        self._dir = data_dir
        self._path = data_dir / NAME
        self._fd = open_file(self._path, os.O_WRONLY | os.O_APPEND)
        self.size = os.fstat(self._fd).st_size
        sync_dir(data_dir)

    def append(self, seq: int, ops: bytes) -> None:
        """Write one batch durably. OSError: nothing of it is kept. SyncFailed: nobody knows."""
        body = b'"seq":%d,"time":"%b","ops":[%b]}\n' % (seq, now().encode(), ops)
        line = b'{"crc":"%08x",%b' % (zlib.crc32(body), body)
        try:
            write_all(self._fd, line)
        except OSError:
            self._cut_back()
            raise
        crash_point("jsonfile.journal-written")
        try:
            data_sync(self._fd)
        except OSError as exc:
            self._cut_back()
            raise SyncFailed(f"{self._path}: fsync failed: {exc.strerror}") from exc
        self.size += len(line)
        crash_point("jsonfile.journal-synced")

    def _cut_back(self) -> None:
        """Back to the last good byte. Where even that fails, the file's end is unknown."""
        try:
            os.ftruncate(self._fd, self.size)
        except OSError as exc:
            raise SyncFailed(f"{self._path}: cannot be cut back after a failed write: {exc.strerror}") from exc

    def rotate(self, seq: int) -> None:
        """Close this file as `journal.<seq>.jsonl` and start an empty one. Raises OSError with nothing changed."""
        if self.size == 0:
            return
        old = old_name(self._dir, seq)
        self._path.rename(old)
        crash_point("jsonfile.journal-renamed")
        fd: int | None = None
        try:
            fd = open_file(self._path, os.O_WRONLY | os.O_APPEND)
            sync_dir(self._dir)
        except OSError:
            if fd is not None:
                os.close(fd)
            old.rename(self._path)
            raise
        os.close(self._fd)
        self._fd, self.size = fd, 0

    def close(self) -> None:
        os.close(self._fd)


def now() -> str:
    """The time in UTC as ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def old_name(data_dir: Path, seq: int) -> Path:
    return data_dir / f"journal.{seq}.jsonl"


def old_journals(data_dir: Path) -> list[tuple[int, Path]]:
    """(last batch in it, file) of every closed journal, oldest first."""
    found = ((_OLD.fullmatch(path.name), path) for path in data_dir.iterdir())
    return sorted((int(match.group(1)), path) for match, path in found if match)


def decode_line(line: bytes) -> Batch:
    """Raises ValueError for a line that is not what was written."""
    match = _PREFIX.match(line)
    if match is None:
        raise ValueError("it does not start with a checksum")
    if int(match.group(1), 16) != zlib.crc32(line[match.end() :]):
        raise ValueError("its checksum does not match")
    try:
        return msgspec.json.decode(line, type=Batch)
    except msgspec.DecodeError as exc:
        raise ValueError(str(exc)) from exc


def lines_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(offset, line with its newline); the last one may have none."""
    offset = 0
    while offset < len(data):
        end = data.find(b"\n", offset) + 1 or len(data)
        yield offset, data[offset:end]
        offset = end
