"""The head of an answer, where it is of the simple kind that nearly all answers have.

What is not simple is no error: `simple_head` leaves it to the standard library, which knows the rest of HTTP.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_HEAD_BYTES = 64 * 1024
"""What is longer is not simple. `http.client` allows as much for one line."""

# At most 99 headers, as in `http.client`. Possessive, so that a head which does not match is found out in one pass.
# No other line end than CR LF, no control character, no folded line, no blank before a colon: parsers disagree there.
HEAD = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*+)?\r\n"
    rb"((?:[-!#$%&'*+.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n){1,99}+)\r\n"
)
LENGTH = re.compile(rb"[0-9]{1,15}")
BODYLESS = frozenset({204, 304})


class Head(NamedTuple):
    """`size`: bytes of the head; `length`: bytes of the body; `lines`: the headers; `last`: the server hangs up."""

    status: int
    size: int
    length: int
    lines: bytes
    last: bool


def simple_head(data: bytes) -> Head | None:
    """The head at the start of `data`, if it is all there and the body has one announced length and no encoding."""
    found = HEAD.match(data, 0, MAX_HEAD_BYTES)
    if found is None:
        return None
    status, lines = int(found[1]), found[2]
    length: bytes | None = None
    last = False
    for line in lines.split(b"\r\n"):
        name, _, value = line.partition(b":")
        name = name.lower()
        if name == b"content-length":
            if length is not None:
                return None
            length = value.strip(b" \t")
        elif name in {b"transfer-encoding", b"content-encoding"}:
            return None
        elif name == b"connection":
            last = last or b"close" in value.lower()
    if length is None or not LENGTH.fullmatch(length) or status in BODYLESS:
        return None
    return Head(status, found.end(), int(length), lines, last)
