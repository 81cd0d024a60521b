"""Large bodies: a file each under `blobs/`, durable before the document that refers to it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .files import TEMP, make_dir, open_file, put_in_place, storage_error, sync_dir, temp_of

_REF = re.compile(r"[0-9a-f]{32}")


class Blobs:
    def __init__(self, data_dir: Path) -> None:
        self._dir = data_dir / "blobs"

    def put(self, file: BinaryIO) -> str:
        """Store the rest of `file` durably. Raises StorageFull or StorageUnavailable."""
        ref = secrets.token_hex(16)
        path = self._path(ref)
        try:
            make_dir(self._dir)
            make_dir(path.parent)
            self._write(path, file)
        except OSError as exc:
            temp_of(path).unlink(missing_ok=True)
            raise storage_error(exc, "the body was not stored") from exc
        return ref

    def _write(self, path: Path, file: BinaryIO) -> None:
        with os.fdopen(open_file(temp_of(path), os.O_WRONLY | os.O_TRUNC), "wb") as target:
            shutil.copyfileobj(file, target, 1024 * 1024)
            target.flush()
            os.fsync(target.fileno())
        put_in_place(path)
        sync_dir(path.parent)

    def open(self, ref: str) -> BinaryIO:
        """Raises KeyError for an unknown ref."""
        if not _REF.fullmatch(ref):
            raise KeyError(ref)
        try:
            return self._path(ref).open("rb")
        except FileNotFoundError:
            raise KeyError(ref) from None

    def older_than(self, seconds: float) -> Iterator[str]:
        """Refs of blobs of at least that age. Unfinished ones of that age are deleted on the way."""
        limit = time.time() - seconds
        for path in self._dir.glob("??/*"):
            try:
                if path.stat().st_mtime > limit:
                    continue
                if path.name.endswith(TEMP):
                    path.unlink()
                elif _REF.fullmatch(path.name):
                    yield path.name
            except FileNotFoundError:
                continue

    def delete(self, ref: str) -> None:
        if _REF.fullmatch(ref):
            self._path(ref).unlink(missing_ok=True)

    def _path(self, ref: str) -> Path:
        return self._dir / ref[:2] / ref
