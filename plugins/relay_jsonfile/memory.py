"""All the state in memory, behind one short lock: applying a commit, and taking it back."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from relay.api import Collection, StorageFull, StorageUnavailable

from .log import LogTable
from .overlay import Overlay
from .stream import Stream
from .table import Table

WAIT_SECONDS = 60.0
BACKLOG = 100_000
StorageError = StorageFull | StorageUnavailable
_encode = msgspec.json.Encoder().encode


class Commit:
    """One transaction's changes on their way to the disk, and how to take them back."""

    __slots__ = ("_done", "_error", "_gate", "appends", "ops", "undo")

    def __init__(self) -> None:
        self.ops: list[bytes] = []
        self.undo: list[tuple[Table, str, bytes | None, bytes | None]] = []
        """Table, key, document before and after."""
        self.appends: list[tuple[Stream, str, int, bytes]] = []
        self._done = False
        self._error: StorageError | None = None
        self._gate = threading.Lock()  # a wake-up of its own; an Event costs four times as much
        self._gate.acquire()

    @property
    def done(self) -> bool:
        return self._done

    def finish(self, error: StorageError | None) -> None:
        """Durable (None), or it did not happen. Wakes everyone who waits for it."""
        self._error = error
        self._done = True
        self._gate.release()

    def wait(self) -> None:
        """Return when it is durable. Raises the error of a commit that was taken back."""
        if not self._done:
            if not self._gate.acquire(timeout=WAIT_SECONDS):
                raise StorageUnavailable(
                    f"the disk has not answered for {WAIT_SECONDS:.0f} s; whether the change is kept is not known yet"
                )
            self._gate.release()
        if self._error is not None:
            raise type(self._error)(self._error.message)


class Memory:
    """`lock` guards everything here. `newest`: the last commit that may not be durable yet.

    `waiting`: the last commits, not given to the writer yet, because nobody waits for them.
    """

    def __init__(self, data_dir: Path, collections: Sequence[Collection], streams: Sequence[str]) -> None:
        self.lock = threading.Lock()
        self.tables = {spec.name: _table(spec, data_dir) for spec in collections}
        self.streams = {name: Stream(data_dir / name) for name in streams}
        self.newest: Commit | None = None
        self.waiting: list[Commit] = []
        self.failing = False
        """The last write failed: nobody is told "done" before the disk has said so."""
        self.broken: StorageUnavailable | None = None
        """Set once by a failed fsync: no more writes until a restart."""

    def apply(self, tx: Overlay) -> Commit | None:
        """Make a transaction's changes visible; None when it changes nothing."""
        commit = Commit()
        for coll, writes in tx.writes.items():
            table = self.tables[coll]
            for key, (raw, values, operation) in writes.items():
                old = tx.committed(table, key)
                if raw == old:
                    continue
                commit.ops.append(operation)
                commit.undo.append((table, key, old, raw))
                table.set(key, old, raw, values)
        for (name, partition), docs in tx.appends.items():
            stream = self.streams[name]
            head = b'["append",%b,%b' % (_encode(name), _encode(partition))
            for n, doc in enumerate(docs, start=stream.last(partition) + 1):
                stream.push(partition, n, doc)
                commit.appends.append((stream, partition, n, doc))
                commit.ops.append(b"%b,%d,%b]" % (head, n, doc))
        return commit if commit.ops else None

    def check_writable(self, *, appends: bool) -> None:
        if self.broken is not None:
            raise StorageUnavailable(self.broken.message)
        if appends and any(len(stream.backlog) > BACKLOG for stream in self.streams.values()):
            raise StorageFull("the entry files cannot be written; look at the disk of the data directory")

    def take_back(self, commits: Iterable[Commit]) -> None:
        """Undo commits, newest first: the lock is held, and none later than these exists."""
        for commit in commits:
            for table, key, old, raw in reversed(commit.undo):
                table.set(key, raw, old)
            for stream, partition, _, _ in reversed(commit.appends):
                stream.pop(partition)
        self.newest = None


def _table(spec: Collection, data_dir: Path) -> Table:
    return LogTable(spec, data_dir / spec.name) if spec.layout == "log" else Table(spec)
