"""The Idempotency-Key header: claim it before the work, replay what is stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import falcon
import msgspec

from relay.errors import BadJSON, BadRequest
from relay.ports.storage import Tx
from relay.services.core import Core
from relay.services.idempotency import Replay, Ticket, fingerprint

HEADER = "Idempotency-Key"
KEY = re.compile(r"[\x21-\x7e]{1,255}")
PIECE = 64 * 1024
JSON = {"Content-Type": "application/json"}


def claim(core: Core, req: falcon.Request, account: str, meaning: Callable[[], bytes]) -> Ticket | Replay | None:
    """None without a key. `meaning`: the body, apart from how it was written down; asked only when there is a key."""
    key = req.get_header(HEADER)
    if key is None:
        return None
    if not KEY.fullmatch(key):
        raise BadRequest("Idempotency-Key must be 1 to 255 visible ASCII characters", details={"path": HEADER})
    job = getattr(req.context, "job_name", None)
    return core.idempotency.claim(account, key, fingerprint(req.method, req.path, job, meaning()))


def replay(resp: falcon.Response, stored: Replay) -> None:
    """The stored answer, byte for byte, under the new request's id."""
    resp.status = falcon.code_to_http_status(stored.status)
    for name, value in stored.headers.items():
        resp.set_header(name, value)
    resp.set_header("Idempotent-Replayed", "true")
    if stored.reply is None:
        resp.data = stored.body + stored.tail
    else:
        resp.stream = _pieces(stored)
        resp.content_length = stored.size


def _pieces(stored: Replay) -> Iterator[bytes]:
    assert stored.reply is not None
    with stored.reply as file:
        while piece := file.read(PIECE):
            yield piece
    yield stored.tail


class Once:
    """A change that is answered at once. `replayed`: the stored answer is in `resp`, nothing is left to do."""

    def __init__(self, ticket: Ticket | None, *, replayed: bool = False) -> None:
        self.replayed = replayed
        self.stored = False
        self._ticket = ticket

    def answered(self, tx: Tx, body: dict[str, Any]) -> None:
        """Store the answer in the transaction that makes it true: a crash can then not come between."""
        if self._ticket is not None:
            self._ticket.answered(tx, 200, JSON, msgspec.json.encode(body))
            self.stored = True


@contextmanager
def once(core: Core, req: falcon.Request, resp: falcon.Response, account: str) -> Iterator[Once]:
    """Inside, the change is made, unless it was `replayed`. A failure frees the key; an answer that was not stored
    with the change is stored at the end. Read the body before (`read_json` keeps it in `req.context.raw`)."""
    claimed = claim(core, req, account, lambda: json_meaning(req))
    if isinstance(claimed, Replay):
        replay(resp, claimed)
        yield Once(None, replayed=True)
        return
    if claimed is None:
        yield Once(None)
        return
    with claimed.freed():
        change = Once(claimed)
        yield change
        if not change.stored:
            headers = dict(JSON)
            if location := resp.get_header("Location"):
                headers["Location"] = location
            claimed.keep(resp.data or b"")
            claimed.save(resp.status_code, headers)
    claimed.end()


def json_meaning(req: falcon.Request) -> bytes:
    """The JSON body without its spelling: keys in order, no spaces."""
    raw: bytes = getattr(req.context, "raw", b"")
    try:
        return msgspec.json.encode(msgspec.json.decode(raw), order="sorted") if raw else b""
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as exc:
        # Reading it as a type skips fields it does not know, whatever is in them.
        raise BadJSON(f"the body is not JSON: {exc}"[:300]) from None
