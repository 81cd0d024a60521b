"""A collection of the layout `log`: old documents are on disk, memory has where, and the index entries.

Documents changed since the last checkpoint are in `rows`, keys deleted since in `gone`; the journal has both. Only a
checkpoint changes `places`, in `settle`, when the files it wrote are in force.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from relay.api import Collection

from .log_files import LogFiles, number_of, place_of
from .log_index import Entry, read_index, read_segment
from .table import Table, Values


class LogTable(Table):
    def __init__(self, spec: Collection, directory: Path) -> None:
        super().__init__(spec)
        self.places: dict[str, int] = {}
        self.gone: set[str] = set()
        self.files = LogFiles(directory)
        self.documents: dict[int, int] = {}
        """Documents in each segment, the dead ones too."""
        self.dead: dict[int, int] = {}
        """Those of them that a later line has overtaken."""
        self.unindexed: set[int] = set()
        """Segments without a side file."""

    def cold(self, key: str) -> int | None:
        return None if key in self.rows or key in self.gone else self.places.get(key)

    def stored(self, key: str) -> bytes | None:
        place = self.cold(key)
        if place is None:
            return self.rows.get(key)
        return self.files.read([(key, place)], moving=False)[key, place]

    @property
    def dirty(self) -> bool:
        return self.stale or bool(self.rows or self.gone)

    def _store(self, key: str, old: bytes | None, raw: bytes | None) -> None:  # noqa: ARG002 - as the others
        if raw is None:
            self.rows.pop(key, None)
            self.gone.add(key)
        else:
            self.rows[key] = raw
            self.gone.discard(key)

    def load_segments(self, segments: dict[int, int]) -> None:
        """Fill an empty table from its files. Raises LogDamaged."""
        self.files.segments = segments
        self.files.newest = max(segments, default=0)
        latest: dict[str, Values] = {}
        for number in sorted(segments):
            self.files.check_length(number)
            self.documents[number] = self.dead[number] = 0
            for key, offset, values in self._entries(number):
                self.move(key, None if offset is None else place_of(number, offset))
                if offset is None:
                    latest.pop(key, None)
                else:
                    latest[key] = values
        self.fill_indexes(latest, latest.values())

    def _entries(self, number: int) -> Iterator[Entry]:
        found = read_index(self.files.index(number), self.files.segments[number], self.fields)
        if found is not None:
            return iter(found)
        self.unindexed.add(number)
        return read_segment(self.files, number, self.values)

    def move(self, key: str, place: int | None) -> None:
        """The document of a key is at another place now, or deleted (None)."""
        old = self.places.get(key)
        if old is not None:
            self.dead[number_of(old)] += 1
        if place is None:
            self.places.pop(key, None)
        else:
            self.places[key] = place
            number = number_of(place)
            self.documents[number] = self.documents.get(number, 0) + 1
            self.dead.setdefault(number, 0)

    def settle(self, key: str, raw: bytes | None, place: int | None) -> None:
        """A checkpoint has put this change into the files. What changed again meanwhile stays in memory."""
        self.move(key, place)
        if raw is None:
            self.gone.discard(key)
        elif self.rows.get(key) is raw:
            del self.rows[key]

    def settle_segments(self, segments: dict[int, int]) -> None:
        """These files are in force now."""
        for number in self.files.segments.keys() - segments.keys():
            del self.documents[number], self.dead[number]
        for number in segments:
            self.documents.setdefault(number, 0)
            self.dead.setdefault(number, 0)
        self.unindexed = (self.unindexed | (segments.keys() - self.files.segments.keys())) & segments.keys()
        self.files.segments = segments
        self.files.sealed = False
