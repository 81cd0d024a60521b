"""What the sandbox was sent and what it answered. A ring: old records go when new ones need their place."""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.testing.sandbox.bodies import Body
from relay.testing.sandbox.service import Refusal

MAX_RECORDS = 1000
MAX_BYTES = 64 * 1024 * 1024
MAX_TEXT = 200_000
LOOK_SECONDS = 0.02
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "x-goog-api-key", "x-api-key", "api-key", "cookie"})
SECRET_QUERY = frozenset({"key", "access_token", "token"})


@dataclass
class Record:
    """One request. Times are seconds since 1970.

    `complete`: the whole answer was sent; `billed`: and it was a good one. `hung_up`: the client left before that.
    `kept` and `weight` (bytes of body in memory) are the ring's own.
    """

    id: int
    service: str
    route: str | None
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    fault: str | None = None
    size: int = 0
    sha256: str = ""
    json: Any = None
    form: dict[str, list[str]] | None = None
    files: dict[str, dict[str, Any]] | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.time)
    ended: float | None = None
    status: int | None = None
    complete: bool = False
    billed: bool = False
    hung_up: bool = False
    kept: bool = True
    weight: int = 0

    def describe(self, body: Body) -> None:
        """Take over what the body says. A body that cannot be read is the handler's to complain about."""
        self.size, self.sha256 = body.size, body.sha256
        try:
            if body.size and (body.kind == "application/json" or body.open().read(1) == b"{"):  # curl -d names no JSON
                self.json = _cut(body.json())
            elif body.kind == "multipart/form-data":
                form = body.form()
                self.form = {name: [_cut(value) for value in values] for name, values in form.fields.items()}
                self.files = {name: _file(upload) for name, upload in form.files.items()}
        except Refusal as exc:
            self.notes["unreadable"] = exc.message

    def view(self) -> dict[str, Any]:
        """As JSON; `json`, `form` and `files` only where there are some."""
        hidden = {name for name in ("json", "form", "files") if getattr(self, name) is None} | {"kept", "weight"}
        return {name: value for name, value in vars(self).items() if name not in hidden}


def _file(upload: Any) -> dict[str, Any]:
    return {
        "filename": upload.filename,
        "content_type": upload.content_type,
        "size": upload.size,
        "sha256": upload.sha256,
        "seconds": upload.seconds,
    }


def _cut(value: Any) -> Any:
    """The same with long texts shortened: the first 1000 characters, how many there are, and their SHA-256."""
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"{value[:1000]}… ({len(value)} characters, sha256 {hashlib.sha256(value.encode()).hexdigest()})"
    if isinstance(value, list):
        return [_cut(item) for item in value]
    if isinstance(value, dict):
        return {key: _cut(item) for key, item in value.items()}
    return value


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """A secret becomes the start of its SHA-256: one can tell two apart, and check which one was sent."""
    return {name: _hidden(value) if name in SECRET_HEADERS else value for name, value in headers.items()}


def query_without_secrets(query: Mapping[str, str]) -> dict[str, str]:
    return {name: _hidden(value) if name in SECRET_QUERY else value for name, value in query.items()}


def _hidden(value: str) -> str:
    scheme, space, token = value.partition(" ")
    secret, kept = (token, f"{scheme} ") if space else (value, "")
    return f"{kept}sha256:{hashlib.sha256(secret.encode()).hexdigest()[:12]}"


class Records:
    """Iterate over it, oldest first; call it to have those of one service."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._ids = itertools.count(1)
        self._kept: deque[Record] = deque()
        self._bytes = 0
        self._counts: dict[str, dict[str, dict[str, int]]] = {}

    def __iter__(self) -> Iterator[Record]:
        with self._lock:
            return iter(list(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    def __call__(self, service: str | None = None, route: str | None = None) -> list[Record]:
        return [r for r in self if service in (None, r.service) and route in (None, r.route)]

    def start(self, service: str, route: str | None, method: str, path: str, **more: Any) -> Record:
        with self._lock:
            record = Record(next(self._ids), service, route, method, path, **more)
            self._kept.append(record)
            self._counter(record)["calls"] += 1
            self._trim()
            self._lock.notify_all()
            return record

    def arrived(self, record: Record, body: Body) -> None:
        """The body is here: describe it, and drop the oldest records beyond the bounds."""
        record.describe(body)
        with self._lock:
            if record.kept:
                record.weight = body.size if record.json is not None or record.form is not None else 0
                self._bytes += record.weight
            self._trim()
            self._lock.notify_all()

    def answered(self, record: Record, *, billed: bool) -> None:
        """The last bytes of the answer are about to leave."""
        with self._lock:
            record.complete, record.billed = True, billed
            record.ended = time.time()
            self._counter(record)["billed"] += billed
            self._lock.notify_all()

    def hung_up(self, record: Record) -> None:
        """The client left before it had everything."""
        with self._lock:
            self._counter(record)["billed"] -= record.billed
            record.complete = record.billed = False
            record.hung_up = True

    def end(self, record: Record) -> None:
        with self._lock:
            record.ended = time.time()
            self._lock.notify_all()

    def wait(self, wanted: Callable[[Record], bool], seconds: float = 10.0) -> Record:
        """The first record of which `wanted` is true, as soon as there is one. TimeoutError when there is none."""
        end = time.monotonic() + seconds
        with self._lock:
            while (found := next(filter(wanted, self._kept), None)) is None and time.monotonic() < end:
                self._lock.wait(LOOK_SECONDS)  # a handler's notes wake nobody
        if found is not None:
            return found
        raise TimeoutError(f"no such request within {seconds} seconds; there are {[r.view() for r in self]}")

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Service to route to `calls` (how many came) and `billed` (how many were answered in full and well)."""
        with self._lock:
            return {name: {r: dict(c) for r, c in routes.items()} for name, routes in self._counts.items()}

    def reset(self) -> None:
        with self._lock:
            for record in self._kept:
                record.kept = False
            self._kept.clear()
            self._counts.clear()
            self._bytes = 0

    def _trim(self) -> None:
        while len(self._kept) > MAX_RECORDS or (self._bytes > MAX_BYTES and len(self._kept) > 1):
            oldest = self._kept.popleft()
            oldest.kept = False
            self._bytes -= oldest.weight

    def _counter(self, record: Record) -> dict[str, int]:
        routes = self._counts.setdefault(record.service, {})
        return routes.setdefault(record.route or "(unknown)", {"calls": 0, "billed": 0})
