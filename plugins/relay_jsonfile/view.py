"""A consistent view of the storage: what a read transaction can do. The caller holds the lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from heapq import merge
from itertools import chain, islice
from typing import Any

import msgspec

from relay.api import Doc, IndexValue

from .stream import Pointer, Record, Stream
from .table import Table, Values, page

Write = tuple[bytes | None, Values, bytes]
"""A document as the transaction leaves it (None: deleted), its indexed values, and the journal's operation."""
Loaded = dict[tuple[str, Pointer], Record]

_decode = msgspec.json.Decoder(dict[str, Any]).decode


@cache
def decoder(kind: type) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(kind).decode


_NOTHING: Mapping[str, Write] = {}


class NotInMemory(BaseException):
    """A read needs records from disk: load them without the lock, then run the transaction again.

    Not an Exception, so that a transaction's own `except Exception` does not swallow it.
    """

    def __init__(self, stream: Stream, start: Pointer, before: int | None, limit: int) -> None:
        super().__init__(stream.name)
        self._stream, self._start, self._before, self._limit = stream, start, before, limit

    def load(self, loaded: Loaded) -> None:
        """Read the records that were asked for. Segments are append-only, so they stay true."""
        wanted = self._limit
        for pointer, record in self._stream.chain(self._start):
            loaded[self._stream.name, pointer] = record
            if self._before is None or record.n < self._before:
                wanted -= 1
            if wanted <= 0:
                return


class View:
    """`loaded`: records read from disk for this transaction. `last_try`: read them at once rather than run again."""

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
        own = self._own(coll)
        entries, start, stop = table.span(index, from_, to)
        found: Iterator[Any]
        filtered = contains or prefix or where
        if not own and not filtered:
            found = page(entries, start, stop, reverse=reverse, offset=offset, limit=limit)
            return [self._row(table, key) for key in _keys(found, index)]
        found = entries.islice(start, stop, reverse=reverse)
        if own:
            committed = (entry for entry in found if (entry if index is None else entry[1]) not in own)
            mine = sorted(_own_entries(table, own, index, from_, to), reverse=reverse)
            found = merge(committed, mine, reverse=reverse)
        keys: Iterator[str] = _keys(found, index)
        if filtered:
            keys = (key for key in keys if self._matches(table, key, contains, prefix, where))
        return [self._row(table, key) for key in islice(keys, offset, offset + limit)]

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
        own = self._own(coll)
        entries, start, stop = table.span(index, from_, to)
        mine = list(_keys(_own_entries(table, own, index, from_, to), index))
        if contains or prefix or where:
            committed = (key for key in _keys(entries.islice(start, stop), index) if key not in own)
            found = (key for key in chain(mine, committed) if self._matches(table, key, contains, prefix, where))
            return sum(1 for _ in islice(found, cap))
        total = len(mine) + stop - start - sum(_covers(table, key, index, from_, to) for key in own)
        return total if cap is None else min(total, cap)

    def read(self, stream: str, partition: str, *, before: int | None = None, limit: int) -> list[tuple[int, Doc]]:
        if limit < 0:
            raise ValueError(f"limit must not be negative: {limit}")
        entries = self._newest_first(self._stream(stream), partition, before, limit)
        wanted = (entry for entry in entries if before is None or entry[0] < before)
        return [(n, _decode(raw)) for n, raw in islice(wanted, limit)]

    def partitions(self, stream: str) -> list[str]:
        return list(self._stream(stream).partitions())

    def _newest_first(
        self, stream: Stream, partition: str, before: int | None, limit: int
    ) -> Iterator[tuple[int, bytes | msgspec.Raw]]:
        yield from reversed(stream.tails.get(partition, ()))
        head = stream.heads.get(partition)
        pointer = head[1:] if head else None
        while pointer:
            record = stream.recent.get(pointer) or self._loaded.get((stream.name, pointer))
            if record is None:
                missing = NotInMemory(stream, pointer, before, limit)
                if not self._last_try:
                    raise missing
                missing.load(self._loaded)
                record = self._loaded[stream.name, pointer]
            yield record.n, record.doc
            pointer = record.prev

    def _own(self, coll: str) -> Mapping[str, Write]:  # noqa: ARG002 - for the overlay
        """What this transaction has written to a collection."""
        return _NOTHING

    def _matches(
        self,
        table: Table,
        key: str,
        contains: str | None,
        prefix: str | None,
        where: Mapping[str, IndexValue] | None,
    ) -> bool:
        if prefix and not key.startswith(prefix):
            return False
        if not _has(key, contains):
            return False
        if not where:
            return True
        raw = self._raw(table, key)
        values = dict(zip(table.fields, () if raw is None else table.values(raw), strict=True))
        return all(values[field] == value for field, value in where.items())

    def _raw(self, table: Table, key: str) -> bytes | None:
        return table.rows.get(key)

    def _row(self, table: Table, key: str) -> tuple[str, Doc]:
        raw = self._raw(table, key)
        assert raw is not None
        return key, _decode(raw)

    def _table(self, coll: str) -> Table:
        if coll not in self._tables:
            raise KeyError(f"there is no collection {coll!r}")
        return self._tables[coll]

    def _stream(self, stream: str) -> Stream:
        if stream not in self._streams:
            raise KeyError(f"there is no stream {stream!r}")
        return self._streams[stream]


def _keys(entries: Iterator[Any], index: str | None) -> Iterator[str]:
    return entries if index is None else (key for _, key in entries)


def _has(key: str, text: str | None) -> bool:
    return not text or text.casefold() in key.casefold()


def _own_entries(
    table: Table, own: Mapping[str, Write], index: str | None, from_: IndexValue | None, to: IndexValue | None
) -> Iterator[Any]:
    """The transaction's own documents inside the bounds, as index entries."""
    for key, (raw, values, _) in own.items():
        value = _value(table, key, raw, values, index)
        if _inside(value, from_, to):
            yield key if index is None else (value, key)


def _covers(table: Table, key: str, index: str | None, from_: IndexValue | None, to: IndexValue | None) -> bool:
    """Whether a committed document, now hidden by the transaction's own, was inside the bounds."""
    raw = table.rows.get(key)
    values = table.values(raw) if raw is not None else ()
    return _inside(_value(table, key, raw, values, index), from_, to)


def _value(table: Table, key: str, raw: bytes | None, values: Values, index: str | None) -> IndexValue | None:
    if raw is None:
        return None
    return key if index is None else values[table.fields.index(index)]


def _inside(value: Any, from_: Any, to: Any) -> bool:
    return value is not None and (from_ is None or value >= from_) and (to is None or value <= to)
