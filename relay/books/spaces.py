"""Private spaces of plugins: documents of one collection, under the plugin's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from relay.ports.space import SpaceReadTx, SpaceTx
from relay.ports.storage import Doc, Document, ReadTx, Storage, Tx

T = TypeVar("T")
COLL = "plugin-data"


class PluginSpace:
    def __init__(self, storage: Storage, plugin: str) -> None:
        self._storage = storage
        self._own = f"{plugin}/"

    def transact(self, fn: Callable[[SpaceTx], T]) -> T:
        return self._storage.transact(lambda tx: fn(_Writing(tx, self._own)))

    def read(self, fn: Callable[[SpaceReadTx], T]) -> T:
        return self._storage.read(lambda tx: fn(_Reading(tx, self._own)))


class _Reading:
    def __init__(self, tx: ReadTx, own: str) -> None:
        self._view = tx
        self._own = own

    def get(self, key: str) -> Doc | None:
        return self._view.get(COLL, self._own + key)

    def scan(self, prefix: str, *, limit: int, after: str = "") -> list[tuple[str, Doc]]:
        begin = self._own + prefix
        start = max(begin, self._own + after + "\0") if after else begin
        rows = self._view.scan(COLL, None, start, begin + "\U0010ffff", limit=limit)
        return [(key.removeprefix(self._own), doc) for key, doc in rows]


class _Writing(_Reading):
    def __init__(self, tx: Tx, own: str) -> None:
        super().__init__(tx, own)
        self._tx = tx

    def put(self, key: str, doc: Document) -> None:
        self._tx.put(COLL, self._own + key, doc)

    def insert(self, key: str, doc: Document) -> None:
        self._tx.insert(COLL, self._own + key, doc)

    def delete(self, key: str) -> None:
        self._tx.delete(COLL, self._own + key)
