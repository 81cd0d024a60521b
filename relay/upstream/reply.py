"""A whole answer, and its headers, which are read only when somebody asks for one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from urllib3 import HTTPHeaderDict


@dataclass(frozen=True, slots=True)
class HTTPReply:
    """An answer, whatever its status. `headers` ignores letter case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HeaderLines(Mapping[str, str]):
    """The header lines of a well-formed head, each with its line end. Values of one name are joined with commas."""

    __slots__ = ("_lines", "_read")

    def __init__(self, lines: bytes) -> None:
        self._lines = lines
        self._read: HTTPHeaderDict | None = None

    def __getitem__(self, name: str) -> str:
        return self._headers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(self._headers)

    def __repr__(self) -> str:
        return repr(self._headers)

    @property
    def _headers(self) -> HTTPHeaderDict:
        if self._read is None:
            self._read = HTTPHeaderDict()
            for line in self._lines.decode("latin-1").split("\r\n")[:-1]:
                name, _, value = line.partition(":")
                self._read.add(name, value.lstrip(" \t"))
        return self._read
