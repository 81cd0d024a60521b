"""The auth strategy: `Authorization: Bearer rk_…` -> the account the key was made for. Callers make their keys here."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from relay.api import AuthRejected, CallerKey, Forbidden, Identity, Space, SpaceTx, StorageUnavailable
from relay_api_key import keys
from relay_api_key.keys import PREFIX, Key, digest_of, new_secret
from relay_api_key.recent import Callers, Uses

AUTHORIZATION = "authorization"


def utcnow() -> datetime:
    return datetime.now(UTC)


class ApiKeys:
    """A key that is unknown or ended is refused here, so that no caller becomes somebody else by other headers."""

    name = "api_key"
    rank = 20
    headers: tuple[str, ...] = (AUTHORIZATION,)

    def __init__(self, clock: Callable[[], datetime] = utcnow) -> None:
        self._clock = clock
        self._callers = Callers()
        self._attached: tuple[Space, Uses] | None = None

    def attach(self, space: Space) -> None:
        self._attached = space, Uses(space)

    def identify(self, headers: Mapping[str, str]) -> Identity | None:
        secret = _token(headers.get(AUTHORIZATION, ""))
        if not secret.startswith(PREFIX):
            return None
        space, uses = self._opened()
        digest, now = digest_of(secret), self._clock()
        known = self._callers.get(digest, now)
        if known is not None:
            uses.note(known.path, now)
            return known.identity
        changes = self._callers.changes
        key = space.read(lambda tx: keys.find(tx, digest))
        if key is None or not key.accepts(digest, now):
            raise AuthRejected(
                "this key is not known here, or it was ended; ask its owner for a new one", code="bad_key"
            )
        outdated = digest != key.secret
        identity = Identity(key.account, self.name, key.tier, key.allowance, key.id, outdated)
        until = key.previous_until if outdated else None
        self._callers.remember(digest, identity, key.path, until, changes)
        uses.note(key.path, now)
        return identity

    def is_operator(self, headers: Mapping[str, str]) -> bool:  # noqa: ARG002
        return False

    def mint(self, owner: Identity, label: str) -> tuple[CallerKey, str]:
        """Raises Forbidden for the owner of a key, Invalid when the account has as many keys as it may."""
        if owner.credential:
            raise Forbidden("a key cannot make keys; use the credential that this one was made with")
        space, _ = self._opened()
        secret, key_id, now = new_secret(), f"key_{secrets.token_hex(10)}", self._clock()
        key = space.transact(lambda tx: keys.add(tx, owner, label, digest_of(secret), key_id, now))
        return key.public(), secret

    def keys(self, owner: Identity) -> Sequence[CallerKey]:
        space, uses = self._opened()
        found = space.read(lambda tx: keys.of_account(tx, owner.account))
        return [
            replace(key.public(), last_used_at=uses.latest(key.path, key.last_used_at))
            for key in found
            if owner.credential in {"", key.id}
        ]

    def revoke(self, owner: Identity, key_id: str) -> None:
        space, _ = self._opened()
        space.transact(lambda tx: keys.remove(tx, keys.own(tx, owner.account, _allowed(owner, key_id))))
        self._callers.forget()

    def rotate(self, owner: Identity, key_id: str, grace_hours: float) -> tuple[CallerKey, str]:
        space, _ = self._opened()
        secret, grace, now = new_secret(), timedelta(hours=grace_hours), self._clock()

        def renew(tx: SpaceTx) -> Key:
            return keys.renew(tx, keys.own(tx, owner.account, _allowed(owner, key_id)), digest_of(secret), grace, now)

        key = space.transact(renew)
        self._callers.forget()
        return key.public(), secret

    def end_all(self, account: str | None) -> int:
        space, _ = self._opened()
        ended = 0
        while n := space.transact(lambda tx: keys.remove_some(tx, account)):
            ended += n
        self._callers.forget()
        return ended

    def _opened(self) -> tuple[Space, Uses]:
        if self._attached is None:
            raise StorageUnavailable("the storage of the keys is not open yet; try again")
        return self._attached


def _allowed(owner: Identity, key_id: str) -> str:
    """`key_id`, when the owner may change that key."""
    if owner.outdated:
        raise Forbidden("this is the key's value before it was rotated: it may call, but not change the key")
    if owner.credential not in {"", key_id}:
        raise Forbidden("a key can change itself only; use the credential that the other one was made with")
    return key_id


def _token(authorization: str) -> str:
    """The credential itself: the value with or without `Bearer` before it."""
    value = authorization.strip()
    scheme, _, rest = value.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value
