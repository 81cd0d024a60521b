"""The start: newest checkpoint, then the journal. Reads and judges everything before it changes anything."""

from __future__ import annotations

import gc
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from relay.api import Collection, ConfigError

from . import journal
from .checkpoint import remove_outdated, remove_segments
from .files import TEMP, sync_file
from .layout import decode_document, decode_rows, document_file, document_files, file_of, rows_file
from .log import LogTable
from .log_files import LogDamaged, LogFiles
from .manifest import Manifest, StreamState, damaged, load_manifest
from .memory import Memory
from .replay import Replay
from .stream import Head, Stream

log = logging.getLogger("relay.jsonfile")


class Recovery:
    """What a start found. `load` fills the memory and changes no file; `tidy` then makes the files ready."""

    def __init__(self, data_dir: Path, memory: Memory) -> None:
        self._dir = data_dir
        self._memory = memory
        found = load_manifest(data_dir)
        self._fresh = found is None
        self.manifest = found or Manifest()
        self.outside: dict[str, str] = {}
        self._replay = Replay(memory, self.manifest)

    def load(self) -> int:
        """Returns the last batch. Raises ConfigError naming the damaged file and the last good state."""
        with _without_gc():
            for table in self._memory.tables.values():
                self._load_table(table.spec)
            for stream in self._memory.streams.values():
                self._load_stream(stream)
            self._replay.run(self._journals())
            for table in self._memory.tables.values():
                table.stale |= self._fresh
        self._check_manifest_not_lost()
        return self._replay.seq

    def _load_table(self, spec: Collection) -> None:
        table = self._memory.tables[spec.name]
        if isinstance(table, LogTable) and spec.name in self.manifest.logs:
            self._load_log(table)
            return
        files = document_files(self._dir / spec.name) if spec.layout == "files" else [self._dir / file_of(spec)]
        rows: dict[str, bytes] = {}
        for path in files:
            rows |= self._read_file(spec, path)
        if spec.layout == "files":
            self._check_listed(spec, {document_file(spec, key) for key in rows})
        try:
            table.load(rows)
            for key in rows if spec.name in self.outside else ():
                table.check(key, msgspec.json.decode(rows[key]))
        except (TypeError, ValueError) as exc:
            raise damaged(self._dir / file_of(spec), str(exc), self.manifest.last_good(file_of(spec))) from exc
        if spec.name in self.outside:
            table.stale = True
            table.changed |= rows.keys() if spec.layout == "files" else set()

    def _load_log(self, table: LogTable) -> None:
        try:
            table.load_segments(self.manifest.logs[table.spec.name])
        except LogDamaged as exc:
            raise damaged(exc.path, exc.why, self.manifest.last_good()) from exc

    def _read_file(self, spec: Collection, path: Path) -> dict[str, bytes]:
        name = str(path.relative_to(self._dir))
        state = self.manifest.files.get(name)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            if state is None or state.accepts(None):
                return {}
            raise damaged(path, "the file is missing", self.manifest.last_good(name)) from None
        except OSError as exc:
            raise damaged(path, str(exc), self.manifest.last_good(name)) from exc
        edited = state is None or not state.accepts(hashlib.sha256(data).hexdigest())
        try:
            if spec.layout == "files":
                rows = {path.name.removesuffix(".json"): decode_document(data)}
            else:
                rows = decode_rows(spec, data, edited=edited)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise damaged(path, f"it is not what it should be ({exc})", self.manifest.last_good(name)) from exc
        if edited:
            self.outside[spec.name] = str(self._dir / file_of(spec))
            log.warning(
                "%s was changed by hand or by another program; it is taken as it is, but for what the journal has"
                " newer (after a clean stop it has nothing)",
                path,
            )
        return rows

    def _check_listed(self, spec: Collection, present: set[str]) -> None:
        """Every document the manifest lists must have its file."""
        for name, state in self.manifest.files.items():
            if name.startswith(f"{spec.name}/") and name not in present and not state.accepts(None):
                raise damaged(self._dir / name, "the file is missing", self.manifest.last_good(name))

    def _load_stream(self, stream: Stream) -> None:
        state = self.manifest.streams.get(stream.name)
        if state is None:
            return
        for number, length in enumerate(state.segments, start=1):
            path = stream.segment(number)
            try:
                size = path.stat().st_size
            except OSError as exc:
                raise damaged(path, str(exc), self.manifest.last_good()) from exc
            if size < length:
                why = f"it has {size} bytes where the checkpoint has {length}"
                raise damaged(path, why, self.manifest.last_good())
        stream.heads = self._read_heads(state)
        stream.lengths = list(state.segments)

    def _read_heads(self, state: StreamState) -> dict[str, Head]:
        path = self._dir / state.heads
        try:
            data = path.read_bytes()
        except OSError as exc:
            raise damaged(path, str(exc), self.manifest.last_good()) from exc
        if hashlib.sha256(data).hexdigest() != state.sha256:
            why = "it is not the file that was written (entries cannot be edited by hand)"
            raise damaged(path, why, self.manifest.last_good())
        return msgspec.json.decode(data, type=dict[str, Head])

    def _journals(self) -> list[Path]:
        paths = [path for seq, path in journal.old_journals(self._dir) if seq > self.manifest.seq]
        current = self._dir / journal.NAME
        return [*paths, current] if current.exists() else paths

    def _check_manifest_not_lost(self) -> None:
        """Entries without a checkpoint that says how many: they must all be in the journal too."""
        for stream in self._memory.streams.values():
            known = stream.name in self.manifest.streams or stream.name in self._replay.appended
            if not known and any(path.stat().st_size for _, path in _segments(stream)):
                raise _lost(stream.directory)
        for name, table in self._memory.tables.items():
            known = name in self.manifest.logs or name in self._replay.changed or bool(table.rows)
            if isinstance(table, LogTable) and not known and any(table.files.directory.glob("[0-9]*.jsonl")):
                raise _lost(table.files.directory)

    def tidy(self) -> None:
        """Cut the torn end off the journal, cut segments to the checkpoint, remove leftovers."""
        if self._replay.torn:
            path, good, lost = self._replay.torn
            log.warning("%s: dropped %d bytes of a last line that was never finished", path, lost)
            os.truncate(path, good)
            sync_file(path)
        for stream in self._memory.streams.values():
            for number, path in _segments(stream):
                if number > len(stream.lengths):
                    path.unlink()
                else:
                    os.truncate(path, stream.lengths[number - 1])
        for table in self._memory.tables.values():
            if isinstance(table, LogTable):
                _tidy_log(table.files)
        folders = [spec.name for spec in (table.spec for table in self._memory.tables.values())]
        for folder in (self._dir, *(self._dir / name for name in [*folders, *self._memory.streams])):
            for leftover in folder.glob(f"*.json{TEMP}"):
                leftover.unlink()
        if not self._fresh:
            remove_outdated(self._dir, self.manifest)
            self._set_aside()

    def _set_aside(self) -> None:
        """A file of rows where the rows are in a log: what a crash left of taking it over, or put there by hand."""
        for name in self.manifest.logs:
            path = self._dir / rows_file(name)
            if rows_file(name) not in self.manifest.files and path.exists():
                aside = path.with_name(f"{path.name}.old")
                path.replace(aside)
                log.warning("%s is not read any more: these rows are in the folder %s. It is %s now", path, name, aside)


def _lost(directory: Path) -> ConfigError:
    return ConfigError(
        f"{directory} holds entries, but checkpoint.json does not know of them, or is missing. "
        "Nothing was changed. Put checkpoint.json back (from a backup of the data directory)"
    )


def _tidy_log(files: LogFiles) -> None:
    """Cut off what a checkpoint was writing when it was interrupted; the journal has it."""
    remove_segments(files.directory, files.segments)
    for number, length in files.segments.items():
        path = files.segment(number)
        if (extra := path.stat().st_size - length) > 0:
            log.warning("%s: dropped %d bytes of a checkpoint that was never finished", path, extra)
            os.truncate(path, length)


def _segments(stream: Stream) -> list[tuple[int, Path]]:
    return [(int(path.stem), path) for path in sorted(stream.directory.glob("[0-9]*.jsonl")) if path.stem.isdigit()]


@contextmanager
def _without_gc() -> Iterator[None]:
    """Loading makes millions of objects and no garbage: the collector would walk them again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
