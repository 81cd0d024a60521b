"""Scoped keys of the admin API: made, listed, revoked, and asked for by every request that carries one."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any

from msgspec import Meta, Struct

from relay.books import admin_keys as book
from relay.books import audit
from relay.books.admin_keys import AdminKey
from relay.domain.access import ROLES
from relay.domain.instants import iso, utcnow
from relay.errors import Conflict, Invalid, NotFound
from relay.ports.storage import Storage, Tx
from relay.services.last_use import LastUse

MAX_LABEL = 80


class NewKey(Struct, forbid_unknown_fields=True):
    role: str
    label: str
    expires_days: Annotated[int, Meta(ge=1, le=3650)] | None = None


class Holder(Struct, frozen=True):
    """Who a request comes from, and what it may do."""

    id: str
    scopes: frozenset[str]


class AdminKeys:
    def __init__(self, storage: Storage, clock: Callable[[], datetime] = utcnow) -> None:
        self._storage = storage
        self._clock = clock
        self.last_use = LastUse(storage, book.COLL)

    def create(self, new: NewKey, *, actor: str) -> dict[str, Any]:
        """The key and, this once, its secret (`key`). Raises Invalid, or Conflict when there are too many."""
        if new.role not in ROLES:
            raise Invalid(f"there is no role {new.role[:40]!r}; there are: {', '.join(ROLES)}", "role")
        label = new.label.strip()
        if not 1 <= len(label) <= MAX_LABEL or not label.isprintable():
            raise Invalid(f"label must be 1 to {MAX_LABEL} characters that can be seen", "label")
        now, secret, key_id = self._clock(), book.PREFIX + secrets.token_urlsafe(32), secrets.token_hex(6)
        expires = None if new.expires_days is None else now + timedelta(days=new.expires_days)
        key = AdminKey(new.role, label, book.digest(secret), now, actor, expires)
        told = {"role": key.role, "label": key.label, "expires_at": iso(expires)}

        def create(tx: Tx) -> None:
            if tx.count(book.COLL) >= book.MAX_KEYS:
                raise Conflict(f"there are {book.MAX_KEYS} keys, and that is the limit; revoke one nobody uses")
            tx.insert(book.COLL, key_id, key)
            audit.record(tx, actor, "keys.create", key_id, after=told)

        self._storage.transact(create)
        return {"id": key_id, "key": secret, "scopes": sorted(ROLES[key.role]), **told}

    def list(self) -> list[dict[str, Any]]:
        """The newest first, without their secrets."""
        return [self._view(key_id, key) for key_id, key in self._storage.read(book.newest)]

    def revoke(self, key_id: str, *, actor: str) -> None:
        """From the next request on nobody comes in with it. Raises NotFound."""

        def revoke(tx: Tx) -> None:
            key = book.get(tx, key_id)
            if key is None:
                raise NotFound("there is no such key; GET /admin/keys or `relay keys list` shows them")
            tx.delete(book.COLL, key_id)
            audit.record(tx, actor, "keys.revoke", key_id, before={"role": key.role, "label": key.label})

        self._storage.transact(revoke)

    def holder(self, secret: str) -> Holder | None:
        """None for a secret that no key has, or one that has ended. A role that is no more may do nothing."""
        if not secret.startswith(book.PREFIX):
            return None
        found = self._storage.read(lambda tx: book.find(tx, secret))
        if found is None:
            return None
        key_id, key = found
        now = self._clock()
        if key.expires_at is not None and key.expires_at <= now:
            return None
        self.last_use.saw(key_id, now)
        return Holder(key_id, ROLES.get(key.role, frozenset()))

    def _view(self, key_id: str, key: AdminKey) -> dict[str, Any]:
        return {
            "id": key_id,
            "label": key.label,
            "role": key.role,
            "scopes": sorted(ROLES.get(key.role, ())),
            "created_at": iso(key.created_at),
            "created_by": key.created_by,
            "last_used_at": iso(self.last_use.of(key_id, key.last_used_at)),
            "expires_at": iso(key.expires_at),
            "expired": key.expires_at is not None and key.expires_at <= self._clock(),
        }
