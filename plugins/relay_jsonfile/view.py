"""A consistent view of the storage: what a read transaction can do. The caller holds the lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from heapq import merge
from itertools import islice
from typing import Any

import msgspec

from relay.api import Doc, IndexValue

from .log import LogTable
from .log_files import Documents
from .query import Query, find, matching, size
from .stream import Pointer, Record, Stream
from .table import Table, Values, page

Write = tuple[bytes | None, Values, bytes]
"""A document as the transaction leaves it (None: deleted), its indexed values, and the journal's operation."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode


@cache
def decoder(kind: type) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(kind).decode


_NOTHING: Mapping[str, Write] = {}


class Loaded:
    """What was read from disk for one transaction."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, Pointer], Record] = {}
        self.documents: Documents = {}


class NotInMemory(BaseException):
    """Something must be read from disk: call `load` without the lock, then run the transaction again.

    Not an Exception, so that a transaction's own `except Exception` does not swallow it.
    """

    def __init__(self, load: Callable[[Loaded], None]) -> None:
        super().__init__()
        self.load = load


class View:
    """`loaded`: what was read from disk for this transaction. `last_try`: read at once rather than run again."""

    def __init__(
        self, tables: Mapping[str, Table], streams: Mapping[str, Stream], loaded: Loaded, *, last_try: bool
    ) -> None:
        self._tables = tables
        self._streams = streams
        self._loaded = loaded
        self._last_try = last_try

    def get(self, coll: str, key: str, kind: type | None = None) -> Any:
        raw = self._raw(self._table(coll), key)
        if raw is None:
            return None
        return _decode(raw) if kind is None else decoder(kind)(raw)

    def scan(
        self,
        coll: str,
        index: str | None = None,
        from_: IndexValue | None = None,
        to: IndexValue | None = None,
        *,
        limit: int,
        offset: int = 0,
        reverse: bool = False,
        contains: str | None = None,
        prefix: str | None = None,
        where: Mapping[str, IndexValue] | None = None,
    ) -> list[tuple[str, Doc]]:
        if limit < 0 or offset < 0:
            raise ValueError(f"limit and offset must not be negative: limit={limit}, offset={offset}")
        table = self._table(coll)
        query = Query(index, from_, to, contains or "", prefix or "", where or {})
        own = self._own(coll)
        if not own and not query.filtered:
            entries, start, stop = table.span(index, from_, to)
            found = page(entries, start, stop, reverse=reverse, offset=offset, limit=limit)
            return self._rows(table, query.keys(found))
        found = find(table, query, self._load_all, reverse=reverse)
        if own:
            committed = (entry for entry in found if query.key(entry) not in own)
            mine = sorted(_own_entries(table, own, query), reverse=reverse)
            found = merge(committed, mine, reverse=reverse)
        return self._rows(table, query.keys(islice(found, offset, offset + limit)))

    def count(
        self,
        coll: str,
        index: str | None = None,
        from_: IndexValue | None = None,
        to: IndexValue | None = None,
        *,
        contains: str | None = None,
        prefix: str | None = None,
        where: Mapping[str, IndexValue] | None = None,
        cap: int | None = None,
    ) -> int:
        table = self._table(coll)
        query = Query(index, from_, to, contains or "", prefix or "", where or {})
        own = self._own(coll)
        known = size(table, query)
        mine = sum(1 for _ in _own_entries(table, own, query))
        if known is not None:
            total = known + mine - sum(self._was_found(table, query, key) for key in own)
            return total if cap is None else min(total, cap)
        found = matching(table, query, self._load_all)
        committed = (entry for entry in found if query.key(entry) not in own)
        if cap is None:
            return mine + sum(1 for _ in committed)
        return min(cap, mine + sum(1 for _ in islice(committed, cap)))

    def read(self, stream: str, partition: str, *, before: int | None = None, limit: int) -> list[tuple[int, Doc]]:
        if limit < 0:
            raise ValueError(f"limit must not be negative: {limit}")
        entries = self._newest_first(self._stream(stream), partition, before, limit)
        wanted = (entry for entry in entries if before is None or entry[0] < before)
        return [(n, _decode(raw)) for n, raw in islice(wanted, limit)]

    def partitions(self, stream: str) -> list[str]:
        return list(self._stream(stream).partitions())

    def committed(self, table: Table, key: str) -> bytes | None:
        """A document as it was before this transaction."""
        raw = table.rows.get(key)
        if raw is None and table.places and (place := table.cold(key)) is not None:
            found = self._load_all(table, [key])
            return found[key, place]
        return raw

    def _was_found(self, table: Table, query: Query, key: str) -> bool:
        """Whether the query finds a committed document, which the transaction's own may hide now."""
        raw = self.committed(table, key)
        return raw is not None and query.matches(key, dict(zip(table.fields, table.values(raw), strict=True)))

    def _newest_first(
        self, stream: Stream, partition: str, before: int | None, limit: int
    ) -> Iterator[tuple[int, bytes | msgspec.Raw]]:
        yield from reversed(stream.tails.get(partition, ()))
        head = stream.heads.get(partition)
        pointer = head[1:] if head else None
        while pointer:
            record = stream.recent.get(pointer) or self._loaded.records.get((stream.name, pointer))
            if record is None:
                self._load(partial(_load_chain, stream, pointer, before, limit))
                record = self._loaded.records[stream.name, pointer]
            yield record.n, record.doc
            pointer = record.prev

    def _own(self, coll: str) -> Mapping[str, Write]:  # noqa: ARG002 - for the overlay
        """What this transaction has written to a collection."""
        return _NOTHING

    def _raw(self, table: Table, key: str) -> bytes | None:
        return self.committed(table, key)

    def _rows(self, table: Table, keys: Iterable[str]) -> list[tuple[str, Doc]]:
        found = list(keys)
        if table.places:
            self._load_all(table, found)
        rows = []
        for key in found:
            raw = self._raw(table, key)
            assert raw is not None
            rows.append((key, _decode(raw)))
        return rows

    def _load_all(self, table: Table, keys: Iterable[str]) -> Documents:
        """Have all these documents read that are not in memory, at once."""
        documents = self._loaded.documents
        wanted = [(key, place) for key in keys if (place := table.cold(key)) is not None]
        missing = [where for where in wanted if where not in documents]
        if missing:
            assert isinstance(table, LogTable)
            self._load(partial(_load_documents, table, missing, moving=not self._last_try))
        return documents

    def _load(self, load: Callable[[Loaded], None]) -> None:
        if not self._last_try:
            raise NotInMemory(load)
        load(self._loaded)

    def _table(self, coll: str) -> Table:
        if coll not in self._tables:
            raise KeyError(f"there is no collection {coll!r}")
        return self._tables[coll]

    def _stream(self, stream: str) -> Stream:
        if stream not in self._streams:
            raise KeyError(f"there is no stream {stream!r}")
        return self._streams[stream]


def _load_chain(stream: Stream, start: Pointer, before: int | None, limit: int, loaded: Loaded) -> None:
    """Records of one partition, newest first. Segments are append-only, so they stay true."""
    wanted = limit
    for pointer, record in stream.chain(start):
        loaded.records[stream.name, pointer] = record
        if before is None or record.n < before:
            wanted -= 1
        if wanted <= 0:
            return


def _load_documents(table: LogTable, wanted: list[tuple[str, int]], loaded: Loaded, *, moving: bool) -> None:
    loaded.documents |= table.files.read(wanted, moving=moving)


def _own_entries(table: Table, own: Mapping[str, Write], query: Query) -> Iterator[Any]:
    """The transaction's own documents that the query finds, as index entries."""
    for key, (raw, values, _) in own.items():
        if raw is not None and query.matches(key, dict(zip(table.fields, values, strict=True))):
            yield key if query.index is None else (values[table.fields.index(query.index)], key)
