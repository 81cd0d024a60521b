"""Sessions of the operator's browsers.

One ends a day after its login, or 8 hours after its last use. A clock that is set back must not make it live longer:
a session that is seen from before its login or its last use has ended too.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from relay.books import audit
from relay.domain.instants import iso, utcnow
from relay.errors import NotFound
from relay.ports.storage import ReadTx, Storage, Tx
from relay.services.admin_passwords import Passwords
from relay.services.last_use import LastUse

COLL = "sessions"
SESSION_HOURS = 24
IDLE_HOURS = 8
MAX_SESSIONS = 50
CLOCK_SLACK = timedelta(minutes=5)
"""How far a clock that is being kept right may go back."""
ID_LENGTH = 16


class Stored(Struct):
    """`password`: ties the session to the password of its login."""

    csrf_token: str
    password: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime
    address: str = ""


class Session(Struct, frozen=True):
    """`id` is public, the cookie's secret cannot be made from it."""

    id: str
    csrf_token: str
    expires_at: datetime


class Sessions:
    def __init__(self, storage: Storage, passwords: Passwords, clock: Callable[[], datetime] = utcnow) -> None:
        self._storage = storage
        self._passwords = passwords
        self._clock = clock
        self.last_use = LastUse(storage, COLL)

    def open(self, mark: str, address: str) -> tuple[str, Session]:
        """A new session for who knew the password of `mark`: its secret for the cookie, and the rest. Past
        MAX_SESSIONS the oldest end."""
        token, csrf, now = secrets.token_urlsafe(32), secrets.token_urlsafe(32), self._clock()
        stored = Stored(csrf, _seal(token, mark), now, now + timedelta(hours=SESSION_HOURS), now, address)

        def open_it(tx: Tx) -> None:
            too_many = tx.count(COLL) - MAX_SESSIONS + 1
            for key, _ in tx.scan(COLL, "expires_at", limit=max(0, too_many)):
                tx.delete(COLL, key)
            tx.put(COLL, _key(token), stored)
            audit.record(tx, "admin", "sessions.login", _key(token)[:ID_LENGTH], address=address)

        self._storage.transact(open_it)
        return token, self._session(_key(token), stored)

    def find(self, token: str) -> Session | None:
        """None for a cookie that is no session (any more)."""
        key = _key(token)
        stored, mark = self._storage.read(lambda tx: (_load(tx, key), self._passwords.mark(tx)))
        if stored is None or not same(stored.password, _seal(token, mark)):
            return None
        now = self._clock()
        if not self._alive(key, stored, now):
            return None
        self.last_use.saw(key, now)
        return self._session(key, stored)

    def list(self, current: str) -> list[dict[str, Any]]:
        """The last used first. `current`: the id of the session that asks."""
        now = self._clock()
        found = [(key, stored) for key, stored in self._storage.read(_all) if self._alive(key, stored, now)]
        found.sort(key=lambda row: self._used(*row), reverse=True)
        return [
            {
                "id": key[:ID_LENGTH],
                "current": key[:ID_LENGTH] == current,
                "created_at": iso(stored.created_at),
                "last_used_at": iso(self._used(key, stored)),
                "expires_at": iso(self._ends(key, stored)),
                "address": stored.address,
            }
            for key, stored in found
        ]

    def end(self, session_id: str, *, actor: str) -> None:
        """Log one browser out. Raises NotFound."""

        def end(tx: Tx) -> None:
            rows = tx.scan(COLL, prefix=session_id, limit=1) if len(session_id) == ID_LENGTH else []
            if not rows:
                raise NotFound("there is no such session; it has ended")
            tx.delete(COLL, rows[0][0])
            audit.record(tx, actor, "sessions.end", session_id)

        self._storage.transact(end)

    def logout(self, token: str, *, everywhere: bool, actor: str) -> int:
        """End this session, or all of them; how many."""

        def logout(tx: Tx) -> int:
            keys = [key for key, _ in tx.scan(COLL, limit=10 * MAX_SESSIONS)] if everywhere else [_key(token)]
            for key in keys:
                tx.delete(COLL, key)
            after = {"everywhere": True, "ended": len(keys)} if everywhere else None
            audit.record(tx, actor, "sessions.logout", _key(token)[:ID_LENGTH], after=after)
            return len(keys)

        return self._storage.transact(logout)

    def keep_only(self, tx: Tx, token: str, mark: str) -> int:
        """End all others, and tie this one to a new password; how many ended."""
        rows = tx.scan(COLL, limit=10 * MAX_SESSIONS)
        for key, _ in rows:
            if key != _key(token):
                tx.delete(COLL, key)
        stored = _load(tx, _key(token))
        if stored is not None:
            stored.password = _seal(token, mark)
            tx.put(COLL, _key(token), stored)
        return len(rows) - (stored is not None)

    def _alive(self, key: str, stored: Stored, now: datetime) -> bool:
        begun = max(stored.created_at, self._used(key, stored))
        return begun - CLOCK_SLACK <= now < self._ends(key, stored)

    def _ends(self, key: str, stored: Stored) -> datetime:
        return min(stored.expires_at, self._used(key, stored) + timedelta(hours=IDLE_HOURS))

    def _used(self, key: str, stored: Stored) -> datetime:
        return self.last_use.of(key, stored.last_used_at) or stored.last_used_at

    def _session(self, key: str, stored: Stored) -> Session:
        return Session(key[:ID_LENGTH], stored.csrf_token, self._ends(key, stored))


def same(one: str, other: str) -> bool:
    """Equal, in constant time."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def _load(tx: ReadTx, key: str) -> Stored | None:
    """None also for a row that an older relay wrote, or a person: log in again."""
    try:
        return tx.get(COLL, key, Stored)
    except msgspec.ValidationError:
        return None


def _all(tx: ReadTx) -> list[tuple[str, Stored]]:
    rows = tx.scan(COLL, limit=10 * MAX_SESSIONS)
    return [(key, stored) for key, _ in rows if (stored := _load(tx, key)) is not None]


def _seal(token: str, mark: str) -> str:
    """Keyed by the token, so that the data dir tells nothing of the password."""
    return hmac.new(token.encode("utf-8", "surrogatepass"), mark.encode(), hashlib.sha256).hexdigest()


def _key(token: str) -> str:
    """Sessions are kept under a hash: who reads the data dir cannot log in with it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
