"""A storage that keeps everything in memory: the simplest correct one, for tests of everything else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from uuid import uuid4

import msgspec

from relay.api import AlreadyExists, Collection, Doc, Document, IndexValue, ReadTx, StorageUnavailable, Tx

T = TypeVar("T")
OPTIMISTIC_TRIES = 50


@dataclass
class MemoryDisk:
    """What outlives a MemoryStorage: hand the same one to the next, and it goes on from there.

    `failure`: while set, every commit raises it and nothing of the commit happens.
    """

    rows: dict[str, dict[str, bytes]] = field(default_factory=dict)
    streams: dict[str, dict[str, tuple[bytes, ...]]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    version: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    failure: Exception | None = None


class MemoryTx:
    """A transaction on a copy of everything."""

    def __init__(self, disk: MemoryDisk, collections: Mapping[str, Collection]) -> None:
        self.version = disk.version
        self.rows = {name: dict(rows) for name, rows in disk.rows.items()}
        self.streams = {name: dict(partitions) for name, partitions in disk.streams.items()}
        self.changed = False
        self._collections = collections

    def get(self, coll: str, key: str, kind: Any = Doc) -> Any:
        raw = self.rows[coll].get(key)
        return None if raw is None else msgspec.json.decode(raw, type=kind)

    def _find(
        self,
        coll: str,
        index: str | None,
        from_: IndexValue | None,
        to: IndexValue | None,
        filters: tuple[str | None, str | None, Mapping[str, IndexValue] | None],
    ) -> list[tuple[Any, str]]:
        """(index value or key, key) of every matching row, in order."""
        spec = self._collections[coll]
        contains, prefix, where = filters
        for name in (*([] if index is None else [index]), *(where or {})):
            if name not in spec.indexes + spec.blobs:
                raise KeyError(f"collection {coll} has no index {name!r}")
        found = []
        for key, raw in self.rows[coll].items():
            doc = msgspec.json.decode(raw)
            value: Any = key if index is None else doc.get(index)
            if value is None or (from_ is not None and value < from_) or (to is not None and value > to):
                continue
            if any(doc.get(name) != wanted for name, wanted in (where or {}).items()):
                continue
            if key.startswith(prefix or "") and (contains or "").casefold() in key.casefold():
                found.append((value, key))
        return sorted(found)

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
        found = self._find(coll, index, from_, to, (contains, prefix, where))
        keys = [key for _, key in (reversed(found) if reverse else found)]
        return [(key, msgspec.json.decode(self.rows[coll][key])) for key in keys[offset : offset + limit]]

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
        found = len(self._find(coll, index, from_, to, (contains, prefix, where)))
        return found if cap is None else min(found, cap)

    def read(self, stream: str, partition: str, *, before: int | None = None, limit: int) -> list[tuple[int, Doc]]:
        if limit < 0:
            raise ValueError(f"limit must not be negative: {limit}")
        entries = self.streams[stream].get(partition, ())
        numbers = (n for n in range(len(entries), 0, -1) if before is None or n < before)
        return [(n, msgspec.json.decode(entries[n - 1])) for n in islice(numbers, limit)]

    def partitions(self, stream: str) -> list[str]:
        return list(self.streams[stream])

    def put(self, coll: str, key: str, doc: Document) -> None:
        spec = self._collections[coll]
        raw = msgspec.json.encode(doc)
        stored = msgspec.json.decode(raw)
        for name in spec.indexes + spec.blobs:
            value = stored.get(name)
            if isinstance(value, bool) or not isinstance(value, str | int | None):
                raise TypeError(f"collection {coll}: {name} must be text, an int or null")
        self.rows[coll][key] = raw
        self.changed = True

    def insert(self, coll: str, key: str, doc: Document) -> None:
        if key in self.rows[coll]:
            raise AlreadyExists(f"{coll}: {key!r} is taken")
        self.put(coll, key, doc)

    def delete(self, coll: str, key: str) -> None:
        self.rows[coll].pop(key, None)
        self.changed = True

    def append(self, stream: str, partition: str, doc: Document) -> int:
        entries = (
            *self.streams[stream].get(partition, ()),
            msgspec.json.encode(doc),
        )
        self.streams[stream][partition] = entries
        self.changed = True
        return len(entries)


class MemoryStorage:
    """Optimistic: `fn` runs on a copy, without a lock, and again when somebody else committed meanwhile.

    `run_twice`: run every writing `fn` twice, to find one that does more than tx calls.
    """

    name = "memory"

    def __init__(self, disk: MemoryDisk | None = None, *, run_twice: bool = False) -> None:
        self.disk = disk or MemoryDisk()
        self._run_twice = run_twice
        self._collections: dict[str, Collection] = {}
        self._closed = False

    def open(self, data_dir: Path, collections: Sequence[Collection], streams: Sequence[str]) -> None:  # noqa: ARG002
        self._collections = {spec.name: spec for spec in collections}
        for spec in collections:
            self.disk.rows.setdefault(spec.name, {})
        for name in streams:
            self.disk.streams.setdefault(name, {})

    def _begin(self) -> MemoryTx:
        if self._closed:
            raise StorageUnavailable("the storage is closed; the relay is stopping")
        with self.disk.lock:
            return MemoryTx(self.disk, self._collections)

    def transact(self, fn: Callable[[Tx], T]) -> T:
        if self._run_twice:
            fn(self._begin())
        for _ in range(OPTIMISTIC_TRIES):
            tx = self._begin()
            result = fn(tx)
            if self._commit(tx):
                return result
        with self.disk.lock:  # the unlucky one keeps everybody else out
            tx = self._begin()
            result = fn(tx)
            self._commit(tx)
            return result

    def submit(self, fn: Callable[[Tx], T]) -> tuple[T, Callable[[], None]]:
        return self.transact(fn), lambda: None

    def _commit(self, tx: MemoryTx) -> bool:
        """False when the copy is out of date."""
        with self.disk.lock:
            if tx.version != self.disk.version:
                return False
            if tx.changed:
                if self.disk.failure is not None:
                    raise self.disk.failure
                self.disk.rows, self.disk.streams = tx.rows, tx.streams
                self.disk.version += 1
            return True

    def read(self, fn: Callable[[ReadTx], T]) -> T:
        return fn(self._begin())

    def put_blob(self, file: BinaryIO) -> str:
        with self.disk.lock:
            if self.disk.failure is not None:
                raise self.disk.failure
            ref = uuid4().hex
            self.disk.blobs[ref] = file.read()
            return ref

    def open_blob(self, ref: str) -> BinaryIO:
        return BytesIO(self.disk.blobs[ref])

    def delete_blob(self, ref: str) -> None:
        with self.disk.lock:
            self.disk.blobs.pop(ref, None)

    def sweep_blobs(self, older_than_seconds: float) -> int:
        """Blobs have no age here: any positive one spares them all."""
        if older_than_seconds > 0:
            return 0
        with self.disk.lock:
            tx = self._begin()
            fields = [(spec.name, name) for spec in self._collections.values() for name in spec.blobs]
            orphans = [
                ref for ref in self.disk.blobs if not any(tx.count(coll, name, ref, ref) for coll, name in fields)
            ]
            for ref in orphans:
                del self.disk.blobs[ref]
            return len(orphans)

    def outside_changes(self) -> Mapping[str, str]:
        return {}

    def check(self) -> None:
        if self.disk.failure is not None:
            raise self.disk.failure
        self._begin()

    def close(self) -> None:
        self._closed = True
