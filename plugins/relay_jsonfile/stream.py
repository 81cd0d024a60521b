"""One append-only stream: where the newest entry of each partition is, and its segment files.

A record is a line `{"n":…,"partition":…,"prev":[segment, offset, length] or null,"doc":…}`; `prev` leads to the
record of the same partition before it. Entries wait in memory (`tails`) until they are in a segment.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec

from relay.api import StorageUnavailable

from .files import make_dir, open_file, sync_dir, sync_file

SEGMENT_BYTES = 64 * 1024 * 1024
RECENT = 4096
CHUNK = 1000
SLICE = 500
Pointer = tuple[int, int, int]
"""(segment number, offset in bytes, length in bytes)."""
Head = tuple[int, int, int, int]
"""(number of the entry, then its pointer)."""
Entry = tuple[str, int, bytes]
"""(partition, number, encoded document)."""


class Record(msgspec.Struct, gc=False):
    n: int
    prev: Pointer | None
    doc: msgspec.Raw
    partition: str = ""


_record = msgspec.json.Decoder(Record)


class HeadsSnapshot:
    """The heads at one moment, read in slices while they change: the first change of one leaves the old one here."""

    def __init__(self, heads: dict[str, Head]) -> None:
        self._heads = heads
        self._partitions = list(heads)
        self._before: dict[str, Head | None] = {}

    def __len__(self) -> int:
        return len(self._partitions)

    def remember(self, partition: str, old: Head | None) -> None:
        self._before.setdefault(partition, old)

    def slices(self, lock: threading.Lock) -> Iterator[list[tuple[str, Head]]]:
        """Takes the lock for one slice at a time."""
        for start in range(0, len(self._partitions), SLICE):
            names = self._partitions[start : start + SLICE]
            with lock:
                found = [(name, self._before.get(name) or self._heads[name]) for name in names]
            yield found


class Stream:
    """`heads`, `tails` and `recent` belong to the storage's lock; `lengths` and `backlog` to the writer thread."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = directory.name
        self.heads: dict[str, Head] = {}
        self.tails: dict[str, deque[tuple[int, bytes]]] = {}
        self.recent: OrderedDict[Pointer, Record] = OrderedDict()
        self.lengths: list[int] = []
        self.backlog: deque[Entry] = deque()
        """Durable in the journal, not yet in a segment."""
        self.reading: HeadsSnapshot | None = None
        """The snapshot that a checkpoint reads: it is told of every head before that changes."""
        self._fd: int | None = None

    def last(self, partition: str) -> int:
        """The number of the newest entry, 0 for none."""
        tail = self.tails.get(partition)
        if tail:
            return tail[-1][0]
        head = self.heads.get(partition)
        return head[0] if head else 0

    def push(self, partition: str, n: int, doc: bytes) -> None:
        self.tails.setdefault(partition, deque()).append((n, doc))

    def pop(self, partition: str) -> None:
        """Take back the newest entry, which has not become durable."""
        tail = self.tails[partition]
        tail.pop()
        if not tail:
            del self.tails[partition]

    def partitions(self) -> set[str]:
        return self.heads.keys() | self.tails.keys()

    def segment(self, number: int) -> Path:
        return self.directory / f"{number:06}.jsonl"

    def write_some(self) -> list[tuple[Entry, Head, Record]]:
        """Write the first entries of the backlog to a segment, unsynced; `settle` then makes them the heads.

        Writes at a known offset, so what an earlier failure left there is overwritten. Raises OSError.
        """
        if not self.lengths or self.lengths[-1] >= SEGMENT_BYTES:
            self._next_segment()
        number, offset = len(self.lengths), self.lengths[-1]
        heads: dict[str, Head] = {}
        lines: list[bytes] = []
        written: list[tuple[Entry, Head, Record]] = []
        for _, entry in zip(range(CHUNK), self.backlog, strict=False):
            partition, n, doc = entry
            head = heads.get(partition) or self.heads.get(partition)
            record = Record(n, head[1:] if head else None, msgspec.Raw(doc), partition)
            line = msgspec.json.encode(record) + b"\n"
            heads[partition] = (n, number, offset, len(line))
            written.append((entry, heads[partition], record))
            lines.append(line)
            offset += len(line)
        self._write_at(b"".join(lines), self.lengths[-1])
        self.lengths[-1] = offset
        return written

    def settle(self, written: list[tuple[Entry, Head, Record]]) -> None:
        """The entries are in a segment now (the lock is held)."""
        for (partition, _, _), head, record in written:
            self.backlog.popleft()
            tail = self.tails[partition]
            tail.popleft()
            if not tail:
                del self.tails[partition]
            if self.reading is not None:
                self.reading.remember(partition, self.heads.get(partition))
            self.heads[partition] = head
            self.recent[head[1:]] = record
        while len(self.recent) > RECENT:
            self.recent.popitem(last=False)

    def _next_segment(self) -> None:
        make_dir(self.directory)
        fd = open_file(self.segment(len(self.lengths) + 1), os.O_WRONLY | os.O_TRUNC)
        self.close()
        self._fd = fd
        self.lengths.append(0)

    def _write_at(self, data: bytes, offset: int) -> None:
        if self._fd is None:
            self._fd = open_file(self.segment(len(self.lengths)), os.O_WRONLY)
        left = memoryview(data)
        while left:
            count = os.pwrite(self._fd, left, offset)
            left, offset = left[count:], offset + count

    def sync(self, lengths: list[int], synced: list[int]) -> None:
        """Make the segments durable up to `lengths`; `synced` says what already was. Raises OSError."""
        for number, length in enumerate(lengths, start=1):
            if number > len(synced) or synced[number - 1] != length:
                sync_file(self.segment(number))
        if lengths:
            sync_dir(self.directory)

    def chain(self, pointer: Pointer | None) -> Iterator[tuple[Pointer, Record]]:
        """Records of one partition from disk, newest first. Raises StorageUnavailable."""
        with ExitStack() as stack:
            opened: dict[int, int] = {}
            while pointer:
                number, offset, length = pointer
                try:
                    if number not in opened:
                        opened[number] = os.open(self.segment(number), os.O_RDONLY | os.O_CLOEXEC)
                        stack.callback(os.close, opened[number])
                    record = _record.decode(os.pread(opened[number], length, offset))
                except (OSError, msgspec.DecodeError) as exc:
                    raise StorageUnavailable(
                        f"{self.segment(number)}: the record at byte {offset} cannot be read: {exc}. Restore a backup"
                    ) from exc
                yield pointer, record
                pointer = record.prev

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
