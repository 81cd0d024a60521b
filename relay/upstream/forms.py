"""Forms with a file, read from disk in pieces."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from relay.errors import Unavailable, UpstreamTimeout

PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Form:
    """`fields` and one `file` (field name, file name, path, content type) as multipart/form-data."""

    content_type: str
    length: int
    _first: bytes
    _source: Path
    _size: int
    _last: bytes

    def pieces(self, deadline: float) -> Iterator[bytes]:
        """The parts in order; never more or fewer bytes of the file than `length` announces."""
        yield self._first
        left = self._size
        try:
            with self._source.open("rb") as file:
                while left and (piece := file.read(min(PIECE_BYTES, left))):
                    if time.monotonic() > deadline:
                        raise UpstreamTimeout("the time for this call was used up while sending the file")
                    left -= len(piece)
                    yield piece
        except OSError as exc:
            raise Unavailable(f"the file to send could not be read: {exc.strerror}") from exc
        if left:
            raise Unavailable("the file to send became shorter while it was sent; nothing complete was sent")
        yield self._last


def form(fields: Iterable[tuple[str, str]], file: tuple[str, str, Path, str]) -> Form:
    name, filename, source, kind = file
    boundary = secrets.token_hex(16)
    head = "".join(f"--{boundary}\r\n{_disposition(key)}\r\n\r\n{value}\r\n" for key, value in fields)
    head += f'--{boundary}\r\n{_disposition(name)}; filename="{_quoted(filename)}"\r\ncontent-type: {kind}\r\n\r\n'
    first, last = head.encode(), f"\r\n--{boundary}--\r\n".encode()
    size = source.stat().st_size
    length = len(first) + size + len(last)
    return Form(f"multipart/form-data; boundary={boundary}", length, first, source, size, last)


def _quoted(text: str) -> str:
    """As browsers write names in forms (HTML standard, multipart/form-data encoding)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _disposition(name: str) -> str:
    return f'content-disposition: form-data; name="{_quoted(name)}"'
