"""The operator's password and sessions."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from relay.domain.instants import iso, utcnow
from relay.errors import TooMany
from relay.ports.storage import Storage

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SESSION_HOURS = 24
WAITING_ROOM = 4
PASSWORD_KEY = "admin-password"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Session:
    csrf_token: str


class Admin:
    """`password`: the one from the environment or the file; None: the stored one counts."""

    def __init__(self, storage: Storage, password: str | None, clock: Callable[[], datetime] = utcnow) -> None:
        self._storage = storage
        self._password = password
        self._hash: str | None = None
        self._clock = clock
        self._hashing = threading.Lock()
        self._room = threading.BoundedSemaphore(1 + WAITING_ROOM)

    def first_password(self, show: Callable[[str], None]) -> None:
        """Without any password yet: make one, show it this once, and store its hash when it was shown."""
        if self._password is not None:
            return
        if self._storage.read(lambda tx: tx.get("settings", PASSWORD_KEY)) is not None:
            return
        password = secrets.token_urlsafe(18)
        hashed = _hasher().hash(password)
        show(password)
        self._storage.transact(lambda tx: tx.put("settings", PASSWORD_KEY, {"argon2": hashed}))

    def check_password(self, password: str) -> bool:
        """One at a time (a hash costs 64 MB and a core), four may wait; TooMany for the next, before any hashing."""
        if not self._room.acquire(blocking=False):
            raise TooMany("other logins are being checked; try again in a few seconds", retry_after=3)
        try:
            with self._hashing:
                return self._verify(password)
        finally:
            self._room.release()

    def _verify(self, password: str) -> bool:
        from argon2.exceptions import Argon2Error, InvalidHashError

        try:
            return bool(_hasher().verify(self._expected(), password))
        except (Argon2Error, InvalidHashError):
            return False

    def _expected(self) -> str:
        if self._hash is None:
            if self._password is not None:
                self._hash = _hasher().hash(self._password)
            else:
                stored = self._storage.read(lambda tx: tx.get("settings", PASSWORD_KEY)) or {}
                self._hash = str(stored.get("argon2", ""))
        return self._hash

    def login(self) -> tuple[str, Session]:
        """A new session: its secret for the cookie, and the rest."""
        token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        expires = self._clock() + timedelta(hours=SESSION_HOURS)
        doc = {"csrf_token": csrf, "expires_at": iso(expires), "password": self._seal(token)}
        self._storage.transact(lambda tx: tx.put("sessions", _key(token), doc))
        return token, Session(csrf)

    def session(self, token: str) -> Session | None:
        doc = self._storage.read(lambda tx: tx.get("sessions", _key(token)))
        if doc is None or doc["expires_at"] <= (iso(self._clock()) or ""):
            return None
        if not same(str(doc.get("password")), self._seal(token)):
            return None
        return Session(doc["csrf_token"])

    def _seal(self, token: str) -> str:
        """Ties a session to the password of its login. Keyed by the token, so the data dir tells nothing of it."""
        if self._password is not None:
            password = self._password
        else:
            stored = self._storage.read(lambda tx: tx.get("settings", PASSWORD_KEY)) or {}
            password = str(stored.get("argon2", ""))
        return hmac.new(token.encode(), password.encode(), hashlib.sha256).hexdigest()

    def logout(self, token: str) -> None:
        self._storage.transact(lambda tx: tx.delete("sessions", _key(token)))


def same(one: str, other: str) -> bool:
    """Equal, in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


def _key(token: str) -> str:
    """Sessions are kept under a hash: who reads the data dir cannot log in with it."""
    return hashlib.sha256(token.encode()).hexdigest()


def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()
