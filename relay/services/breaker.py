"""Which backends have been failing, and whom to ask last for a while because of it.

Closed: asked in its place. After FAILURES service failures in a row it is open: asked after all others, for a
time that doubles with every relapse. When that time is over it is half open: one call takes it in its place
again, and what comes of it decides. Nothing is ever refused here; a backend that is all there is gets asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from relay.domain.instants import iso, utcnow
from relay.errors import NotAccepted, OutcomeUnknown, RelayError, Unavailable, UpstreamFailed

FAILURES = 5
FIRST_SECONDS = 10.0
LONGEST_SECONDS = 120.0
LONGEST_TOLD_SECONDS = 600.0
"""How far a service's own Retry-After is believed."""
PROBE_SECONDS = 120.0
"""So long others wait for the outcome of a probe; its caller may have left before it reached the service."""

SERVICE_FAILURES = (Unavailable, UpstreamFailed, OutcomeUnknown)


class Named(Protocol):
    name: str


N = TypeVar("N", bound=Named)


@dataclass(slots=True)
class _Circuit:
    """`until` and `probing_until` on the monotonic clock, 0.0 when closed. `told`: the service itself asked for it."""

    failures: int = 0
    until: float = 0.0
    told: bool = False
    relapses: int = 0
    probing_until: float = 0.0
    last_error: str | None = None


class Breaker:
    """Safe to use from any thread. A backend in good health costs no lock."""

    def __init__(self, names: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._circuits = {name: _Circuit() for name in names}
        self._clock = clock
        self._lock = threading.Lock()

    def order(self, candidates: Sequence[N]) -> list[N]:
        """The candidates with the demoted ones last. A half-open one stays in its place for one caller at a time."""
        if not any(self._circuits[candidate.name].until for candidate in candidates):
            return list(candidates)
        now = self._clock()
        with self._lock:
            demoted = {c.name for c in candidates if self._is_demoted(self._circuits[c.name], now)}
        return sorted(candidates, key=lambda candidate: candidate.name in demoted)

    def _is_demoted(self, circuit: _Circuit, now: float) -> bool:
        if not circuit.until:
            return False
        if now < max(circuit.until, circuit.probing_until):
            return True
        circuit.probing_until = now + PROBE_SECONDS
        return False

    def succeeded(self, name: str) -> None:
        circuit = self._circuits[name]
        if not circuit.failures and not circuit.until:
            return
        with self._lock:
            circuit.failures = 0
            # An answer to an older call does not shorten the pause that the service asked for.
            if not circuit.told or self._clock() >= circuit.until:
                circuit.until = circuit.probing_until = 0.0
                circuit.relapses = 0
                circuit.told = False

    def abandoned(self, name: str) -> None:
        """The call ended before it could tell anything about the service: if it was a probe, the next one is."""
        if self._circuits[name].probing_until:
            with self._lock:
                self._circuits[name].probing_until = 0.0

    def failed(self, name: str, error: RelayError) -> None:
        """Only the service's own failures count: not what it cannot do, what it refused, or what the caller did."""
        if not isinstance(error, SERVICE_FAILURES) or isinstance(error, NotAccepted):
            self.abandoned(name)
            return
        circuit, now = self._circuits[name], self._clock()
        with self._lock:
            circuit.failures += 1
            circuit.last_error = error.code
            if error.retry_after is not None and error.retry_after > 0:
                circuit.until = max(circuit.until, now + min(error.retry_after, LONGEST_TOLD_SECONDS))
                circuit.told = True
                circuit.probing_until = 0.0
            elif now < circuit.until:
                # One of the calls that were under way when it was demoted, or that had nobody else to ask.
                return
            elif circuit.until or circuit.failures >= FAILURES:
                circuit.until = now + min(FIRST_SECONDS * 2.0**circuit.relapses, LONGEST_SECONDS)
                circuit.told = False
                circuit.relapses = min(circuit.relapses + 1, 10)
                circuit.probing_until = 0.0

    def state(self) -> dict[str, dict[str, Any]]:
        """By backend: `state`, `consecutive_failures`, `demoted_until` (ISO 8601, or null), `last_error` (a code)."""
        now, instant = self._clock(), utcnow()
        with self._lock:
            return {name: _view(circuit, now, instant) for name, circuit in self._circuits.items()}


def _view(circuit: _Circuit, now: float, instant: Any) -> dict[str, Any]:
    state = "closed" if not circuit.until else "open" if now < circuit.until else "half_open"
    until = instant + timedelta(seconds=circuit.until - now) if state == "open" else None
    return {
        "state": state,
        "consecutive_failures": circuit.failures,
        "demoted_until": iso(until),
        "last_error": circuit.last_error,
    }
