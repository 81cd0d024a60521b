"""The keys in use, in memory: at most so many, the longest unused goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from relay_keysat.licence import Licence
from relay_keysat.records import Record

T = TypeVar("T")
MAX_KEYS = 10_000


@dataclass(slots=True)
class Known:
    """`licence`: the key itself, once it was presented to this process; it is nowhere but in memory. `due`: when to
    ask the server again, None for at once. `retry_at`: when a question without an answer may be asked again."""

    digest: str
    record: Record
    licence: Licence | None
    due: datetime | None
    retry_at: datetime | None = None


class Recent(Generic[T]):
    def __init__(self, most: int = MAX_KEYS) -> None:
        self._most = most
        self._rows: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> T | None:
        with self._lock:
            row = self._rows.get(key)
            if row is not None:
                self._rows.move_to_end(key)
            return row

    def keep(self, key: str, row: T) -> T:
        """`row`, or what another thread put there first."""
        with self._lock:
            return self._rows.get(key) or self._put(key, row)

    def put(self, key: str, row: T) -> T:
        with self._lock:
            return self._put(key, row)

    def _put(self, key: str, row: T) -> T:
        self._rows[key] = row
        self._rows.move_to_end(key)
        if len(self._rows) > self._most:
            self._rows.popitem(last=False)
        return row
