"""The upstream that everything is measured against: a process of its own that answers at once, from memory.

`/v1/chat/completions` answers one canned completion of about 520 bytes, or 20 events, one each 5 ms, when the request
asks for a stream. `/slow/v1/...` takes two seconds for either. `python -m relay.bench.mock` prints its port.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

WORDS = "The team agreed to publish on Friday, and to look at the figures again a week later. "
EVENTS = 20
EVENT_SECONDS = 0.005
SLOW_SECONDS = 2.0
MAX_HEAD = 64 * 1024


def message(kind: str, headers: str, body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{headers}\r\n".encode() + body


def _json(obj: Any) -> bytes:
    return json.dumps(obj, separators=(",", ":")).encode()


def _event(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    data = b"data: " + _json(body) + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


COMPLETION = _json(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": WORDS * 3 + "Done."}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 200, "completion_tokens": 60, "total_tokens": 260},
    }
)
MODELS = _json({"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "bench"}]})
ANSWER = message("application/json", f"Content-Length: {len(COMPLETION)}\r\n", COMPLETION)
LIST = message("application/json", f"Content-Length: {len(MODELS)}\r\n", MODELS)
STREAM_HEAD = message("text/event-stream", "Transfer-Encoding: chunked\r\n", b"")
# With a word in it: a gateway may hold back an event that says nothing.
FIRST = _event({"role": "assistant", "content": "The "}, None)
NEXT = _event({"content": "word "}, None)
LAST = _event({}, "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One connection; requests come one after the other."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data
        while self._data:
            end = whole(self._data)
            if end == 0:
                if len(self._data) > MAX_HEAD:
                    self.transport.abort()
                return
            request, self._data = self._data[:end], self._data[end:]
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        slow = b" /slow/" in request[:16]
        if request.startswith(b"GET"):
            self.transport.write(LIST)
        elif b'"stream":true' in request or b'"stream": true' in request:
            self.transport.write(STREAM_HEAD + FIRST)
            self._go_on(1, SLOW_SECONDS / EVENTS if slow else EVENT_SECONDS)
        elif slow:
            asyncio.get_running_loop().call_later(SLOW_SECONDS, self._write, ANSWER)
        else:
            self.transport.write(ANSWER)

    def _go_on(self, number: int, wait: float) -> None:
        asyncio.get_running_loop().call_later(wait, self._next, number, wait)

    def _next(self, number: int, wait: float) -> None:
        if self.transport.is_closing():
            return
        if number == EVENTS:
            self.transport.write(LAST)
        else:
            self.transport.write(NEXT)
            self._go_on(number + 1, wait)

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)


def whole(data: bytes) -> int:
    """The length of the first whole request in `data`, 0 when there is none yet."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return 0
    start = data.find(b"ontent-", 0, head)
    while start >= 0 and data[start + 7 : start + 14].lower() != b"length:":
        start = data.find(b"ontent-", start + 7, head)
    if start >= 0:
        length = int(data[start + 14 : data.find(b"\r", start)])
        return head + 4 + length if len(data) >= head + 4 + length else 0
    if b"chunked" in data[:head].lower():
        end = data.find(b"0\r\n\r\n", head + 4)
        return end + 5 if end >= 0 else 0
    return head + 4


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - read by the process that started this one
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())
