"""The one thread that writes: it takes all queued commits at once, so that they share one fsync."""

from __future__ import annotations

import logging
import threading
import time
from queue import Empty, SimpleQueue

from relay.api import StorageUnavailable, crash_point

from .files import storage_error
from .journal import Journal, SyncFailed
from .memory import WAIT_SECONDS, Commit, Memory, StorageError
from .stream import HeadsSnapshot

log = logging.getLogger("relay.jsonfile")
BATCH = 1000
FLUSH = 128
"""So many entries go to their segment together; until then they are in the journal and in memory."""


class Rotation:
    """A mark in the queue: the checkpoint holds exactly the commits before it.

    `lengths`: of each stream's segments; `heads`: its heads, as of that point.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.lengths: dict[str, list[int]] = {}
        self.heads: dict[str, HeadsSnapshot] = {}
        self._error: StorageError | None = None
        self._reached = threading.Event()

    def finish(self, error: StorageError | None) -> None:
        self._error = error
        self._reached.set()

    def wait(self) -> None:
        if not self._reached.wait(WAIT_SECONDS):
            raise StorageUnavailable("the writer did not reach the checkpoint in time")
        if self._error is not None:
            raise self._error


class Stop:
    pass


Order = Rotation | Stop


class Writer:
    """`queue` is filled under the memory's lock, so its order is the order of the commits.

    It holds at most one commit per waiting thread.
    """

    def __init__(self, memory: Memory, journal: Journal, seq: int, journal_limit: int, wanted: threading.Event) -> None:
        self.queue: SimpleQueue[list[Commit] | Order] = SimpleQueue()
        self.batch = BATCH
        self.seq = seq
        """The last durable batch."""
        self.batches = 0
        self.commits = 0
        self.write_seconds = 0.0
        """Of all batches since the start, the wait for the disk included."""
        self._memory = memory
        self._journal = journal
        self._journal_limit = journal_limit
        self._checkpoint_wanted = wanted
        self._thread = threading.Thread(target=self._run, name="jsonfile-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """After everything queued. Called once."""
        self.queue.put(Stop())
        self._thread.join(WAIT_SECONDS)

    def _run(self) -> None:
        while True:
            commits, order = self._take()
            try:
                error = self._write(commits) if commits else None
                if isinstance(order, Rotation):
                    order.finish(error or self._rotate(order))
            except Exception as exc:
                # A defect, not the disk. Without a writer nothing may be accepted any more.
                log.exception("the writer failed")
                self._fail([commit for commit in commits if not commit.done], exc)
                if isinstance(order, Rotation):
                    order.finish(self._memory.broken)
            if isinstance(order, Stop):
                return

    def _take(self) -> tuple[list[Commit], Order | None]:
        """Everything queued, up to the next order."""
        commits: list[Commit] = []
        item = self.queue.get()
        while isinstance(item, list):
            commits += item
            if len(commits) >= self.batch:
                return commits, None
            try:
                item = self.queue.get_nowait()
            except Empty:
                return commits, None
        return commits, item

    def _write(self, commits: list[Commit]) -> StorageError | None:
        started = time.monotonic()
        try:
            self._journal.append(self.seq + 1, b",".join([op for commit in commits for op in commit.ops]))
        except Exception as exc:  # noqa: BLE001 - whatever it was, those who wait must hear of it
            return self._fail(commits, exc)
        self.seq += 1
        self.batches += 1
        self.commits += len(commits)
        self.write_seconds += time.monotonic() - started
        self._memory.failing = False
        for commit in commits:
            commit.finish(None)
        for commit in commits:
            for stream, partition, n, doc in commit.appends:
                stream.backlog.append((partition, n, doc))
        if any(len(stream.backlog) >= FLUSH for stream in self._memory.streams.values()):
            try:
                self.flush()
            except OSError as exc:
                log.warning("entries stay in memory and in the journal for now: %s", exc)
        if self._journal.size > self._journal_limit:
            self._checkpoint_wanted.set()
        return None

    def _fail(self, commits: list[Commit], exc: Exception) -> StorageError:
        """Take back the batch and everything behind it: that was built on what is not going to be."""
        error: StorageError = storage_error(exc, "nothing of this change was kept, the journal cannot be written")
        orders: list[Order] = []
        with self._memory.lock:
            self._memory.failing = True
            while not self.queue.empty():
                item = self.queue.get_nowait()
                if isinstance(item, list):
                    commits += item
                else:
                    orders.append(item)
            commits += self._memory.waiting
            self._memory.waiting = []
            self._memory.take_back(reversed(commits))
            if not isinstance(exc, OSError):
                broken = exc if isinstance(exc, SyncFailed) else f"{type(exc).__name__}: {exc}"
                error = StorageUnavailable(f"{broken}. Nothing can be saved until the relay is started again")
                self._memory.broken = error
        log.error("%s", error.message)
        for commit in commits:
            commit.finish(error)
        for order in orders:
            if isinstance(order, Rotation):
                order.finish(error)
            else:
                self.queue.put(order)
        return error

    def flush(self) -> None:
        """Move entries that are durable in the journal into their segment files. Raises OSError."""
        for stream in self._memory.streams.values():
            while stream.backlog:
                crash_point("jsonfile.before-segment-write")
                written = stream.write_some()
                crash_point("jsonfile.after-segment-write")
                with self._memory.lock:
                    stream.settle(written)

    def _rotate(self, order: Rotation) -> StorageError | None:
        try:
            self.flush()
            self._journal.rotate(self.seq)
        except OSError as exc:
            return storage_error(exc, "the checkpoint cannot start")
        order.seq = self.seq
        for name, stream in self._memory.streams.items():
            order.lengths[name] = list(stream.lengths)
            order.heads[name] = stream.reading = HeadsSnapshot(stream.heads)
        return None
