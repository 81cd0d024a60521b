"""Reading server-sent events in tests."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

Event = tuple[str, Any]
"""Its name ("message" without one) and its data."""


def events(body: bytes) -> list[Event]:
    return [one(block) for block in body.decode().split("\n\n") if block and not block.startswith(":")]


def one(block: str) -> Event:
    name, data = "message", ""
    for line in block.split("\n"):
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            data += value
    return name, data if data == "[DONE]" else json.loads(data)


def chunks(sock: socket.socket) -> Iterator[bytes]:
    """The body of a chunked answer as it arrives, after its head."""
    file = sock.makefile("rb")
    assert b" 200 " in file.readline()
    while file.readline() not in {b"\r\n", b""}:
        pass
    while (size := int(file.readline().strip() or b"0", 16)) > 0:
        yield file.read(size)
        file.readline()
