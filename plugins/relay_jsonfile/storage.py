"""The storage itself: transactions over memory, durable through the writer thread, tidied by checkpoints."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from relay.api import Collection, ConfigError, ReadTx, StorageFull, StorageUnavailable, Tx

from .blobs import Blobs
from .checkpoint import Work, write_checkpoint
from .files import make_dir, storage_error
from .journal import Journal
from .lockfile import take_lock
from .log import LogTable
from .log_write import LogWrite
from .manifest import Manifest, load_manifest
from .memory import WAIT_SECONDS, Commit, Memory
from .overlay import Overlay
from .pace import REST, Pace
from .recovery import Recovery
from .table import Table
from .view import Loaded, NotInMemory, View
from .writer import Rotation, Writer

T = TypeVar("T")
log = logging.getLogger("relay.jsonfile")
RERUNS = 8
RETRY_SECONDS = 30.0
COMPANY = 500
"""So many submitted commits are written even if nobody waits for one."""
MIN_FREE_BYTES = 1024 * 1024


class JSONFileStorage:
    """`checkpoint_seconds`: the age the readable files may reach. `checkpoint_bytes`: the size of the journal."""

    name = "jsonfile"

    def __init__(self, checkpoint_seconds: float = 240, checkpoint_bytes: int = 64 * 1024 * 1024) -> None:
        self._checkpoint_seconds = checkpoint_seconds
        self._checkpoint_bytes = checkpoint_bytes
        self._open = False
        self._inside = 0
        self._checkpoint_lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()

    def open(self, data_dir: Path, collections: Sequence[Collection], streams: Sequence[str]) -> None:
        try:
            make_dir(data_dir)
            self._lock_fd = take_lock(data_dir)
        except OSError as exc:
            raise ConfigError(f"the data directory {data_dir} cannot be used: {exc}") from exc
        try:
            self._load(data_dir, collections, streams)
        except OSError as exc:
            os.close(self._lock_fd)
            raise ConfigError(f"the data directory {data_dir} cannot be used: {exc}") from exc
        except BaseException:
            os.close(self._lock_fd)
            raise
        self._open = True
        self._writer.start()
        self._checkpointer = threading.Thread(target=self._keep_fresh, name="jsonfile-checkpoint", daemon=True)
        self._checkpointer.start()

    def _load(self, data_dir: Path, collections: Sequence[Collection], streams: Sequence[str]) -> None:
        self._dir = data_dir
        self._memory = Memory(data_dir, collections, streams)
        self._blobs = Blobs(data_dir)
        recovery = Recovery(data_dir, self._memory)
        seq = recovery.load()
        recovery.tidy()
        self._manifest: Manifest = recovery.manifest
        self._outside = recovery.outside
        self._journal = Journal(data_dir)
        self._writer = Writer(self._memory, self._journal, seq, self._checkpoint_bytes, self._wake)
        self._writer.flush()

    def transact(self, fn: Callable[[Tx], T]) -> T:
        result, seen = self._run(fn, Overlay)
        self._wait(seen)
        return result

    def submit(self, fn: Callable[[Tx], T]) -> tuple[T, Callable[[], None]]:
        result, seen = self._run(fn, Overlay, later=not self._memory.failing)
        if self._memory.failing:
            self._wait(seen)
        return result, partial(self._wait, seen)

    def read(self, fn: Callable[[ReadTx], T]) -> T:
        result, seen = self._run(fn, View)
        self._wait(seen)
        return result

    def _run(self, fn: Callable[..., T], kind: type[View], *, later: bool = False) -> tuple[T, Commit | None]:
        """Run `fn` under the lock. The newest commit that `fn` saw comes with the result, to be waited for.

        When `fn` raises, that wait is over before the error leaves. `later`: what `fn` wrote may wait for company.
        """
        if self._inside == threading.get_ident():
            raise RuntimeError("a transaction was started inside a transaction; use the one that is open")
        loaded = Loaded()
        for tries_left in range(RERUNS, -1, -1):
            seen: Commit | None = None
            try:
                with self._memory_lock():
                    self._inside = threading.get_ident()
                    try:
                        self._check_open()
                        seen = self._memory.newest
                        tx = kind(self._memory.tables, self._memory.streams, loaded, last_try=not tries_left)
                        result = fn(tx)
                        if isinstance(tx, Overlay) and (tx.writes or tx.appends):
                            seen = self._commit(tx, later=later) or seen
                    finally:
                        self._inside = 0
            except NotInMemory as missing:
                missing.load(loaded)
                continue
            except Exception:
                self._wait(seen)
                raise
            return result, seen
        raise AssertionError("the last try never asks for another one")

    def _memory_lock(self) -> threading.Lock:
        if not hasattr(self, "_memory"):
            raise StorageUnavailable("the storage is not open")
        return self._memory.lock

    def _commit(self, tx: Overlay, *, later: bool) -> Commit | None:
        self._memory.check_writable(appends=bool(tx.appends))
        commit = self._memory.apply(tx)
        if commit is not None:
            self._memory.newest = commit
            self._memory.waiting.append(commit)
            if not later or len(self._memory.waiting) >= COMPANY:
                self._hand_over()
        return commit

    def _hand_over(self) -> None:
        """Give the writer what waits for it, in the order of the commits. The lock is held."""
        if self._memory.waiting:
            self._writer.queue.put(self._memory.waiting)
            self._memory.waiting = []

    def _wait(self, commit: Commit | None) -> None:
        """Return when `commit` is durable. Raises the error of one that was taken back."""
        if commit is None:
            return
        if self._memory.waiting:
            with self._memory.lock:
                self._hand_over()
        commit.wait()

    def _check_open(self) -> None:
        if not self._open:
            raise StorageUnavailable("the storage is closed; the relay is stopping")

    def put_blob(self, file: BinaryIO) -> str:
        self.check()
        return self._blobs.put(file)

    def open_blob(self, ref: str) -> BinaryIO:
        return self._blobs.open(ref)

    def delete_blob(self, ref: str) -> None:
        self._blobs.delete(ref)

    def sweep_blobs(self, older_than_seconds: float) -> int:
        specs = [table.spec for table in self._memory.tables.values()]
        fields = [(spec.name, field) for spec in specs for field in spec.blobs]

        def is_used(ref: str, tx: ReadTx) -> bool:
            return any(tx.count(coll, field, ref, ref) for coll, field in fields)

        deleted = 0
        for ref in self._blobs.older_than(older_than_seconds):
            # Through `read`, so that the last reference is gone for good before the blob is.
            if not self.read(partial(is_used, ref)):
                self._blobs.delete(ref)
                deleted += 1
        return deleted

    def outside_changes(self) -> Mapping[str, str]:
        return dict(self._outside)

    def check(self) -> None:
        with self._memory_lock():
            self._check_open()
            self._memory.check_writable(appends=True)
        try:
            disk = os.statvfs(self._dir)
        except OSError as exc:
            raise storage_error(exc, f"{self._dir} cannot be used") from exc
        if disk.f_bavail * disk.f_frsize < MIN_FREE_BYTES:
            raise StorageFull(f"the disk of {self._dir} is full. Free some space on it")

    def stats(self) -> Mapping[str, float]:
        """For the metrics, since the start: `batches` written, the `commits` in them, the `write_seconds` they took."""
        writer = self._writer
        return {"batches": writer.batches, "commits": writer.commits, "write_seconds": writer.write_seconds}

    def checkpoint(self, *, rest: float = 0) -> None:
        """Bring the readable files up to now and start a new journal. Raises StorageFull, StorageUnavailable.

        `rest`: pauses, as a multiple of the time worked between them.
        """
        with self._checkpoint_lock:
            self._checkpoint(Pace(rest))

    def _checkpoint(self, pace: Pace) -> None:
        """The caller holds the checkpoint lock."""
        rotation = Rotation()
        with self._memory.lock:
            self._memory.check_writable(appends=False)
            tables = [table for table in self._memory.tables.values() if table.dirty]
            logs = [LogWrite(table) for table in tables if isinstance(table, LogTable)]
            snapshots = [table.snapshot() for table in tables if not isinstance(table, LogTable)]
            self._hand_over()
            self._writer.queue.put(rotation)
        try:
            rotation.wait()
            if tables or rotation.seq != self._manifest.seq:
                self._sync_segments(rotation)
                work = Work(snapshots, logs, self._memory.lock, pace)
                self._manifest = write_checkpoint(self._dir, self._manifest, work, rotation, self._memory.streams)
        except Exception as exc:
            self._release(tables, kept=False)
            self._manifest = load_manifest(self._dir) or self._manifest
            raise storage_error(exc, "the checkpoint failed; the journal keeps everything") from exc
        self._release(tables, kept=True)

    def _release(self, tables: Iterable[Table], *, kept: bool) -> None:
        with self._memory.lock:
            for table in tables:
                table.release(kept=kept)
            for stream in self._memory.streams.values():
                stream.reading = None

    def _sync_segments(self, rotation: Rotation) -> None:
        """After a failed fsync the system may call lost pages written, so nothing may rely on them."""
        try:
            for name, stream in self._memory.streams.items():
                before = self._manifest.streams.get(name)
                stream.sync(rotation.lengths[name], before.segments if before else [])
        except OSError as exc:
            error = StorageUnavailable(
                f"fsync of the entry files failed: {exc}. Nothing can be saved until the relay is started again"
            )
            with self._memory.lock:
                self._memory.broken = error
            raise error from exc

    def _keep_fresh(self) -> None:
        """The checkpoint thread: after some time, or when the journal has grown."""
        while not self._closing.is_set():
            self._wake.wait(self._checkpoint_seconds)
            self._wake.clear()
            if self._closing.is_set():
                return
            try:
                self.checkpoint(rest=REST)
            except (StorageFull, StorageUnavailable) as exc:
                log.error("%s", exc.message)  # noqa: TRY400 - the operator needs the reason, not our stack
                self._closing.wait(RETRY_SECONDS)

    def close(self) -> None:
        if not hasattr(self, "_memory"):
            return
        with self._memory.lock:
            if not self._open:
                return
            self._open = False
            broken = self._memory.broken
        self._closing.set()
        self._wake.set()
        self._checkpointer.join(WAIT_SECONDS)
        if broken is None:
            try:
                self.checkpoint()
            except (StorageFull, StorageUnavailable) as exc:
                log.error("%s", exc.message)  # noqa: TRY400 - as above; the journal is complete
        self._writer.stop()
        self._journal.close()
        for stream in self._memory.streams.values():
            stream.close()
        os.close(self._lock_fd)
