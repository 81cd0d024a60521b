"""An answer on its way to the socket, and all the ways it can go wrong there."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from http import HTTPStatus

from relay.testing.sandbox.service import Fault, Reply, Service

PIECES = 8
NO_BODY = frozenset({204, 304})
PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1>nginx</body></html>"
HALF_AN_EVENT = b'data: {"half": "an obj\n\n'


class Cut(Exception):
    """The connection is to be closed here. `reset`: with a reset."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__("cut")
        self.reset = reset


def instead(fault: Fault | None, service: Service) -> Reply | None:
    """The answer a common fault gives in place of the service's, or None when the service shall answer."""
    if fault is None:
        return None
    options = fault.options
    if fault.name in ("status", "retry_after"):
        reply = service.error(options["status"], str(options["message"]))
        seconds = options["seconds" if fault.name == "retry_after" else "retry_after"]
        if seconds is not None:
            reply.headers["retry-after"] = f"{seconds:g}"
        return reply
    pages = {
        "html": Reply(options.get("status", 502), PAGE, {"content-type": "text/html"}),
        "garbage": Reply(200, b"}this is no JSON{", {"content-type": "application/json"}),
        "empty": Reply(200, b"", {"content-type": "application/json"}),
    }
    return pages.get(fault.name)


def head(reply: Reply) -> bytes:
    """The status line and the headers: with a length, or for chunks."""
    try:
        reason = HTTPStatus(reply.status).phrase
    except ValueError:
        reason = "Unknown"
    headers = dict(reply.headers)
    if isinstance(reply.body, bytes):
        headers["content-length"] = str(len(reply.body))
    else:
        headers["transfer-encoding"] = "chunked"
    lines = [f"HTTP/1.1 {reply.status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def pieces(
    reply: Reply,
    fault: Fault | None,
    service: Service,
    hold: Callable[[float], None],
) -> Generator[bytes | float, None, None]:
    """The body piece by piece, as the fault wants it; a number is a pause in seconds.

    `hold` waits as the fault `hang` does. Raises Cut.
    """
    if fault is None or fault.name not in _WAYS:
        yield from ([reply.body] if isinstance(reply.body, bytes) else reply.body)
        return
    parts = _split(reply.body) if isinstance(reply.body, bytes) else _without_pauses(reply.body)
    chunks = fault.options.get("chunks", 0)
    number = 0
    for number, part in enumerate(parts, 1):
        if fault.name == "slow_chunks" and number > 1:
            yield float(fault.options["seconds"])
        if fault.name != "slow_chunks" and number > chunks:
            yield from _instead_of_the_rest(fault, service, streamed=reply.streamed, hold=hold)
            if fault.name == "malformed_sse" or not reply.streamed:
                yield part
                yield from parts
            return
        yield part
    if fault.name != "slow_chunks":
        yield from _instead_of_the_rest(fault, service, streamed=reply.streamed, hold=hold)


_WAYS = frozenset({"slow_chunks", "cut", "hang", "error_in_stream", "malformed_sse"})


def _instead_of_the_rest(
    fault: Fault, service: Service, *, streamed: bool, hold: Callable[[float], None]
) -> Iterator[bytes | float]:
    if fault.name == "cut":
        raise Cut(reset=bool(fault.options["reset"]))
    if fault.name == "hang":
        yield 0.0  # what came before leaves first
        hold(fault.options["seconds"])
        raise Cut
    if streamed and fault.name == "error_in_stream":
        yield service.stream_error(fault.options["status"], str(fault.options["message"]))
    elif streamed:
        yield HALF_AN_EVENT


def _split(body: bytes) -> Iterator[bytes]:
    """Up to eight pieces, so that there is a middle."""
    size = max(1, -(-len(body) // PIECES))
    return (body[at : at + size] for at in range(0, len(body), size))


def _without_pauses(body: Iterable[bytes | float]) -> Iterator[bytes]:
    return (part for part in body if isinstance(part, bytes))
