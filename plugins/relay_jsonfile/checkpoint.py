"""Writing the readable files in the background, so that the journal can start anew.

Order: snapshots under the lock and a new journal at exactly that point; the ends of the logs; temporary files; a
manifest that accepts the old and the new files; renames; the final manifest; old journals away. A crash between any
two is recovered.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from relay.api import crash_point

from .files import make_dir, put_in_place, sync_dir, write_temp
from .journal import now, old_journals
from .layout import document_file, encode_document, encode_rows, file_of, lines, rows_file
from .log_write import LogWrite
from .manifest import FileState, Manifest, StreamState, save_manifest
from .pace import Pace
from .snapshot import Snapshot
from .stream import Stream
from .writer import Rotation


@dataclass(frozen=True)
class Work:
    """What a checkpoint has to write, and how: `lock` is the memory's, `pace` is called between pieces."""

    snapshots: Sequence[Snapshot]
    logs: Sequence[LogWrite]
    lock: threading.Lock
    pace: Pace


def write_checkpoint(
    data_dir: Path, old: Manifest, work: Work, rotation: Rotation, streams: Mapping[str, Stream]
) -> Manifest:
    """Write what changed since `old`; returns the new manifest. Raises OSError with `old` still in force."""
    logs = {log.table.spec.name: log for log in work.logs}
    for log in work.logs:
        log.write(work.pace)
    changing: dict[str, FileState] = {}
    for snapshot in work.snapshots:
        changing |= _write_snapshot(data_dir, old, snapshot, work)
    heads = {name: _write_heads(data_dir, old, rotation, stream, work) for name, stream in streams.items()}
    crash_point("jsonfile.checkpoint-files-written")
    save_manifest(data_dir, Manifest(old.seq, old.time, {**old.files, **changing}, old.streams, old.logs))
    crash_point("jsonfile.checkpoint-announced")
    _put_in_place(data_dir, changing)
    crash_point("jsonfile.checkpoint-renamed")
    files = dict(old.files)
    for name, state in changing.items():
        if state.next is None:
            files.pop(name, None)
        else:
            files[name] = FileState(state.next, state.rows)
    for name in logs:
        files.pop(rows_file(name), None)
    new_logs = {**old.logs, **{name: log.segments for name, log in logs.items()}}
    new = Manifest(rotation.seq, now(), files, {**old.streams, **heads}, new_logs)
    save_manifest(data_dir, new)
    crash_point("jsonfile.checkpoint-manifest-written")
    for log in work.logs:
        log.settle(work.lock)
    for name in logs:
        if name not in old.logs:  # its rows came from there
            (data_dir / rows_file(name)).unlink(missing_ok=True)
    remove_outdated(data_dir, new)
    return new


def _write_snapshot(data_dir: Path, old: Manifest, snapshot: Snapshot, work: Work) -> dict[str, FileState]:
    """Temporary files of one collection, as what the manifest will say of them."""
    spec = snapshot.spec
    changing: dict[str, FileState] = {}

    def note(name: str, digest: str | None, rows: int) -> None:
        before = old.files.get(name, FileState(None))
        there = _digest(data_dir / name) if before.changing else before.sha256
        changing[name] = FileState(there, rows, digest, changing=True)

    if spec.layout != "files":
        name = file_of(spec)
        chunks = encode_rows(spec, snapshot.slices(work.lock))
        note(name, write_temp(data_dir / name, chunks, work.pace), snapshot.count)
        return changing
    make_dir(data_dir / file_of(spec))
    for key in sorted(snapshot.changed):
        name = document_file(spec, key)
        with work.lock:
            raw = snapshot.document(key)
        note(name, None if raw is None else write_temp(data_dir / name, [encode_document(raw)]), 1)
    return changing


def _digest(path: Path) -> str | None:
    """What an interrupted checkpoint left there."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _put_in_place(data_dir: Path, changing: Mapping[str, FileState]) -> None:
    for name, state in changing.items():
        if state.next is None:
            (data_dir / name).unlink(missing_ok=True)
        else:
            put_in_place(data_dir / name)
        crash_point("jsonfile.checkpoint-renaming")
    for directory in {(data_dir / name).parent for name in changing}:
        sync_dir(directory)


def _write_heads(data_dir: Path, old: Manifest, rotation: Rotation, stream: Stream, work: Work) -> StreamState:
    """A heads file per checkpoint: the old one stays valid until the new manifest is there."""
    lengths, heads = rotation.lengths[stream.name], rotation.heads[stream.name]
    before = old.streams.get(stream.name)
    if before and before.segments == lengths:
        return before
    make_dir(stream.directory)
    path = stream.directory / f"heads-{rotation.seq}.json"
    encode = msgspec.json.encode
    slices = ([(name, encode(head)) for name, head in some] for some in heads.slices(work.lock))
    digest = write_temp(path, lines(slices), work.pace)
    put_in_place(path)
    sync_dir(stream.directory)
    return StreamState(lengths, len(heads), str(path.relative_to(data_dir)), digest)


def remove_outdated(data_dir: Path, manifest: Manifest) -> None:
    """Delete closed journals and heads files that the manifest has overtaken."""
    for seq, path in old_journals(data_dir):
        if seq <= manifest.seq:
            path.unlink()
    for name, state in manifest.streams.items():
        for path in (data_dir / name).glob("heads-*.json"):
            if str(path.relative_to(data_dir)) != state.heads:
                path.unlink()
    for name, segments in manifest.logs.items():
        remove_segments(data_dir / name, segments)
    sync_dir(data_dir)


def remove_segments(directory: Path, segments: Collection[int]) -> None:
    """Delete the segments of a log that are not among these, and their side files."""
    for path in sorted(directory.glob("[0-9]*.json*")):
        number = path.name.partition(".")[0]
        if number.isdigit() and int(number) not in segments:
            path.unlink()
            crash_point("jsonfile.compact-removed")
