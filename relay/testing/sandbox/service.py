"""What a service of the sandbox is. The frame (server, faults, records, control) knows only this file.

A service is played under `/<name>/`; the one below answers `GET http://127.0.0.1:PORT/echo/v1/items/7`:

    class Echo(Service):
        name = "echo"
        title = "says what it was sent"
        settings = 'plugins.echo.url = "{url}"'                 # printed at start; {url} is http://127.0.0.1:PORT/echo
        faults = {"shout": "answers in capitals"}               # faults of its own; the common ones come by themselves

        def routes(self) -> Sequence[Route]:
            return [Route("item", "GET", "/v1/items/{id}", self.item), Route("say", "POST", "/v1/say", self.say)]

        def item(self, call: Call) -> Reply:
            if call.params["id"] == "0":
                raise Refusal(404, "there is no item 0")        # becomes self.error(404, ...)
            return json_reply({"id": call.params["id"]})

        def say(self, call: Call) -> Reply:
            text = str(call.json()["text"])
            if call.has_fault("shout"):
                text = text.upper()
            return stream_reply(sse({"word": word}) for word in text.split())

        def error(self, status: int, message: str) -> Reply:    # the body this service's errors have
            return json_reply({"error": message}, status)

To have it in `relay sandbox`, add its class to `catalogue.py`; in a test, `with sandbox([Echo()]) as box:`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, ClassVar

import msgspec

if TYPE_CHECKING:
    from relay.testing.sandbox.bodies import Body, Form
    from relay.testing.sandbox.records import Record

MAX_READ_BYTES = 64 * 1024 * 1024


class Refusal(Exception):
    """Raised by a handler: the service answers `status` with its own error body."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


class HungUp(Exception):
    """The client closed its connection while the call was being answered. Handlers let it pass."""


@dataclass(slots=True)
class Reply:
    """`body`: bytes are sent with a Content-Length; an iterable is sent as a chunked stream, piece by piece.

    A number among the pieces is a pause of so many seconds. An iterator runs while the answer is being sent, one
    piece ahead of what is sent: pause with a number, not inside it.
    """

    status: int = 200
    body: bytes | Iterable[bytes | float] = b""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def streamed(self) -> bool:
        return not isinstance(self.body, bytes)


def json_reply(obj: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, msgspec.json.encode(obj), {"content-type": "application/json", **(headers or {})})


def stream_reply(pieces: Iterable[bytes | float], content_type: str = "text/event-stream") -> Reply:
    """Answers with 200, piece by piece."""
    return Reply(200, pieces, {"content-type": content_type, "cache-control": "no-cache"})


def sse(data: Any, event: str = "") -> bytes:
    """One server-sent event. `data`: text as it is, anything else as JSON."""
    text = data if isinstance(data, str) else msgspec.json.encode(data).decode()
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that hits this call. `options`: the parameters it was set with."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """One request to a service.

    `path` starts after the service's name; `params` are the `{...}` of the route's pattern; header names are in
    lower case; `base_url` is the service's own, without a slash at the end. `fault` is a fault of the service's own
    that hits this call: the common faults are the frame's business.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    params: dict[str, str]
    base_url: str
    body: Body
    record: Record
    fault: Fault | None
    sleep: Callable[[float], None]
    """Wait so many seconds; raises HungUp as soon as the client hangs up, and Cut when the sandbox closes."""
    until_end: Callable[[AbstractContextManager[Any]], Any]
    """Enter a context that is left when the answer has been sent, or could not be."""
    query_string: str = ""
    """The query as it was sent, for names that are repeated: `query` has their last value."""

    def has_fault(self, name: str) -> bool:
        return self.fault is not None and self.fault.name == name

    def option(self, name: str, default: Any = None) -> Any:
        """A parameter of the fault that hits this call."""
        return default if self.fault is None else self.fault.options.get(name, default)

    def json(self) -> Any:
        """The body as JSON: mostly an object. Raises Refusal(400) for anything else than JSON."""
        return self.body.json()

    def form(self) -> Form:
        """The body as multipart: `fields` (name to list of texts) and `files`. Raises Refusal(400)."""
        return self.body.form()

    def raw(self) -> IO[bytes]:
        """The body as it came, from its start. `body.size` is its length, `body.sha256` its hex digest."""
        return self.body.open()

    def bearer(self) -> str | None:
        """The token of `Authorization: Bearer`, or None."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token.strip() else None

    def note(self, **facts: Any) -> None:
        """Keep what the handler made out of the request with its record, under `notes`."""
        self.record.notes.update(facts)


@dataclass(frozen=True, slots=True)
class Route:
    """`name`: what faults, records and counts call it. `pattern`: `{x}` matches text without a slash.

    `/v1/models/{model}:generateContent` works. The first route that matches wins.
    """

    name: str
    method: str
    pattern: str
    handler: Callable[[Call], Reply]


class Service:
    """Base class of all services. Handlers run on many threads at once; a service guards its own state."""

    name: ClassVar[str]
    title: ClassVar[str] = ""
    settings: ClassVar[str] = ""
    """Lines for plugins.toml; `{url}` is replaced."""
    faults: ClassVar[Mapping[str, str]] = {}
    """Its own faults: name to what it does, with its parameters. They reach handlers as `call.fault`."""

    def routes(self) -> Sequence[Route]:
        raise NotImplementedError

    def error(self, status: int, message: str) -> Reply:
        """The error body of this service, also for the common faults `status` and `retry_after`, and for 404."""
        return json_reply({"error": {"message": message, "code": status}}, status)

    def stream_error(self, status: int, message: str) -> bytes:
        """What this service sends in the middle of a stream for the common fault `error_in_stream`."""
        body = self.error(status, message).body
        assert isinstance(body, bytes)
        return sse(body.decode())

    def state(self) -> dict[str, Any]:
        """What `GET /_sandbox/<name>` shows: what can be set, as it is now."""
        return {}

    def configure(self, changes: Mapping[str, Any]) -> None:
        """`PUT /_sandbox/<name>`. ValueError with a message for what cannot be."""
        if changes:
            raise ValueError(f"{self.name} has nothing to set")

    def actions(self) -> Mapping[str, Callable[..., Any]]:
        """`POST /_sandbox/<name>/<action>`: what happens in the service's own world, such as a buyer who pays.

        Called with the members of the JSON object that was sent; the answer is what they return, as JSON. ValueError
        with a message for what cannot be.
        """
        return {}

    def reset(self) -> None:
        """`POST /_sandbox/reset`: forget everything and be as new."""

    def close(self) -> None:
        """The sandbox closes: remove temporary files."""
