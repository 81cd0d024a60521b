"""Faults: which one hits which call. Those every service has are listed here; a service adds its own."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay.testing.sandbox.service import Fault, Service

MAX_FAULTS = 100
MAX_SECONDS = 600.0

COMMON: dict[str, tuple[str, dict[str, Any]]] = {
    "status": (
        "answers `status` with the service's own error body and `message`; `retry_after` sets that header",
        {"status": 500, "message": "the sandbox was told to fail", "retry_after": None},
    ),
    "retry_after": (
        "answers `status` with a Retry-After of `seconds`",
        {"status": 429, "seconds": 1, "message": "the sandbox was told to be busy"},
    ),
    "html": ("answers `status` with a page of HTML, as a proxy in between would", {"status": 502}),
    "garbage": ("answers 200 with a JSON content type and no JSON", {}),
    "empty": ("answers 200 with no body", {}),
    "slow_first_byte": ("waits `seconds` before the first byte of the answer", {"seconds": 1.0}),
    "slow_chunks": ("waits `seconds` between the pieces of the answer", {"seconds": 0.2}),
    "cut": (
        "closes the connection after `chunks` pieces of the answer; `reset`: with a reset",
        {"chunks": 1, "reset": False},
    ),
    "error_in_stream": (
        "sends the service's error after `chunks` pieces of a streamed answer, and no more",
        {"chunks": 1, "status": 500, "message": "the sandbox was told to fail in the middle"},
    ),
    "malformed_sse": ("puts an event that is half a JSON object after `chunks` pieces of a stream", {"chunks": 1}),
    "hang": (
        "stops answering after `chunks` pieces, until the client hangs up, the faults are deleted or `seconds` pass",
        {"chunks": 0, "seconds": MAX_SECONDS},
    ),
    "refuse": ("resets the connection before the body is read", {}),
}
"""Name to what it does and its parameters with their defaults."""


@dataclass
class Planned:
    """`left`: how many calls it will still hit (None: all); `after`: how many pass untouched before."""

    id: int
    service: str
    route: str | None
    fault: str
    options: dict[str, Any]
    left: int | None
    after: int


class Faults:
    """The planned faults, in the order they were added; the first that fits a call hits it."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = {service.name: service for service in services}
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._planned: list[Planned] = []
        self.cleared = 0
        """Rises whenever faults are deleted: a call that hangs then ends."""

    def add(
        self,
        service: str,
        fault: str,
        *,
        route: str | None = None,
        times: int | None = None,
        after: int = 0,
        **options: Any,
    ) -> int:
        """Plan a fault for the next calls. `times`: how many it hits, `after`: how many pass before. Returns its id.

        Raises ValueError for an unknown service, route, fault or parameter.
        """
        self._check(service, fault, route, options)
        if (times is not None and (type(times) is not int or times < 1)) or type(after) is not int or after < 0:
            raise ValueError("times is a whole number from 1, after a whole number from 0")
        with self._lock:
            if len(self._planned) >= MAX_FAULTS:
                raise ValueError(f"there are {MAX_FAULTS} faults already: delete them first")
            planned = Planned(next(self._ids), service, route, fault, options, times, after)
            self._planned.append(planned)
            return planned.id

    def take(self, service: str, route: str) -> Fault | None:
        """The fault that hits this call, counted."""
        with self._lock:
            for planned in self._planned:
                if planned.service != service or planned.route not in (None, route):
                    continue
                if planned.after > 0:
                    planned.after -= 1
                    continue
                if planned.left is not None:
                    planned.left -= 1
                    if planned.left == 0:
                        self._planned.remove(planned)
                defaults = COMMON[planned.fault][1] if planned.fault in COMMON else {}
                return Fault(planned.fault, {**defaults, **planned.options})
        return None

    def clear(self) -> None:
        """Delete all; calls that hang now end."""
        with self._lock:
            self._planned.clear()
            self.cleared += 1

    def list(self) -> list[dict[str, Any]]:
        with self._lock:
            return [dict(vars(planned)) for planned in self._planned]

    def _check(self, service: str, fault: str, route: str | None, options: Mapping[str, Any]) -> None:
        if service not in self._services:
            raise ValueError(f"there is no service {service!r}; there are {', '.join(self._services)}")
        played = self._services[service]
        names = [found.name for found in played.routes()]
        if route is not None and route not in names:
            raise ValueError(f"{service} has no route {route!r}; it has {', '.join(dict.fromkeys(names))}")
        if fault not in COMMON:
            if fault not in played.faults:
                raise ValueError(f"{service} has no fault {fault!r}; it has {', '.join([*COMMON, *played.faults])}")
            return
        defaults = COMMON[fault][1]
        for name, value in options.items():
            if name not in defaults:
                raise ValueError(f"fault {fault!r} has no parameter {name!r}; it has {', '.join(defaults) or 'none'}")
            _check_value(fault, name, value)


def _check_value(fault: str, name: str, value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in ("seconds", "retry_after") and not (number and 0 <= value <= MAX_SECONDS):
        raise ValueError(f"{name} of fault {fault!r} is a number of seconds from 0 to {MAX_SECONDS:g}")
    if name == "chunks" and not (type(value) is int and value >= 0):
        raise ValueError(f"chunks of fault {fault!r} is a whole number from 0")
    if name == "status" and not (type(value) is int and 200 <= value <= 599):
        raise ValueError(f"status of fault {fault!r} is a whole number from 200 to 599")
