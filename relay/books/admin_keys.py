"""Scoped keys of the admin API as documents, under their public ids.

Only a hash of the secret is kept. The secret is 256 random bits and cannot be guessed, which is why a plain SHA-256 is
enough: a slow hash protects what people choose. The hash is indexed, so that a request finds its key without a scan.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from msgspec import Struct

from relay.ports.storage import ReadTx

COLL = "admin-keys"
PREFIX = "ks_"
MAX_KEYS = 100


class AdminKey(Struct):
    """`secret`: the hash. `created_by`: the actor, as in the audit log."""

    role: str
    label: str
    secret: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


def digest(secret: str) -> str:
    """Any text a header can hold has one."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def get(tx: ReadTx, key_id: str) -> AdminKey | None:
    return tx.get(COLL, key_id, AdminKey)


def find(tx: ReadTx, secret: str) -> tuple[str, AdminKey] | None:
    """The key with this secret, and its id."""
    hashed = digest(secret)
    for key_id, _ in tx.scan(COLL, "secret", hashed, hashed, limit=1):
        key = get(tx, key_id)
        if key is not None:
            return key_id, key
    return None


def newest(tx: ReadTx) -> list[tuple[str, AdminKey]]:
    """All of them, the newest first."""
    rows = tx.scan(COLL, "created_at", limit=MAX_KEYS, reverse=True)
    return [(key_id, key) for key_id, _ in rows if (key := get(tx, key_id)) is not None]
