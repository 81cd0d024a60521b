"""One relay per data directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from relay.api import ConfigError

from .files import open_file

NAME = "relay.lock"


def take_lock(data_dir: Path) -> int:
    """The descriptor that holds the lock; closing it, or dying, gives it back. Raises ConfigError."""
    fd = open_file(data_dir / NAME, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        owner = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise ConfigError(
            f"the data directory {data_dir} is in use by another relay (process {owner}). "
            "Stop that one, or give this one another directory with --data"
        ) from exc
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
