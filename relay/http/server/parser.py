"""Reads one request and refuses it as early as it can be known to be refused."""

from __future__ import annotations

import logging
import re
import time
from typing import Any

from waitress.parser import HTTPRequestParser, ParsingError

from relay.errors import BadRequest, RelayError, TooLarge
from relay.http.server.errors import internal
from relay.http.server.options import Gate, RequestHead
from relay.http.server.spool import BodyBuffer, Spool, full

log = logging.getLogger(__name__)

MAX_CHUNK_LINE = 1024
MAX_TRAILER = 16 * 1024
MAX_OPENING = 2048

_TRANSFER_ENCODING = re.compile(rb"^transfer-encoding[ \t]*:[ \t]*(.*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_NOT_IN_A_TARGET = re.compile(r"[\x00-\x20\x7f]")


class RequestParser(HTTPRequestParser):  # type: ignore[misc]
    """waitress's parser with the gate, our limits and our spool. One object per request, used by the network thread.

    A refused request is `completed` with `error` set (ours or waitress's), and swallows what follows it.
    """

    head: RequestHead | None = None
    # Set by waitress as it reads; a broken request may have none.
    command = ""
    path = ""

    def __init__(self, adj: Any, gate: Gate, spool: Spool) -> None:
        super().__init__(adj)
        self._gate = gate
        self._spool = spool
        self._limit = 0
        self._opening = b""
        self.waiting_since = time.monotonic()

    @property
    def asked_path(self) -> str:
        """The path of the request line, also of a request whose headers could not be read; "" without one."""
        if self.head is not None:
            return self.head.path
        words = self._opening.lstrip().partition(b"\n")[0].split(b" ")
        return words[1].partition(b"?")[0].decode("latin-1") if len(words) > 1 and words[1].startswith(b"/") else ""

    def received(self, data: bytes) -> int:
        had_head = self.headers_finished
        if not had_head and len(self._opening) < MAX_OPENING:
            self._opening += data[:MAX_OPENING]
        try:
            consumed: int = super().received(data)
            if self.error is None:
                if had_head:
                    self._check_body()
                elif self.headers_finished:
                    self._admit()
        except RelayError as exc:
            self.refuse(exc)
        except OSError as exc:
            log.warning("cannot spool a request body: %s", exc)
            self.refuse(full())
        except ValueError:
            # A Content-Length of thousands of digits, or a target that is no URL: waitress lets these through.
            self.refuse(BadRequest("the request is not valid HTTP: its target or a number in it cannot be read"))
        if self.error is not None:
            self.refuse(self.error)
            # What follows belongs to the refused body. Reading it as a request would let a caller hide one in it.
            return len(data)
        if self.completed:
            # There is nothing left to send: 100 Continue would make waitress wait for more.
            self.expect_continue = False
        return consumed

    def refuse(self, error: Any) -> None:
        """End this request with `error` as its answer. The traceback is dropped: it would keep the body alive."""
        self.error = error.with_traceback(None) if isinstance(error, RelayError) else error
        self.completed = True
        # waitress drops an empty request without an answer.
        self.empty = False
        self.expect_continue = False

    def parse_header(self, header_plus: bytes) -> None:
        """Stricter than waitress where two readers of one request could disagree about where it ends."""
        encodings = _TRANSFER_ENCODING.findall(header_plus) if b"transfer-encoding" in header_plus.lower() else []
        if encodings and [coding.lower() for coding in encodings] != [b"chunked"]:
            raise ParsingError("the only Transfer-Encoding understood is chunked")
        super().parse_header(header_plus)
        if self.version not in ("1.0", "1.1"):
            raise ParsingError("it must be HTTP/1.1 or HTTP/1.0")
        if encodings and self.version == "1.0":
            raise ParsingError("HTTP/1.0 has no Transfer-Encoding")
        if encodings and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("it has both Content-Length and Transfer-Encoding")
        if _NOT_IN_A_TARGET.search(self.request_uri) or "\0" in self.path:
            raise ParsingError("its target contains control characters")

    def _admit(self) -> None:
        if self.empty:
            raise BadRequest("the request is not valid HTTP: it consists of empty lines")
        self.head = head = self._read_head()
        self._limit = self._ask_gate(head)
        declared = self.content_length
        if declared > self._limit:
            raise TooLarge(f"the body may have {self._limit} bytes and this one has {declared}")
        self._spool.expect(declared)
        if self.body_rcv is not None:
            self.body_rcv.buf = BodyBuffer(self._spool)
        self.waiting_since = time.monotonic()

    def _read_head(self) -> RequestHead:
        # The path as waitress will hand it to the application: leading slashes are one.
        path = "/" + self.path.lstrip("/") if self.path.startswith("/") else self.path or "/"
        headers = {name.replace("_", "-").lower(): value for name, value in self.headers.items()}
        return RequestHead(self.command, path, headers, None if self.chunked else self.content_length)

    def _ask_gate(self, head: RequestHead) -> int:
        try:
            return self._gate(head)
        except RelayError:
            raise
        except Exception as exc:
            log.exception("the gate failed on a %s request", head.method)
            raise internal() from exc

    def _check_body(self) -> None:
        body = self.body_rcv
        if len(body.buf) > self._limit:
            raise TooLarge(f"the body may have {self._limit} bytes and this one has more")
        if self.chunked and (len(body.control_line) > MAX_CHUNK_LINE or len(body.trailer) > MAX_TRAILER):
            raise BadRequest("the request is not valid HTTP: a chunk header or the trailer is too long")
        if self.completed:
            body.buf.finish()
