"""The operator's password: from the environment or the settings file, else the stored one."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from relay.errors import Conflict, Invalid, TooMany
from relay.ports.storage import ReadTx, Storage, Tx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from argon2 import PasswordHasher

WAITING_ROOM = 4
PASSWORD_KEY = "admin-password"  # noqa: S105
MIN_LENGTH, MAX_LENGTH = 12, 1024


class Passwords:
    """`configured`: the one from the environment or the file; None: the stored one counts.

    A **mark** stands for the password that was checked. Sessions are tied to it and end with it.
    """

    def __init__(self, storage: Storage, configured: str | None) -> None:
        self._storage = storage
        self._configured = configured
        self._hash_of_configured: str | None = None
        self._hashing = threading.Lock()
        self._room = threading.BoundedSemaphore(1 + WAITING_ROOM)

    def first(self, show: Callable[[str], None]) -> None:
        """Without any password yet: make one, show it this once, and store its hash when it was shown."""
        if self._configured is not None or self._storage.read(self.mark):
            return
        password = secrets.token_urlsafe(18)
        hashed = _hasher().hash(password)
        show(password)
        self._storage.transact(lambda tx: self.store(tx, hashed))

    def mark(self, tx: ReadTx) -> str:
        """Of the present password; "" while there is none."""
        if self._configured is not None:
            return self._configured
        stored = tx.get("settings", PASSWORD_KEY) or {}
        return str(stored.get("argon2", ""))

    def check(self, password: str) -> str | None:
        """The mark of a right password, None for a wrong one. Raises TooMany, before any hashing."""
        with self._turn():
            return self._verify(password)

    def _verify(self, password: str) -> str | None:
        from argon2.exceptions import Argon2Error, InvalidHashError

        mark = self._storage.read(self.mark)
        try:
            _hasher().verify(self._hash_of(mark), password)
        except (Argon2Error, InvalidHashError):
            return None
        return mark

    def _hash_of(self, mark: str) -> str:
        if self._configured is None:
            return mark
        if self._hash_of_configured is None:
            self._hash_of_configured = _hasher().hash(self._configured)
        return self._hash_of_configured

    def check_new(self, current: str, new: str) -> None:
        """Raises Conflict for a password that comes from the settings, Invalid for a new one that will not do."""
        if self._configured is not None:
            raise Conflict(
                "the password comes from RELAY_ADMIN_PASSWORD or the settings file; change it there and restart",
                code="password_in_config",
            )
        if not MIN_LENGTH <= len(new) <= MAX_LENGTH:
            raise Invalid(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters", "new")
        if new == current:
            raise Invalid("the new password is the present one", "new")

    def hash(self, new: str) -> str:
        """As it is stored. Raises TooMany."""
        with self._turn():
            return _hasher().hash(new)

    def store(self, tx: Tx, hashed: str) -> None:
        tx.put("settings", PASSWORD_KEY, {"argon2": hashed})

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One hash at a time (it costs 64 MB and a core), four may wait; TooMany for the next."""
        if not self._room.acquire(blocking=False):
            raise TooMany("other logins are being checked; try again in a few seconds", retry_after=3)
        try:
            with self._hashing:
                yield
        finally:
            self._room.release()


def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()
