"""One path of an inference server: asked patiently, and its failures named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.errors import UpstreamFailed
from relay.ports.inference import CallContext
from relay.shapes.failures import ServerName, failure, unreadable
from relay.shapes.patience import Patience, busy
from relay.upstream import HTTPClient, HTTPReply, HTTPStream

OK = 200
MAX_ERROR_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`setting`: the full name of the setting that leads here, for messages.

    A busy server (409, 429, 503) is asked again after its Retry-After, inside the deadline. Any other status
    than 200 raises: Unavailable (busy to the end, credential, payment, path), UpstreamFailed,
    BlockedByUpstream; and whatever `HTTPClient` raises.
    """

    client: HTTPClient
    path: str
    setting: str
    server: ServerName

    def get(self, ctx: CallContext) -> HTTPReply:
        return self._patiently(lambda: self.client.request("GET", self.path, ctx=ctx), ctx)

    def post_json(self, obj: Any, ctx: CallContext) -> HTTPReply:
        return self._patiently(lambda: self.client.post_json(self.path, obj, ctx=ctx), ctx)

    def post_wav(self, fields: Sequence[tuple[str, str]], wav: Path, ctx: CallContext) -> HTTPReply:
        """A form with `fields` and the recording as `file`."""
        file = ("file", "audio.wav", wav, "audio/wav")
        return self._patiently(lambda: self.client.post_multipart(self.path, fields, file, ctx=ctx), ctx)

    @contextmanager
    def stream_json(self, obj: Any, ctx: CallContext) -> Iterator[HTTPStream]:
        """An answer with status 200 while it arrives."""
        patience = Patience(self.server.name, ctx)
        while True:
            with self.client.stream_json(self.path, obj, ctx=ctx) as stream:
                if stream.status == OK:
                    yield stream
                    return
                reply = HTTPReply(stream.status, stream.headers, stream.read_all(MAX_ERROR_BYTES))
            if not busy(reply):
                raise failure(reply, self.server, self.setting, self.path)
            patience.wait(reply)

    def unreadable(self, reply: HTTPReply, what: str) -> UpstreamFailed:
        """The error for an answer with status 200 that makes no sense: `what` says why, the log has more."""
        return unreadable(reply, self.server, self.setting, what)

    def _patiently(self, send: Callable[[], HTTPReply], ctx: CallContext) -> HTTPReply:
        reply = send()
        if reply.status == OK:
            return reply
        patience = Patience(self.server.name, ctx)
        while busy(reply):
            patience.wait(reply)
            reply = send()
        if reply.status != OK:
            raise failure(reply, self.server, self.setting, self.path)
        return reply
