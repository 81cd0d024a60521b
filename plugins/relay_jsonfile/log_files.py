"""The files of a collection of the layout `log`: documents one below the other, the last line of a key is the true one.

A line is `{"key":…,"doc":{…}}`; `"doc":null` deletes. Segments are only ever appended to, and dropped whole; no number
is used twice. What lies behind the length in the manifest was never finished.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec

from relay.api import StorageUnavailable

from .files import make_dir, open_file, sync_dir, write_all

SEGMENT_BYTES = 16 * 1024 * 1024
LINES = 200
"""Lines per write."""
READ = 4096
_PLACE = 1 << 40
_encode = msgspec.json.encode

Documents = dict[tuple[str, int], bytes]
"""By key and place."""
Change = tuple[str, bytes | None]
"""A key and its document; None: deleted."""


class Line(msgspec.Struct, gc=False):
    key: str
    doc: msgspec.Raw

    @property
    def document(self) -> bytes | None:
        """None: the key was deleted."""
        raw = bytes(self.doc)
        return None if raw == b"null" else raw


_line = msgspec.json.Decoder(Line)


def place_of(number: int, offset: int) -> int:
    """A segment's number and an offset in it, as one small int."""
    return number * _PLACE + offset


def number_of(place: int) -> int:
    return place // _PLACE


class LogDamaged(Exception):
    """A file does not hold what it should. `path`, `why`."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


class LogFiles:
    """`segments`: length in bytes by number, as the last checkpoint has them. Reading needs no lock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.segments: dict[int, int] = {}
        self.newest = 0
        """The highest number that was ever used."""
        self.sealed = False
        """The newest segment must not be appended to: a write to it failed."""

    def segment(self, number: int) -> Path:
        return self.directory / f"{number:06}.jsonl"

    def index(self, number: int) -> Path:
        return self.directory / f"{number:06}.index.json"

    def read(self, wanted: Iterable[tuple[str, int]], *, moving: bool) -> Documents:
        """Documents by key and place. `moving`: leave out what was moved to another file meanwhile.

        Raises StorageUnavailable for a file that cannot be read or does not hold what it should.
        """
        found: Documents = {}
        with ExitStack() as stack:
            opened: dict[int, int] = {}
            for key, place in wanted:
                number, offset = divmod(place, _PLACE)
                path = self.segment(number)
                try:
                    if number not in opened:
                        opened[number] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                        stack.callback(os.close, opened[number])
                    line = _line.decode(_read_line(opened[number], offset))
                except FileNotFoundError as exc:
                    if moving:
                        continue
                    raise _unreadable(path, offset, str(exc)) from exc
                except (OSError, msgspec.DecodeError) as exc:
                    raise _unreadable(path, offset, str(exc)) from exc
                document = line.document
                if line.key != key or document is None:
                    raise _unreadable(path, offset, f"it is not that of {key!r}")
                found[key, place] = document
        return found

    def check_length(self, number: int) -> None:
        """Raises LogDamaged for a segment that is missing, or shorter than it was."""
        path, length = self.segment(number), self.segments[number]
        try:
            there = path.stat().st_size
        except OSError as exc:
            raise LogDamaged(path, str(exc)) from exc
        if there < length:
            raise LogDamaged(path, f"it has {there} bytes where the checkpoint has {length}")

    def lines(self, number: int) -> Iterator[tuple[int, Line]]:
        """(offset, line) of a whole segment. Raises LogDamaged."""
        path = self.segment(number)
        try:
            data = path.read_bytes()[: self.segments[number]]
        except OSError as exc:
            raise LogDamaged(path, str(exc)) from exc
        offset = 0
        while offset < len(data):
            end = data.find(b"\n", offset) + 1 or len(data)
            try:
                yield offset, _line.decode(data[offset:end])
            except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                raise LogDamaged(path, f"the line at byte {offset}: {exc}") from exc
            offset = end


class LogWriter:
    """Appends to the files for one checkpoint. Nothing it writes counts before `segments` is in the manifest."""

    def __init__(self, files: LogFiles) -> None:
        self._files = files
        self.segments = dict(files.segments)
        self._touched: set[int] = set()
        last = max(self.segments, default=0)
        self._number = last if last and last == files.newest and not files.sealed else 0
        """0: the next line begins a new segment."""
        files.sealed = True  # until this one has come to its end

    def write(self, changes: Iterable[Change]) -> Iterator[list[tuple[str, int | None]]]:
        """Append lines; yields the keys with their new places (None: deleted) after every write. Raises OSError."""
        batch: list[Change] = []
        for change in changes:
            batch.append(change)
            if len(batch) == LINES:
                yield self._write_batch(batch)
                batch = []
        if batch:
            yield self._write_batch(batch)

    def _write_batch(self, batch: list[Change]) -> list[tuple[str, int | None]]:
        number = self._writable()
        offset = self.segments[number]
        places: list[tuple[str, int | None]] = []
        lines: list[bytes] = []
        length = offset
        for key, raw in batch:
            lines.append(b'{"key":%b,"doc":%b}\n' % (_encode(key), b"null" if raw is None else raw))
            places.append((key, None if raw is None else place_of(number, length)))
            length += len(lines[-1])
        fd = open_file(self._files.segment(number), os.O_WRONLY)
        try:
            os.lseek(fd, offset, os.SEEK_SET)
            write_all(fd, b"".join(lines))
        finally:
            os.close(fd)
        self.segments[number] = length
        return places

    def _writable(self) -> int:
        """The number of the segment to append to, a new one when the last is full."""
        if not self._number or self.segments[self._number] >= SEGMENT_BYTES:
            make_dir(self._files.directory)
            self._number = self._files.newest = self._files.newest + 1
            self.segments[self._number] = 0
        self._touched.add(self._number)
        return self._number

    def sync(self) -> None:
        """Make durable what was written. Raises OSError."""
        for number in sorted(self._touched):
            fd = open_file(self._files.segment(number), os.O_WRONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        if self._touched:
            sync_dir(self._files.directory)


def _read_line(fd: int, offset: int) -> bytes:
    data = os.pread(fd, READ, offset)
    while (end := data.find(b"\n")) < 0:
        more = os.pread(fd, max(READ, len(data)), offset + len(data))
        if not more:
            return data
        data += more
    return data[:end]


def _unreadable(path: Path, offset: int, why: str) -> StorageUnavailable:
    return StorageUnavailable(f"{path}: the document at byte {offset} cannot be read: {why}. Restore a backup")
