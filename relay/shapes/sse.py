"""Server-sent events, as the HTML standard defines them (section 9.2), from a body that arrives in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from relay.errors import OutcomeUnknown

MAX_LINE_BYTES = 1024 * 1024
MAX_EVENT_BYTES = 4 * MAX_LINE_BYTES


class Event(NamedTuple):
    """`name` is empty for the usual kind. `data`: the lines of data, joined by line feeds."""

    name: str
    data: bytes


def events(pieces: Iterable[bytes], max_line: int = MAX_LINE_BYTES) -> Iterator[Event]:
    """The events in order; comments, ids and unknown fields are passed over, an unfinished event at the end too.

    Raises OutcomeUnknown for a line longer than `max_line` bytes: nobody knows what the rest would have said.
    """
    name, size = "", 0
    data: list[bytes] = []
    for line in lines(pieces, max_line):
        if not line:
            if data:
                yield Event(name, b"\n".join(data))
            name, data, size = "", [], 0
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            size += len(value)
            if size > MAX_EVENT_BYTES:
                raise OutcomeUnknown(f"the inference server sent an event of more than {MAX_EVENT_BYTES} bytes")
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")


def lines(pieces: Iterable[bytes], max_line: int) -> Iterator[bytes]:
    """Whole lines without their end (LF, CR LF or CR). A last line without an end is dropped, as the standard says."""
    rest = b""
    for piece in pieces:
        found = (rest + piece).splitlines(keepends=True)
        # A CR at the very end may be the first half of CR LF.
        rest = found.pop() if found and not found[-1].endswith(b"\n") else b""
        for line in found:
            if len(line) > max_line:
                raise _too_long(max_line)
            yield line.rstrip(b"\r\n")
        if len(rest) > max_line:
            raise _too_long(max_line)


def _too_long(max_line: int) -> OutcomeUnknown:
    return OutcomeUnknown(f"the inference server sent a line of more than {max_line} bytes in a stream")
