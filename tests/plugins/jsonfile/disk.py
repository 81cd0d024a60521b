"""A disk under test: power cuts that keep only what was synced, and writes and syncs that fail on demand."""

import errno
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from relay_jsonfile import JSONFileStorage

from relay.testing.storage import COLLECTIONS, STREAMS


class Disk:
    """Watches the file calls of the storage below `root`, by way of pytest's monkeypatch."""

    def __init__(self, root: Path, monkeypatch) -> None:
        self.root = root
        self.fail_writes = False
        self.fail_syncs = False
        self.only = ""  # the folder below root whose syncs fail
        self.synced = {}
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._watched(getattr(os, name)))

    def _path(self, fd):
        return Path(f"/proc/self/fd/{fd}").readlink()

    def write(self, fd, data):
        if self.fail_writes and self._path(fd).is_relative_to(self.root):
            if len(data) > 1:
                return self._write(fd, data[: len(data) // 2])  # half of it, and of the rest, until one byte is left
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(fd, data)

    def _watched(self, sync):
        def watched(fd):
            if self.fail_syncs and self._path(fd).is_relative_to(self.root / self.only):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            sync(fd)
            info = os.fstat(fd)
            self.synced[info.st_ino] = info.st_size

        return watched

    @contextmanager
    def failing(self, what):
        setattr(self, what, True)
        try:
            yield
        finally:
            setattr(self, what, False)

    def power_cut(self, data_dir: Path, target: Path) -> None:
        """Copy `data_dir` as a power cut would leave it: of every file, what had been synced."""
        shutil.copytree(data_dir, target)
        for copy in target.rglob("*"):
            if copy.is_file():
                original = (data_dir / copy.relative_to(target)).stat()
                length = min(self.synced.get(original.st_ino, 0), copy.stat().st_size)
                os.truncate(copy, length)
                self.synced[copy.stat().st_ino] = length


class Reopener:
    """The suite's `reopen`: a crash is a power cut, after which another directory is the storage's."""

    def __init__(self, disk: Disk, make=JSONFileStorage) -> None:
        self.disk = disk
        self.make = make
        self.data_dir = disk.root / "data-0"
        self.opened = []

    def __call__(self, *, crash=False):
        if crash and self.opened:
            target = self.disk.root / f"data-{len(self.opened)}"
            self.disk.power_cut(self.data_dir, target)
            self.data_dir = target
        elif self.opened:
            self.opened[-1].close()
        storage = self.make()
        storage.open(self.data_dir, COLLECTIONS, STREAMS)
        self.opened.append(storage)
        return storage

    def close(self):
        for storage in self.opened:
            storage.close()
