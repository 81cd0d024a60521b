"""Where request bodies wait: small ones in memory, large ones in unlinked files, both bounded in total."""

from __future__ import annotations

import tempfile
import threading
from io import BytesIO
from pathlib import Path
from typing import IO

from relay.errors import ConfigError, StorageFull

MEMORY_PER_BODY = 512 * 1024
MEMORY_TOTAL = 64 * 1024 * 1024
FILE_BUFFER = 32 * 1024
RETRY_AFTER = 60


def full() -> StorageFull:
    return StorageFull("the upload area is full; try again in a minute", retry_after=RETRY_AFTER)


class Spool:
    """The room all bodies share. Sizes are bytes; safe to use from any thread."""

    def __init__(self, directory: Path, max_bytes: int, max_memory: int = MEMORY_TOTAL) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as exc:
            raise ConfigError(f"cannot make the upload folder {directory}: {exc.strerror}") from exc
        self._directory = directory
        self._max_bytes = max_bytes
        self._max_memory = max_memory
        self._lock = threading.Lock()
        self.on_disk = 0
        self.in_memory = 0

    def expect(self, size: int) -> None:
        """Refuse a body that would not fit now. Reserves nothing: a caller may declare and never send."""
        if size > MEMORY_PER_BODY and self.on_disk + size > self._max_bytes:
            raise full()

    def take_memory(self, size: int) -> bool:
        with self._lock:
            if self.in_memory + size > self._max_memory:
                return False
            self.in_memory += size
            return True

    def take_disk(self, size: int) -> None:
        with self._lock:
            if self.on_disk + size > self._max_bytes:
                raise full()
            self.on_disk += size

    def give_back(self, *, memory: int = 0, disk: int = 0) -> None:
        with self._lock:
            self.in_memory -= memory
            self.on_disk -= disk

    def open_file(self) -> IO[bytes]:
        """A file without a name: nothing is left behind, however the process ends."""
        return tempfile.TemporaryFile(buffering=FILE_BUFFER, dir=self._directory)


class BodyBuffer:
    """One body while it arrives. Has the methods waitress's receivers call on their buffer.

    `append` and `finish` raise StorageFull when the room is used up, OSError when the disk fails.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._file: IO[bytes] = BytesIO()
        self._lock = threading.Lock()
        self._spilled = False
        self._memory = 0
        self._disk = 0
        self._size = 0
        self._closed = False

    def __len__(self) -> int:
        return self._size

    def append(self, data: bytes) -> None:
        with self._lock:
            # The caller may hang up while its last bytes are being read.
            if self._closed:
                return
            if not self._spilled and not self._fits_memory(len(data)):
                self._move_to_disk()
            if self._spilled:
                self._spool.take_disk(len(data))
                self._disk += len(data)
            self._file.write(data)
            self._size += len(data)

    def finish(self) -> None:
        """The body is complete: write out what is buffered, so that a full disk shows here and not in the reader."""
        with self._lock:
            if not self._closed:
                self._file.seek(0)

    def getfile(self) -> IO[bytes]:
        return self._file

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._file.close()
            except OSError:
                # Closing writes out the buffer, which a full disk refuses. Nobody wants the bytes any more.
                pass
            finally:
                self._spool.give_back(memory=self._memory, disk=self._disk)

    def _fits_memory(self, more: int) -> bool:
        if self._size + more > MEMORY_PER_BODY or not self._spool.take_memory(more):
            return False
        self._memory += more
        return True

    def _move_to_disk(self) -> None:
        self._spool.take_disk(self._size)
        self._spilled = True
        self._disk = self._size
        on_disk = self._spool.open_file()
        memory, self._file = self._file, on_disk
        memory.seek(0)
        on_disk.write(memory.read())
        self._spool.give_back(memory=self._memory)
        self._memory = 0
