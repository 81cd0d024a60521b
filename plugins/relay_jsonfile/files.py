"""Durable files: private modes, complete writes, temp + fsync + rename + fsync of the directory."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from relay.api import StorageFull, StorageUnavailable

TEMP = ".tmp"
SYNC_BYTES = 4 * 1024 * 1024
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def make_dir(path: Path) -> None:
    """A directory only its owner can enter, whatever the umask. One that exists is left as it is."""
    if path.is_dir():
        return
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    sync_dir(path.parent)


def open_file(path: Path, flags: int) -> int:
    """A descriptor of a file only its owner can read, whatever the umask."""
    fd = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(fd, 0o600)
    except BaseException:
        os.close(fd)
        raise
    return fd


def write_all(fd: int, data: bytes) -> None:
    """Write until all is written. A partial write has happened when this raises OSError."""
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def data_sync(fd: int) -> None:
    """fdatasync, or fsync where the system has no fdatasync."""
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(fd)


def sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_dir(path: Path) -> None:
    """Make renames, new names and removals in a directory durable."""
    sync_file(path)


def write_temp(path: Path, chunks: Iterable[bytes], pause: Callable[[], None] = lambda: None) -> str:
    """Write `path` + ".tmp" durably and return its SHA-256 in hex. Rename it with `put_in_place`.

    `pause` is called after every chunk. The disk gets a large file in parts, so that others need not wait long.
    """
    digest = hashlib.sha256()
    fd = open_file(temp_of(path), os.O_WRONLY | os.O_TRUNC)
    unsynced = 0
    try:
        for chunk in chunks:
            digest.update(chunk)
            write_all(fd, chunk)
            unsynced += len(chunk)
            if unsynced > SYNC_BYTES:
                data_sync(fd)
                unsynced = 0
            pause()
        os.fsync(fd)
    finally:
        os.close(fd)
    return digest.hexdigest()


def put_in_place(path: Path) -> None:
    """Rename the temporary file over `path`; `sync_dir` makes that durable."""
    temp_of(path).replace(path)


def replace_file(path: Path, data: bytes) -> None:
    """Replace a whole file: after a crash there is the old one or the new one, never a mixture."""
    write_temp(path, [data])
    put_in_place(path)
    sync_dir(path.parent)


def temp_of(path: Path) -> Path:
    return path.with_name(path.name + TEMP)


def storage_error(exc: Exception, what: str) -> StorageFull | StorageUnavailable:
    """What a failed write means to the caller: 507 when the disk is full, else 503."""
    if isinstance(exc, StorageFull | StorageUnavailable):
        return exc
    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else f"{type(exc).__name__}: {exc}"
    if isinstance(exc, OSError) and exc.errno in FULL:
        return StorageFull(f"{what}: {reason}. Free some space on the disk of the data directory")
    return StorageUnavailable(f"{what}: {reason}. Look at the disk of the data directory")
