"""One checkpoint of a log: what changed goes to the end of the files, and old files that are mostly dead go."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from relay.api import crash_point

from .log import LogTable
from .log_files import Change, LogWriter, place_of
from .log_index import write_index
from .pace import Pace

T = TypeVar("T")
COPY_BYTES = 64 * 1024 * 1024
"""So much of old segments is copied by one checkpoint at most."""
INDEXES = 4
"""So many side files are written by one checkpoint at most."""
SLICE = 500


class LogWrite:
    """`write`, then the manifest with `segments`, then `settle`. Made under the lock, of the table as it is then."""

    def __init__(self, table: LogTable) -> None:
        self.table = table
        self.segments: dict[int, int] = {}
        self._changes: list[Change] = [*table.rows.items(), *((key, None) for key in table.gone)]
        self._places: list[int | None] = []
        """Where the changes were written, in their order."""
        self._moved: list[tuple[str, int]] = []

    def write(self, pace: Pace) -> None:
        """Raises OSError or LogDamaged with the old files in force."""
        self._write_indexes(pace)
        writer = LogWriter(self.table.files)
        for places in writer.write(self._changes):
            self._places += [place for _, place in places]
            pace()
        changed = {key for key, _ in self._changes}
        dropped = self._mostly_dead()
        for number in dropped:
            for places in writer.write(self._living(number, changed)):
                self._moved += [(key, place) for key, place in places if place is not None]
                pace()
        writer.sync()
        crash_point("jsonfile.log-written")
        if dropped:
            crash_point("jsonfile.compact-copied")
        self.segments = {number: size for number, size in writer.segments.items() if number not in dropped}

    def _write_indexes(self, pace: Pace) -> None:
        table = self.table
        finished = sorted(table.files.segments)[:-1]
        for number in [number for number in finished if number in table.unindexed][:INDEXES]:
            write_index(table.files, number, table.fields, table.values)
            table.unindexed.discard(number)
            pace()

    def _mostly_dead(self) -> list[int]:
        """The oldest segments, while more than half of their documents are dead or more than half of all are.

        Only the oldest: a deletion that stands in it hides nothing in a file before it, and so can go with it.
        """
        documents, dead = self.table.documents, self.table.dead
        all_documents, all_dead = sum(documents.values()), sum(dead.values())
        found: list[int] = []
        copied = 0
        for number in sorted(documents)[:-1]:
            mostly = not documents[number] or 2 * dead[number] > documents[number]
            if not mostly and 2 * all_dead <= all_documents:
                break
            if documents[number] > dead[number]:
                copied += self.table.files.segments[number]
            if found and copied > COPY_BYTES:
                break
            found.append(number)
            all_documents -= dead[number]
            all_dead -= dead[number]
        return found

    def _living(self, number: int, changed: set[str]) -> Iterator[Change]:
        """The documents of a segment that no line overtakes. Only checkpoints change `places`: no lock is needed."""
        if self.table.documents[number] == self.table.dead[number]:
            return
        for offset, line in self.table.files.lines(number):
            if self.table.places.get(line.key) == place_of(number, offset) and line.key not in changed:
                yield line.key, line.document

    def settle(self, lock: threading.Lock) -> None:
        """The files are in force: let go of the documents they hold. Takes the lock for one slice at a time."""
        table = self.table
        for some in _slices(zip(self._changes, self._places, strict=True)):
            with lock:
                for (key, raw), place in some:
                    table.settle(key, raw, place)
        for few in _slices(self._moved):
            with lock:
                for key, place in few:
                    table.move(key, place)
        with lock:
            table.settle_segments(self.segments)


def _slices(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while some := list(islice(rest, SLICE)):
        yield some
