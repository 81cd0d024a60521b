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

from relay.books import audit
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

    def start(self, name: str, *, actor: str) -> str:
        """Where to send the operator's browser. An earlier start that was not finished is void."""
        rail, state = self._rail(name), secrets.token_urlsafe(24)
        expires = iso(self._clock() + timedelta(minutes=MINUTES))

        def begin(tx: Tx) -> None:
            tx.put("settings", _key(name), {"sha256": _hash(state), "expires_at": expires, "actor": actor})
            audit.record(tx, actor, "rails.begin_connect", name)

        self._storage.transact(begin)
        with boundary(name, RailUnavailable):
            return rail.connect_start(f"{self._base}/admin/{name}/callback?state={state}").redirect

    def finish(self, name: str, state: str, form: Mapping[str, Sequence[str]]) -> Step:
        """The browser is back. Raises Forbidden for a state that is missing, wrong, used or too old, and for a rail
        that is not here: who guesses learns nothing."""
        rail = self._rails.get(name)
        actor = self._storage.transact(lambda tx: self._take(tx, name, state))
        if actor is None or not isinstance(rail, Connectable):
            raise Forbidden("this connection was not begun here, or half an hour has passed; begin again")
        with boundary(name, RailUnavailable):
            step = rail.connect_finish(form, self._webhook(name))
        self._note(actor, "rails.connect", name, {"done": step.done or None, "to_choose": step.choose is not None})
        return step

    def choose(self, name: str, store: str, *, actor: str) -> Step:
        with boundary(name, RailUnavailable):
            step = self._rail(name).connect_choose(store, self._webhook(name))
        self._note(actor, "rails.choose", name, {"store": store})
        return step

    def disconnect(self, name: str, *, actor: str) -> str:
        with boundary(name, RailUnavailable):
            done = self._rail(name).disconnect()
        self._note(actor, "rails.disconnect", name, {"done": done})
        return done

    def _note(self, actor: str, action: str, name: str, after: dict[str, Any]) -> None:
        """What a rail keeps, it has written in a transaction of its own, and the service outside knows of it too: so
        this line comes after it."""
        self._storage.transact(lambda tx: audit.record(tx, actor, action, name, after=after))

    def _take(self, tx: Tx, name: str, state: str) -> str | None:
        """Who began it; None for a wrong state."""
        begun = tx.get("settings", _key(name))
        if begun is None or not secrets.compare_digest(begun["sha256"], _hash(state)):
            return None
        tx.delete("settings", _key(name))
        return str(begun.get("actor", "admin")) if begun["expires_at"] > (iso(self._clock()) or "") else None

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
