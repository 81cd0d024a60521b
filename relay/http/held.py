"""A body in pieces, and what it occupies until it has left or nobody wants it any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack


class HeldPieces:
    """For the WSGI server, which closes it in either case."""

    def __init__(self, pieces: Iterable[bytes], held: ExitStack) -> None:
        self._pieces = iter(pieces)
        self._held = held

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        self._held.close()
