"""The pieces of a running job, on disk as soon as they are there."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

import structlog

from relay.books import pieces
from relay.crash import crash_point
from relay.errors import RelayError
from relay.ports.storage import Storage

log = structlog.get_logger("relay.jobs")

MAX_BYTES = 16 * 2**20
"""A larger piece is remembered for this run only."""


class Pieces(MutableMapping[str, bytes]):
    """What an earlier run of the same call finished is there from the beginning.

    A piece that could not be stored is missed after a crash, which costs time and nothing else: it is logged.
    """

    def __init__(self, storage: Storage, job_id: str, call: str) -> None:
        self._storage = storage
        self._job = job_id
        self._call = call
        self._pieces = storage.read(lambda tx: pieces.of_call(tx, job_id, call))

    def __getitem__(self, name: str) -> bytes:
        return self._pieces[name]

    def __setitem__(self, name: str, piece: bytes) -> None:
        self._pieces[name] = piece
        if len(piece) > MAX_BYTES:
            log.warning("piece_not_stored", job=self._job, bytes=len(piece), note="a restart does this part again")
            return
        try:
            self._storage.transact(lambda tx: pieces.put(tx, self._job, self._call, name, piece))
        except RelayError as exc:
            log.warning("piece_not_stored", job=self._job, error=exc.message, note="a restart does this part again")
        crash_point("jobs.piece_stored")

    def __delitem__(self, name: str) -> None:
        del self._pieces[name]
        self._storage.transact(lambda tx: pieces.delete(tx, self._job, self._call, name))

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._pieces))

    def __len__(self) -> int:
        return len(self._pieces)

    def within(self, prefix: str) -> MutableMapping[str, bytes]:
        """The pieces of one part of the work, whose names cannot clash with those of another."""
        return _Within(self, prefix)


class _Within(MutableMapping[str, bytes]):
    def __init__(self, pieces: Pieces, prefix: str) -> None:
        self._all = pieces
        self._prefix = prefix

    def __getitem__(self, name: str) -> bytes:
        return self._all[self._prefix + name]

    def __setitem__(self, name: str, piece: bytes) -> None:
        self._all[self._prefix + name] = piece

    def __delitem__(self, name: str) -> None:
        del self._all[self._prefix + name]

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self._prefix) for name in self._all if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)
