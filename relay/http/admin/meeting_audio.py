"""`GET /admin/internal-meetings/{id}/audio`: the recording, whole or a range of it, so that a player can seek."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import BinaryIO

import falcon

from relay.services.core import Core

RANGE = re.compile(r"bytes=(\d*)-(\d*)")
BLOCK = 256 * 1024


class MeetingAudio:
    def __init__(self, core: Core) -> None:
        self._meetings = core.meetings

    def on_get(self, req: falcon.Request, resp: falcon.Response, meeting: str) -> None:
        file, content_type = self._meetings.recording(meeting)
        size = os.fstat(file.fileno()).st_size
        resp.content_type = content_type
        resp.set_header("Accept-Ranges", "bytes")
        resp.set_header("Cache-Control", "private, no-store")
        resp.set_header("X-Content-Type-Options", "nosniff")
        if content_type == "application/octet-stream":
            # As it came, so it may be anything: a browser must not open it as a page of ours.
            resp.set_header("Content-Disposition", "attachment")
        wanted = span(req.get_header("Range"), size)
        if wanted is None:
            file.close()
            resp.status = falcon.HTTP_416
            resp.set_header("Content-Range", f"bytes */{size}")
            return
        first, last = wanted
        if req.get_header("Range") and (first, last) != (0, size - 1):
            resp.status = falcon.HTTP_206
            resp.set_header("Content-Range", f"bytes {first}-{last}/{size}")
        resp.content_length = last - first + 1
        if req.method == "HEAD":
            file.close()
            return
        resp.stream = Slice(file, first, last - first + 1)

    on_head = on_get


class Slice:
    """Part of a file, for the WSGI server, which closes it."""

    def __init__(self, file: BinaryIO, first: int, size: int) -> None:
        file.seek(first)
        self._file = file
        self._left = size

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        block = self._file.read(min(BLOCK, self._left))
        if not block:
            raise StopIteration
        self._left -= len(block)
        return block

    def close(self) -> None:
        self._file.close()


def span(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of what is asked for; all of it without a header, or with one that is not understood (RFC
    9110); None for a range outside of the file."""
    match = RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return 0, size - 1
    first, last = match.groups()
    if not first:
        count = int(last[:18])
        return (max(0, size - count), size - 1) if count and size else None
    start, end = int(first[:18]), min(int(last[:18]) if last else size - 1, size - 1)
    if start >= size:
        return None
    return (start, end) if end >= start else (0, size - 1)
