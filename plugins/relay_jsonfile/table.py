"""One collection in memory: encoded documents by key, and its sorted indexes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from sortedcontainers import SortedList

from relay.api import Collection, Document, IndexValue

from .index import Index

Values = tuple[IndexValue | None, ...]
KEY_BYTES = 200


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A collection at one moment: documents, keys in order, and the keys changed since the last snapshot."""

    spec: Collection
    rows: dict[str, bytes]
    keys: list[str]
    changed: set[str]


class Table:
    """Rows of one collection. Not thread-safe: the caller holds the storage's lock."""

    def __init__(self, spec: Collection) -> None:
        self.spec = spec
        self.name = msgspec.json.encode(spec.name)
        self.fields = tuple(dict.fromkeys(spec.indexes + spec.blobs))
        self.rows: dict[str, bytes] = {}
        self.keys = Index()
        self.indexes = {field: Index() for field in self.fields}
        self.strict = spec.layout != "rows"
        self.known_kinds: set[tuple[type, ...]] = set()
        """Combinations of types that were looked at once and fit."""
        self.kinds: dict[str, type] = {}
        """The type of each index's values: all of one are ints or all are text, so that they sort."""
        self.changed: set[str] = set()
        self.stale = False
        """The file must be written again though no row changed since the start."""
        self._nothing: Values = (None,) * len(self.fields)
        # Decoding into a Struct of the indexed fields alone skips everything else in the document.
        names = [(f"f{number}", str | int | None, None) for number, _ in enumerate(self.fields)]
        probe = msgspec.defstruct(
            "Probe", names, rename={f"f{n}": field for n, field in enumerate(self.fields)}, gc=False
        )
        self._probe = msgspec.json.Decoder(probe)

    def values(self, raw: bytes) -> Values:
        """The indexed fields of a document. Raises TypeError for one that is neither text, int nor null."""
        try:
            return msgspec.structs.astuple(self._probe.decode(raw))
        except msgspec.DecodeError as exc:
            raise TypeError(f"collection {self.spec.name}: {exc}. An indexed field is text, an int or null") from None

    def load(self, rows: dict[str, bytes]) -> None:
        """Fill an empty table. Raises TypeError for a document that cannot be indexed."""
        values = [self.values(raw) for raw in rows.values()]
        self.rows = rows
        self.keys = Index(rows)
        for number, field in enumerate(self.fields):
            entries = [(row[number], key) for key, row in zip(rows, values, strict=True) if row[number] is not None]
            self.indexes[field] = Index(entries)
            if entries:
                self.kinds[field] = type(entries[0][0])

    def set(self, key: str, raw: bytes | None, after: Values | None = None) -> None:
        """Put a document, or delete it (None). Indexes are touched only where the value changed.

        `after`: the document's indexed values, where they are known already.
        """
        old = self.rows.get(key)
        if self.fields:
            before = self._nothing if old is None else self.values(old)
            if raw is None:
                after = self._nothing
            elif after is None:
                after = self.values(raw)
            if before != after:
                self._reindex(key, before, after)
        self.changed.add(key)
        if raw is None:
            if old is not None:
                del self.rows[key]
                self.keys.change(key, key, None)
            return
        self.rows[key] = raw
        if old is None:
            self.keys.change(key, None, key)

    def _reindex(self, key: str, before: Values, after: Values) -> None:
        for field, was, now in zip(self.fields, before, after, strict=True):
            if was != now:
                if now is not None:
                    self.kinds.setdefault(field, type(now))
                old = None if was is None else (was, key)
                self.indexes[field].change(key, old, None if now is None else (now, key))

    def span(
        self, index: str | None, from_: IndexValue | None, to: IndexValue | None
    ) -> tuple[SortedList[Any], int, int]:
        """The sorted list of an index (None: of the keys), and the positions the bounds cut out of it."""
        entries = self.entries(index)
        start, stop = 0, len(entries)
        if from_ is not None:
            start = entries.bisect_left(from_ if index is None else (from_,))
        if to is not None:
            stop = entries.bisect_right(to) if index is None else entries.bisect_left((_following(to),))
        return entries, start, max(start, stop)

    def entries(self, index: str | None) -> SortedList[Any]:
        if index is None:
            return self.keys.sorted()
        if index not in self.indexes:
            raise KeyError(f"collection {self.spec.name} has no index {index!r}")
        return self.indexes[index].sorted()

    def check(self, key: str, doc: Document) -> None:
        """Raises ValueError for a key or a document that the collection's files cannot hold."""
        if self.spec.layout == "files":
            check_file_key(key)
        elif self.spec.layout == "keys" and (not isinstance(doc, dict) or doc.keys() != {"value"}):
            raise ValueError(f'collection {self.spec.name} holds documents of the form {{"value": …}} only')

    def snapshot(self) -> Snapshot:
        """A shallow copy for a checkpoint; the set of changed keys starts anew."""
        changed, self.changed = self.changed, set()
        return Snapshot(self.spec, self.rows.copy(), list(self.keys.sorted()), changed)


def _following(value: IndexValue) -> IndexValue:
    """The smallest value greater than `value`."""
    return value + 1 if isinstance(value, int) else value + "\0"


def check_file_key(key: str) -> None:
    """Raises ValueError for a key that is not safe as a file name."""
    if not key or key.startswith(".") or "/" in key or "\0" in key or len(key.encode()) > KEY_BYTES:
        raise ValueError(f"{key[:KEY_BYTES]!r} cannot name a file: no '/', no leading dot, at most {KEY_BYTES} bytes")


def page(entries: SortedList[Any], start: int, stop: int, *, reverse: bool, offset: int, limit: int) -> Iterator[Any]:
    """One page out of a span, found by position: the offset costs nothing."""
    if reverse:
        stop = max(start, stop - offset)
        start = max(start, stop - limit)
    else:
        start = min(stop, start + offset)
        stop = min(stop, start + limit)
    return iter(entries.islice(start, stop, reverse=reverse))
