"""Connecting a payment service by its own consent page.

The browser comes back across sites, so without our cookie: a single-use secret in the return address, kept as a hash
for half an hour, says that it was this operator who began.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from relay.domain.instants import iso, utcnow
from relay.errors import Forbidden, NotFound, RailUnavailable, boundary
from relay.ports.rails import Connectable, Rail, Step
from relay.ports.storage import Storage, Tx

MINUTES = 30


class Connecting:
    def __init__(
        self, storage: Storage, rails: Mapping[str, Rail], public_url: str, clock: Callable[[], datetime] = utcnow
    ) -> None:
        self._storage = storage
        self._rails = rails
        self._base = public_url.rstrip("/")
        self._clock = clock

    def connection(self, name: str) -> dict[str, Any]:
        """What is connected. Raises NotFound for a rail that is connected in its settings only."""
        with boundary(name, RailUnavailable):
            return dict(self._rail(name).connection())

    def start(self, name: str) -> str:
        """Where to send the operator's browser. An earlier start that was not finished is void."""
        rail, state = self._rail(name), secrets.token_urlsafe(24)
        begun = {"sha256": _hash(state), "expires_at": iso(self._clock() + timedelta(minutes=MINUTES))}
        self._storage.transact(lambda tx: tx.put("settings", _key(name), begun))
        with boundary(name, RailUnavailable):
            return rail.connect_start(f"{self._base}/admin/{name}/callback?state={state}").redirect

    def finish(self, name: str, state: str, form: Mapping[str, Sequence[str]]) -> Step:
        """The browser is back. Raises Forbidden for a state that is missing, wrong, used or too old."""
        rail = self._rail(name)
        if not self._storage.transact(lambda tx: self._take(tx, name, state)):
            raise Forbidden("this connection was not begun here, or half an hour has passed; begin again")
        with boundary(name, RailUnavailable):
            return rail.connect_finish(form, self._webhook(name))

    def choose(self, name: str, store: str) -> Step:
        with boundary(name, RailUnavailable):
            return self._rail(name).connect_choose(store, self._webhook(name))

    def disconnect(self, name: str) -> str:
        with boundary(name, RailUnavailable):
            return self._rail(name).disconnect()

    def _take(self, tx: Tx, name: str, state: str) -> bool:
        begun = tx.get("settings", _key(name))
        if begun is None or not secrets.compare_digest(begun["sha256"], _hash(state)):
            return False
        tx.delete("settings", _key(name))
        return bool(begun["expires_at"] > (iso(self._clock()) or ""))

    def _rail(self, name: str) -> Connectable:
        rail = self._rails.get(name)
        if not isinstance(rail, Connectable):
            raise NotFound(f"there is no payment service {name} here that can be connected this way"[:200])
        return rail

    def _webhook(self, name: str) -> str:
        return f"{self._base}/relay/{name}/webhook"


def _key(name: str) -> str:
    return f"connect:{name}"


def _hash(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()
