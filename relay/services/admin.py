"""Who comes in by the operator's door: by the password, by a session it opened, or by a scoped key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from relay.books import audit
from relay.domain.instants import utcnow
from relay.errors import Conflict, Forbidden, Unauthenticated
from relay.ports.storage import Storage, Tx
from relay.services.admin_attempts import Attempts
from relay.services.admin_keys import AdminKeys
from relay.services.admin_passwords import Passwords
from relay.services.admin_sessions import Session, Sessions


class Admin:
    """`password`: the one from the environment or the file; None: the stored one counts."""

    def __init__(self, storage: Storage, password: str | None, clock: Callable[[], datetime] = utcnow) -> None:
        self._storage = storage
        self.passwords = Passwords(storage, password)
        self.sessions = Sessions(storage, self.passwords, clock)
        self.keys = AdminKeys(storage, clock)
        self.attempts = Attempts(storage)

    def first_password(self, show: Callable[[str], None]) -> None:
        """Without any password yet: make one, show it this once, and store its hash when it was shown."""
        self.passwords.first(show)

    def login(self, password: str, address: str) -> tuple[str, Session]:
        """A new session, and its secret for the cookie. Raises Unauthenticated or TooMany."""
        self.attempts.admit(address)
        mark = self.passwords.check(password)
        if mark is None:
            self.attempts.wrong(address, "sessions.wrong_password")
            raise Unauthenticated("wrong password", code="bad_password")
        return self.sessions.open(mark, address)

    def change_password(self, current: str, new: str, *, token: str, address: str, actor: str) -> int:
        """Ends all other sessions than that of `token`; how many. Raises Conflict, Invalid, Forbidden or TooMany."""
        self.attempts.admit(address)
        self.passwords.check_new(current, new)
        mark = self.passwords.check(current)
        if mark is None:
            self.attempts.wrong(address, "password.wrong_password")
            raise Forbidden("the current password is wrong", code="bad_password")
        hashed = self.passwords.hash(new)

        def change(tx: Tx) -> int:
            if self.passwords.mark(tx) != mark:
                raise Conflict("the password was changed at the same moment; log in again")
            self.passwords.store(tx, hashed)
            ended = self.sessions.keep_only(tx, token, hashed)
            audit.record(tx, actor, "password.change", after={"sessions_ended": ended})
            return ended

        return self._storage.transact(change)

    def write_uses(self) -> None:
        """When keys and sessions were last used; a chore of the housekeeping."""
        self.sessions.last_use.write()
        self.keys.last_use.write()
