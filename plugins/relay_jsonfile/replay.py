"""Applying the journal to the state of the last checkpoint."""

from __future__ import annotations

from pathlib import Path

import msgspec

from relay.api import ConfigError, StorageUnavailable

from .journal import Batch, decode_line, lines_of
from .manifest import Manifest, damaged
from .memory import Memory


class Replay:
    """`torn`: (file, last good byte, bytes behind it) of a last line that a power cut left unfinished."""

    def __init__(self, memory: Memory, manifest: Manifest) -> None:
        self._memory = memory
        self._manifest = manifest
        self.seq = manifest.seq
        self.appended: set[str] = set()
        self.changed: set[str] = set()
        self.torn: tuple[Path, int, int] | None = None

    def run(self, paths: list[Path]) -> None:
        """Raises ConfigError for anything but a torn end of the last journal. Changes no file."""
        for path in paths:
            try:
                data = path.read_bytes()
            except OSError as exc:
                raise self._damaged(path, str(exc)) from exc
            self._run_file(path, data, last=path == paths[-1])

    def _run_file(self, path: Path, data: bytes, *, last: bool) -> None:
        for offset, line in lines_of(data):
            try:
                batch = decode_line(line)
            except ValueError as exc:
                if last and _is_torn(data[offset:]):
                    self.torn = (path, offset, len(data) - offset)
                    return
                raise self._damaged(path, f"the line at byte {offset}: {exc}") from exc
            if batch.seq <= self._manifest.seq:
                continue
            if batch.seq != self.seq + 1:
                raise self._damaged(path, f"batch {self.seq + 1} is missing: batch {batch.seq} is at byte {offset}")
            try:
                self._apply(batch)
            except StorageUnavailable as exc:
                raise ConfigError(f"{exc.message}. Nothing was changed") from exc
            except (KeyError, IndexError, ValueError, TypeError, msgspec.DecodeError) as exc:
                raise self._damaged(path, f"batch {batch.seq} at byte {offset} cannot be used: {exc}") from exc
            self.seq = batch.seq

    def _apply(self, batch: Batch) -> None:
        for op in batch.ops:
            kind, name, key = (msgspec.json.decode(raw, type=str) for raw in op[:3])
            if kind == "append":
                self._append(name, key, msgspec.json.decode(op[3], type=int), bytes(op[4]))
            elif name not in self._memory.tables:
                raise ValueError(f"collection {name!r} is unknown; start the version of the relay that wrote it")
            elif kind in {"put", "delete"}:
                table = self._memory.tables[name]
                table.set(key, table.stored(key), bytes(op[3]) if kind == "put" else None)
                self.changed.add(name)
            else:
                raise ValueError(f"{kind!r} is not an operation")

    def _append(self, name: str, partition: str, n: int, doc: bytes) -> None:
        if name not in self._memory.streams:
            raise ValueError(f"stream {name!r} is unknown; start the version of the relay that wrote it")
        stream = self._memory.streams[name]
        if n != stream.last(partition) + 1:
            raise ValueError(f"entry {n} of {partition!r} follows entry {stream.last(partition)}")
        stream.push(partition, n, doc)
        stream.backlog.append((partition, n, doc))
        self.appended.add(name)

    def _damaged(self, path: Path, why: str) -> Exception:
        return damaged(path, why, f"{self._manifest.last_good()}, and the journal is good up to batch {self.seq}")


def _is_torn(rest: bytes) -> bool:
    """Whether the end of a file can be a write that never finished: no newline, or a page never written.

    With a good line after it, it is damage: writes are only ever lost from the end.
    """
    if rest.endswith(b"\n") and b"\0" not in rest:
        return False
    for _, line in lines_of(rest):
        try:
            decode_line(line)
        except ValueError:
            continue
        return False
    return True
