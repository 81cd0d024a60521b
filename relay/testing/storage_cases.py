"""What the parts of the storage suite share: collections, and small transactions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from relay.api import Collection, ReadTx, Storage, Tx

COLLECTIONS = (
    Collection("things", indexes=("rank", "name"), blobs=("body",)),
    Collection("seen", indexes=("value",), layout="keys"),
    Collection("notes", layout="files"),
    Collection("records", indexes=("at", "who"), blobs=("body",), layout="log"),
)
STREAMS = ("log", "other-log")
JOIN_SECONDS = 60.0
Faults = Callable[[], AbstractContextManager[None]]


class Reopen(Protocol):
    def __call__(self, *, crash: bool = False) -> Storage: ...


def put(storage: Storage, key: str, **doc: Any) -> None:
    storage.transact(lambda tx: tx.put("things", key, doc))


def get(storage: Storage, key: str) -> dict[str, Any] | None:
    return storage.read(lambda tx: tx.get("things", key))


def everything(tx: ReadTx) -> dict[str, Any]:
    """All of the suite's data, to compare before and after."""
    found: dict[str, Any] = {spec.name: tx.scan(spec.name, limit=10_000) for spec in COLLECTIONS}
    for stream in STREAMS:
        found[stream] = {name: tx.read(stream, name, limit=10_000) for name in sorted(tx.partitions(stream))}
    return found


def fill(storage: Storage) -> dict[str, Any]:
    """A bit of everything; returns what is there then."""

    def write(tx: Tx) -> None:
        for number in range(5):
            tx.put("things", f"t{number}", {"rank": number, "name": f"n{number}", "text": 'ü "quoted"\n'})
        tx.delete("things", "t4")
        tx.put("seen", "event-1", {"value": "2026-01-01T00:00:00Z"})
        tx.put("notes", "note-1", {"lines": ["a", {"b": None}], "price": 1.5})
        for number in range(3):
            tx.put("records", f"r{number}", {"at": number, "who": "ann", "text": "ü\n"})
        tx.delete("records", "r2")
        for number in range(3):
            tx.append("log", "a", {"number": number})
        tx.append("other-log", "a", {"number": 9})

    storage.transact(write)
    return storage.read(everything)


def lives(storage: Storage, reopen: Reopen) -> Iterator[Storage]:
    """The storage as it is, then after a crash, then after a clean close."""
    yield storage
    yield reopen(crash=True)
    yield reopen()


def race(work: Callable[[int], None], threads: int = 8) -> list[BaseException]:
    """Run `work(number)` in threads that start together; returns what they raised."""
    raised: list[BaseException] = []
    start = threading.Barrier(threads)

    def run(number: int) -> None:
        start.wait(JOIN_SECONDS)
        try:
            work(number)
        except Exception as exc:  # noqa: BLE001 - the test judges it
            raised.append(exc)

    running = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(JOIN_SECONDS)
        assert not thread.is_alive(), "a transaction did not come back"
    return raised
