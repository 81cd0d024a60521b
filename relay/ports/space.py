"""A plugin's private key-value space in the storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from relay.ports.storage import Doc, Document

T = TypeVar("T")


class SpaceReadTx(Protocol):
    """A consistent view of one plugin's documents."""

    def get(self, key: str) -> Doc | None: ...

    def scan(self, prefix: str, *, limit: int, after: str = "") -> list[tuple[str, Doc]]:
        """Documents whose keys begin with `prefix`, in the order of their keys, from the one behind `after`."""


class SpaceTx(SpaceReadTx, Protocol):
    def put(self, key: str, doc: Document) -> None: ...

    def insert(self, key: str, doc: Document) -> None:
        """Raises AlreadyExists when the key is taken."""

    def delete(self, key: str) -> None: ...


class Space(Protocol):
    """Transactions as in `Storage`: isolated, atomic, durable on return; `fn` may be run again and does tx calls
    only. No other plugin, and no part of the core, sees these documents."""

    def transact(self, fn: Callable[[SpaceTx], T]) -> T: ...

    def read(self, fn: Callable[[SpaceReadTx], T]) -> T: ...
