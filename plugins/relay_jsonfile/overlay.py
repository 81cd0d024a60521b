"""An open transaction: the view plus its own writes, which nobody else sees until they are applied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from relay.api import AlreadyExists, Document

from .stream import Stream
from .table import Table, Values
from .view import Loaded, View, Write

_encode = msgspec.json.Encoder().encode


class Overlay(View):
    def __init__(
        self, tables: Mapping[str, Table], streams: Mapping[str, Stream], loaded: Loaded, *, last_try: bool
    ) -> None:
        super().__init__(tables, streams, loaded, last_try=last_try)
        self.writes: dict[str, dict[str, Write]] = {}
        self.appends: dict[tuple[str, str], list[bytes]] = {}
        self._kinds: dict[tuple[str, str], type] = {}

    def put(self, coll: str, key: str, doc: Document) -> None:
        table = self._table(coll)
        if table.strict:
            table.check(key, doc)
        if table.places:
            self.committed(table, key)  # its old values must be known to leave the indexes
        raw = _encode(doc)
        operation = b'["put",%b,%b,%b]' % (table.name, _encode(key), raw)
        values: Values = ()
        if table.fields:
            values = table.values(raw)
            if tuple(map(type, values)) not in table.known_kinds:
                self._check_kinds(table, values)
        own = self.writes.get(coll)
        if own is None:
            own = self.writes[coll] = {}
        own[key] = (raw, values, operation)

    def insert(self, coll: str, key: str, doc: Document) -> None:
        if self._raw(self._table(coll), key) is not None:
            raise AlreadyExists(f"{coll}: {key!r} is taken")
        self.put(coll, key, doc)

    def delete(self, coll: str, key: str) -> None:
        table = self._table(coll)
        if table.places:
            self.committed(table, key)
        operation = b'["delete",%b,%b]' % (table.name, _encode(key))
        self.writes.setdefault(coll, {})[key] = (None, (), operation)

    def append(self, stream: str, partition: str, doc: Document) -> int:
        target = self._stream(stream)
        _encode(partition)
        raw = _encode(doc)
        own = self.appends.setdefault((stream, partition), [])
        own.append(raw)
        return target.last(partition) + len(own)

    def partitions(self, stream: str) -> list[str]:
        own = {partition for name, partition in self.appends if name == stream}
        return list(own.union(super().partitions(stream)))

    def _newest_first(
        self, stream: Stream, partition: str, before: int | None, limit: int
    ) -> Iterator[tuple[int, bytes | msgspec.Raw]]:
        own = self.appends.get((stream.name, partition), [])
        last = stream.last(partition)
        for place in range(len(own), 0, -1):
            yield last + place, own[place - 1]
        yield from super()._newest_first(stream, partition, before, limit)

    def _own(self, coll: str) -> Mapping[str, Write]:
        return self.writes.get(coll) or super()._own(coll)

    def _raw(self, table: Table, key: str) -> bytes | None:
        own = self.writes.get(table.spec.name)
        return own[key][0] if own and key in own else self.committed(table, key)

    def _check_kinds(self, table: Table, values: Values) -> None:
        """All values of one index are ints, or all are text: a mixture has no order."""
        for field, value in zip(table.fields, values, strict=True):
            if value is None:
                continue
            known = self._kinds.setdefault((table.spec.name, field), table.kinds.get(field, type(value)))
            if known is not type(value):
                kind = type(value).__name__
                raise TypeError(f"collection {table.spec.name}: {field} holds {known.__name__} values, got {kind}")
        if all(value is None or field in table.kinds for field, value in zip(table.fields, values, strict=True)):
            table.known_kinds.add(tuple(map(type, values)))
