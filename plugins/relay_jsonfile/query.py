"""Which committed rows a filtered scan finds: by way of the few that match, or along the index in its order."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sortedcontainers import SortedList

from relay.api import IndexValue

from .search import fold
from .table import Table

FEW = 10_000
"""So many matching rows are collected and sorted; with more, one in a few rows of the index is among them."""
FEW_COLD = 500
"""As many of rows that must be read from disk before it is known where they belong."""
MANY = 200_000
"""So many keys with one value are put into a set before anything is looked up."""
LOOKUP_COST = 30
"""To look one key up in an index costs as much as to put so many into a set."""


@dataclass(frozen=True, slots=True)
class Query:
    """The arguments of a scan; "" and an empty mapping stand for no filter."""

    index: str | None
    from_: IndexValue | None
    to: IndexValue | None
    contains: str
    prefix: str
    where: Mapping[str, IndexValue]

    @property
    def filtered(self) -> bool:
        return bool(self.contains or self.prefix or self.where)

    @property
    def bounded(self) -> bool:
        return self.from_ is not None or self.to is not None

    def key(self, entry: Any) -> str:
        return entry if self.index is None else entry[1]  # type: ignore[no-any-return]

    def keys(self, entries: Iterable[Any]) -> Iterator[str]:
        return iter(entries) if self.index is None else (key for _, key in entries)

    def fits(self, key: str) -> bool:
        """Whether the text of a key is what is looked for."""
        return key.startswith(self.prefix) and (not self.contains or fold(self.contains) in fold(key))

    def covers(self, value: Any) -> bool:
        """Whether a value of the index (None: no value) is inside the bounds."""
        if value is None:
            return False
        return (self.from_ is None or value >= self.from_) and (self.to is None or value <= self.to)

    def matches(self, key: str, values: Mapping[str, IndexValue | None]) -> bool:
        """Whether a document with these indexed values is found."""
        if not self.covers(key if self.index is None else values[self.index]) or not self.fits(key):
            return False
        return all(values[field] == value for field, value in self.where.items())


Load = Callable[[Table, Iterable[str]], Mapping[tuple[str, int], bytes]]
"""Brings documents from disk, by key and place."""
Span = tuple[SortedList[Any], int, int]


def size(table: Table, query: Query) -> int | None:
    """How many rows match, where two positions in one index tell it; else None."""
    if not query.filtered:
        _, start, stop = table.span(query.index, query.from_, query.to)
        return stop - start
    spans = _spans(table, query)
    if query.contains or len(spans) > 1 or query.index is not None or query.bounded:
        return None
    return _length(spans[0])


def find(table: Table, query: Query, load: Load, *, reverse: bool) -> Iterator[Any]:
    """Index entries (keys, without an index) of the rows that match, in order."""
    spans = _spans(table, query)
    entries, start, stop = table.span(query.index, query.from_, query.to)
    if query.index is None and query.prefix:
        _, first, last = _prefix_span(table, query.prefix)
        start, stop = max(start, first), min(stop, last)
    few = _few(table, query, spans, stop - start)
    if few is not None:
        return iter(sorted(_entries(table, query, few, load), reverse=reverse))
    return _passing(table, query, entries.islice(start, max(start, stop), reverse=reverse), bare=query.index is None)


def matching(table: Table, query: Query, load: Load) -> Iterator[Any]:
    """As `find`, in any order: what is cheapest to count."""
    if query.index is not None or query.bounded:
        return find(table, query, load, reverse=False)
    few = _few(table, query, _spans(table, query), len(table.entries(None)))
    if few is not None:
        return iter(few)
    spans = _spans(table, query)
    if query.contains and not query.where:
        keys = table.find(query.contains, query.prefix)
    elif spans:
        entries, start, stop = min(spans, key=_length)
        keys = (entry if isinstance(entry, str) else entry[1] for entry in entries.islice(start, stop))
    else:
        keys = iter(table.entries(None))
    return _passing(table, query, keys, bare=True)


def _spans(table: Table, query: Query) -> list[Span]:
    """Where rows lie that match one of the filters, except `contains`."""
    spans: list[Span] = [table.span(field, value, value) for field, value in query.where.items()]
    return [*spans, _prefix_span(table, query.prefix)] if query.prefix else spans


def _prefix_span(table: Table, prefix: str) -> Span:
    keys, start, stop = table.span(None, prefix, None)
    stem = prefix.rstrip(chr(sys.maxunicode))
    if stem:
        stop = keys.bisect_left(stem[:-1] + chr(ord(stem[-1]) + 1))
    return keys, start, stop


def _length(span: Span) -> int:
    _, start, stop = span
    return stop - start


def _few(table: Table, query: Query, spans: list[Span], walk: int) -> list[str] | None:
    """All keys that match, bounds aside, when they are few; None when to walk the index is cheaper."""
    limit = FEW_COLD if table.places and query.index is not None else FEW
    if walk <= limit or not query.filtered:
        return None
    smallest = min(spans, key=_length, default=None)
    if smallest is not None and _length(smallest) <= limit:
        entries, start, stop = smallest
        keys = [entry if isinstance(entry, str) else entry[1] for entry in entries.islice(start, stop)]
    elif query.contains:
        keys = list(islice(table.find(query.contains, query.prefix), limit + 1))
        if len(keys) > limit:
            return None
    else:
        return None
    return list(_passing(table, query, keys, bare=True))


def _entries(table: Table, query: Query, keys: list[str], load: Load) -> Iterator[Any]:
    """The index entries of these rows, as far as they are inside the bounds."""
    if query.index is None:
        yield from (key for key in keys if query.covers(key))
        return
    number = table.fields.index(query.index)
    documents = load(table, keys) if table.places else {}
    for key in keys:
        raw = table.rows.get(key)
        if raw is None:
            raw = documents[key, table.cold(key) or 0]
        value = table.values(raw)[number]
        if query.covers(value):
            yield value, key


def _tests(table: Table, query: Query) -> list[Callable[[str], bool]]:
    """What a key must pass; the cheap tests first."""
    tests: list[Callable[[str], bool]] = [_having(table, field, value) for field, value in query.where.items()]
    if query.prefix:
        tests.append(lambda key: key.startswith(query.prefix))
    if query.contains:
        needle = fold(query.contains)
        tests.append(lambda key: needle in fold(key))
    return tests


def _passing(table: Table, query: Query, entries: Iterable[Any], *, bare: bool) -> Iterator[Any]:
    """The entries (keys, when `bare`) that pass all tests."""
    for test in _tests(table, query):
        entries = _kept(entries, test, bare=bare)
    return iter(entries)


def _kept(entries: Iterable[Any], test: Callable[[str], bool], *, bare: bool) -> Iterator[Any]:
    return filter(test, entries) if bare else (entry for entry in entries if test(entry[1]))


def _having(table: Table, field: str, value: IndexValue) -> Callable[[str], bool]:
    """Whether a key has this value in an indexed field."""
    entries, start, stop = span = table.span(field, value, value)
    if stop - start > MANY:
        return Having(span, value)
    return {key for _, key in entries.islice(start, stop)}.__contains__


class Having:
    """For a value that very many have: looked up, until a set of all that do would have cost as much."""

    def __init__(self, span: Span, value: IndexValue) -> None:
        self._span = span
        self._value = value
        self._left = _length(span) // LOOKUP_COST
        self._keys: set[str] | None = None

    def __call__(self, key: str) -> bool:
        if self._keys is not None:
            return key in self._keys
        entries, start, stop = self._span
        if self._left:
            self._left -= 1
            return (self._value, key) in entries
        self._keys = {key for _, key in entries.islice(start, stop)}
        return key in self._keys
