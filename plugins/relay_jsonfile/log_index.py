"""A side file per finished segment of a log: its keys, offsets and indexed values, so that a start need not read it.

It is made from the segment and may be deleted: the start then reads the segment, and a later checkpoint writes it anew.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from relay.api import IndexValue

from .files import put_in_place, write_temp
from .log_files import LogDamaged, LogFiles

Entry = tuple[str, int | None, tuple[IndexValue | None, ...]]
"""Key, offset of the document (None: deleted) and its indexed values."""
Values = Callable[[bytes], tuple[IndexValue | None, ...]]


class Head(msgspec.Struct):
    """What the rest was made from: so many bytes of a segment, and these indexed fields."""

    bytes: int
    fields: tuple[str, ...]
    crc: int


_entries = msgspec.json.Decoder(list[Entry])


def read_segment(files: LogFiles, number: int, values: Values) -> Iterator[Entry]:
    """Raises LogDamaged."""
    for offset, line in files.lines(number):
        document = line.document
        if document is None:
            yield line.key, None, ()
            continue
        try:
            yield line.key, offset, values(document)
        except TypeError as exc:
            raise LogDamaged(files.segment(number), f"the line at byte {offset}: {exc}") from exc


def write_index(files: LogFiles, number: int, fields: tuple[str, ...], values: Values) -> None:
    """Raises OSError or LogDamaged."""
    rows = [msgspec.json.encode(entry) for entry in read_segment(files, number, values)]
    body = b"[\n" + b",\n".join(rows) + b"\n]\n"
    head = msgspec.json.encode(Head(files.segments[number], fields, zlib.crc32(body)))
    path = files.index(number)
    write_temp(path, [head + b"\n", body])
    put_in_place(path)


def read_index(path: Path, length: int, fields: tuple[str, ...]) -> list[Entry] | None:
    """None when there is none, or not one of this segment as it is."""
    try:
        first, _, body = path.read_bytes().partition(b"\n")
        head = msgspec.json.decode(first, type=Head)
        if (head.bytes, head.fields, head.crc) != (length, fields, zlib.crc32(body)):
            return None
        return _entries.decode(body)
    except (OSError, msgspec.DecodeError):
        return None
