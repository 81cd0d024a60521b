"""Keys as documents: `key/<account>/<id>` holds the key, `secret/<SHA-256>` says whose secret that is.

The secret itself is 256 random bits and is never stored. So many bits cannot be guessed, which is why a plain
SHA-256 is enough: a slow hash protects what people choose.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

import msgspec

from relay.api import CallerKey, Identity, Invalid, NotFound, SpaceReadTx, SpaceTx

PREFIX = "rk_"
MAX_KEYS = 100
"""Live keys of one account."""


class Key(msgspec.Struct):
    """`secret`: hash of the present value; `previous`: of the one before, good until `previous_until`.

    `tier` and `allowance`: what the credential granted that the key was made with.
    """

    id: str
    account: str
    label: str
    created_at: datetime
    secret: str
    tier: str | None = None
    allowance: bool = True
    rotated_at: datetime | None = None
    last_used_at: datetime | None = None
    previous: str | None = None
    previous_until: datetime | None = None

    @property
    def path(self) -> str:
        return _path(self.account, self.id)

    def public(self) -> CallerKey:
        return CallerKey(self.id, self.label, self.created_at, self.rotated_at, self.last_used_at, self.previous_until)

    def accepts(self, digest: str, now: datetime) -> bool:
        if hmac.compare_digest(self.secret, digest):
            return True
        if self.previous is None or self.previous_until is None or now >= self.previous_until:
            return False
        return hmac.compare_digest(self.previous, digest)


def new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """Any text a header can hold has one."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def find(tx: SpaceReadTx, digest: str) -> Key | None:
    """The key whose present or previous value has this hash. Whether it still counts, `accepts` says."""
    pointer = tx.get(f"secret/{digest}")
    return None if pointer is None else load(tx, pointer["key"])


def load(tx: SpaceReadTx, path: str) -> Key | None:
    doc = tx.get(path)
    return None if doc is None else msgspec.convert(doc, Key)


def of_account(tx: SpaceReadTx, account: str) -> list[Key]:
    """Newest first."""
    rows = tx.scan(_path(account, ""), limit=MAX_KEYS)
    return sorted((msgspec.convert(doc, Key) for _, doc in rows), key=lambda key: key.created_at, reverse=True)


def add(tx: SpaceTx, owner: Identity, label: str, digest: str, key_id: str, now: datetime) -> Key:
    """Raises Invalid when the account has as many keys as it may."""
    if len(of_account(tx, owner.account)) >= MAX_KEYS:
        raise Invalid(f"this account has {MAX_KEYS} keys, and that is the limit; delete one you no longer use")
    key = Key(key_id, owner.account, label, now, digest, owner.tier, owner.allowance)
    tx.insert(key.path, key)
    tx.insert(f"secret/{digest}", {"key": key.path})
    return key


def own(tx: SpaceReadTx, account: str, key_id: str) -> Key:
    """Raises NotFound for a key that the account does not have."""
    key = load(tx, _path(account, key_id))
    if key is None:
        raise NotFound("this account has no such key; GET /relay/keys lists them")
    return key


def renew(tx: SpaceTx, key: Key, digest: str, grace: timedelta, now: datetime) -> Key:
    """Give the key a new value. The present one lives on for `grace`, the one before it ends now."""
    if key.previous is not None:
        tx.delete(f"secret/{key.previous}")
    key.previous, key.previous_until = key.secret, now + grace
    if not grace:
        tx.delete(f"secret/{key.secret}")
        key.previous = key.previous_until = None
    key.secret, key.rotated_at = digest, now
    tx.insert(f"secret/{digest}", {"key": key.path})
    tx.put(key.path, key)
    return key


def remove(tx: SpaceTx, key: Key) -> None:
    for digest in filter(None, (key.secret, key.previous)):
        tx.delete(f"secret/{digest}")
    tx.delete(key.path)


def remove_some(tx: SpaceTx, account: str | None) -> int:
    """Some of the keys of an account, or of all; 0 when there are none left."""
    rows = tx.scan("key/" if account is None else _path(account, ""), limit=MAX_KEYS)
    for _, doc in rows:
        remove(tx, msgspec.convert(doc, Key))
    return len(rows)


def _path(account: str, key_id: str) -> str:
    """No id of an account holds a slash."""
    return f"key/{account}/{key_id}"
