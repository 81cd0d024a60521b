"""Finished pieces of a run, on disk before the run goes on: a restart does none of them again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from relay.books import meetings
from relay.books.meetings import LAST, PIECES
from relay.crash import crash_point
from relay.errors import NotFound
from relay.ports.storage import Storage, Tx

T = TypeVar("T")
MOST = 100_000


class Pieces:
    """Of one run of one meeting, under names. Each value is what `msgspec` makes of it."""

    def __init__(self, storage: Storage, meeting_id: str, run: str) -> None:
        self._storage = storage
        self._meeting = meeting_id
        self._begin = f"{meeting_id}/{run}/"

    def get(self, name: str, kind: type[T]) -> T | None:
        doc = self._storage.read(lambda tx: tx.get(PIECES, self._begin + name))
        return None if doc is None else msgspec.convert(doc["piece"], kind)

    def names(self) -> set[str]:
        rows = self._storage.read(lambda tx: tx.scan(PIECES, None, self._begin, self._begin + LAST, limit=MOST))
        return {key.removeprefix(self._begin) for key, _ in rows}

    def once(self, name: str, kind: type[T], make: Callable[[], T]) -> T:
        """The piece as it was made before, else as it is made now. Durable when this returns."""
        kept = self.get(name, kind)
        if kept is not None:
            return kept
        made = make()
        self.put(name, made)
        return made

    def put(self, name: str, piece: Any) -> None:
        """Raises NotFound when the meeting was deleted meanwhile: nothing of it may come back."""
        doc = {"piece": msgspec.to_builtins(piece)}

        def put(tx: Tx) -> None:
            if meetings.get(tx, self._meeting) is None:
                raise NotFound("the meeting was deleted")
            tx.put(PIECES, self._begin + name, doc)

        self._storage.transact(put)
        crash_point("meetings.piece-stored")
