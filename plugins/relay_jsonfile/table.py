"""One collection in memory: encoded documents by key, and its sorted indexes."""

from __future__ import annotations

from collections.abc import Collection as Many
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from sortedcontainers import SortedList

from relay.api import Collection, Document, IndexValue

from .index import Index
from .search import KeySearch
from .snapshot import Snapshot

Values = tuple[IndexValue | None, ...]
KEY_BYTES = 200
_NO_PLACES: Mapping[str, int] = {}


class Table:
    """Rows of one collection. Not thread-safe: the caller holds the storage's lock."""

    def __init__(self, spec: Collection) -> None:
        self.spec = spec
        self.name = msgspec.json.encode(spec.name)
        self.fields = tuple(dict.fromkeys(spec.indexes + spec.blobs))
        self.rows: dict[str, bytes] = {}
        self.places: Mapping[str, int] = _NO_PLACES
        """Where documents that are not in `rows` are on disk; only the layout `log` has any."""
        self.keys = Index()
        self.indexes = {field: Index() for field in self.fields}
        self.search: KeySearch | None = None
        self.strict = spec.layout in {"keys", "files"}
        self.known_kinds: set[tuple[type, ...]] = set()
        """Combinations of types that were looked at once and fit."""
        self.kinds: dict[str, type] = {}
        """The type of each index's values: all of one are ints or all are text, so that they sort."""
        self.changed: set[str] = set()
        self.stale = False
        """The file must be written again though no row changed since the start."""
        self.reading: Snapshot | None = None
        """The snapshot that a checkpoint reads: it is told of every row before that changes."""
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
        self.rows = rows
        self.fill_indexes(rows, [self.values(raw) for raw in rows.values()])

    def fill_indexes(self, keys: Many[str], values: Many[Values]) -> None:
        """`values`: the indexed fields of each key, in the same order."""
        self.keys = Index(keys)
        for number, field in enumerate(self.fields):
            entries = [(row[number], key) for key, row in zip(keys, values, strict=True) if row[number] is not None]
            self.indexes[field] = Index(entries)
            if entries:
                self.kinds[field] = type(entries[0][0])

    def cold(self, key: str) -> int | None:  # noqa: ARG002 - for the layout `log`
        """Where a document is, when it is not in memory."""
        return None

    def stored(self, key: str) -> bytes | None:
        """A document from wherever it is; at the start only, since it may read a file."""
        return self.rows.get(key)

    @property
    def dirty(self) -> bool:
        return self.stale or bool(self.changed)

    def set(self, key: str, old: bytes | None, raw: bytes | None, after: Values | None = None) -> None:
        """Put a document in place of `old`, or delete it (None). Indexes are touched only where a value changed.

        `after`: the document's indexed values, where they are known already.
        """
        if self.fields:
            before = self._nothing if old is None else self.values(old)
            if raw is None:
                after = self._nothing
            elif after is None:
                after = self.values(raw)
            if before != after:
                self._reindex(key, before, after)
        self._store(key, old, raw)
        if (old is None) == (raw is None):
            return
        self.keys.change(key, None if old is None else key, None if raw is None else key)
        if self.search is not None:
            self.search.forget(key)

    def _store(self, key: str, old: bytes | None, raw: bytes | None) -> None:
        if self.reading is not None:
            self.reading.remember(key, old, raw)
        self.changed.add(key)
        if raw is not None:
            self.rows[key] = raw
        elif old is not None:
            del self.rows[key]

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

    def find(self, text: str, prefix: str) -> Iterator[str]:
        """Keys that begin with `prefix` and hold `text`, letter case ignored, in order."""
        if self.search is None:
            self.search = KeySearch()
        return self.search.find(self.keys.sorted(), text, prefix)

    def check(self, key: str, doc: Document) -> None:
        """Raises ValueError for a key or a document that the collection's files cannot hold."""
        if self.spec.layout == "files":
            check_file_key(key)
        elif self.spec.layout == "keys" and (not isinstance(doc, dict) or doc.keys() != {"value"}):
            raise ValueError(f'collection {self.spec.name} holds documents of the form {{"value": …}} only')

    def snapshot(self) -> Snapshot:
        """The table as it is now, for a checkpoint; the set of changed keys starts anew."""
        changed, self.changed = self.changed, set()
        self.reading = Snapshot(self.spec, self.rows, self.keys, changed)
        return self.reading

    def release(self, *, kept: bool) -> None:
        """A checkpoint is over. Not `kept`: it failed, so that everything is still to be written."""
        if not kept and self.reading is not None:
            self.changed |= self.reading.changed
        self.stale = not kept
        self.reading = None


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
