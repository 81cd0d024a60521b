"""What is kept of licences in the plugin's private space: never a key, only its hash.

`key/<hash>` is a record, `account/<16 hex digits>` names the best key of a licence, `fingerprint` is this relay's.
"""

from __future__ import annotations

import hashlib
import secrets

import msgspec

from relay.api import Space, SpaceReadTx, SpaceTx
from relay_keysat.licence import Licence
from relay_keysat.verdict import Verdict

FINGERPRINT = "fingerprint"
FOR_EVER = 2**64


class Record(msgspec.Struct, frozen=True):
    """What a genuine key says, which of the pinned keys signed it, and what the server said of it last.

    `bound_to`: hash of the only fingerprint it is good for, "" for any.
    """

    account: str
    product: str
    issued_at: int
    expires_at: int
    entitlements: tuple[str, ...]
    bound_to: str
    signer: str
    verdict: Verdict | None = None


def record_of(licence: Licence, signer: str, verdict: Verdict | None) -> Record:
    return Record(
        licence.account,
        str(licence.product),
        licence.issued_at,
        licence.expires_at,
        licence.entitlements,
        licence.fingerprint_hash.hex() if licence.bound else "",
        signer,
        verdict,
    )


def hash_of(text: str) -> str:
    """Of a key in capitals; such a hash cannot be turned back, as a key holds 64 bytes of signature."""
    return hashlib.sha256(text.encode()).hexdigest()


def load(tx: SpaceReadTx, digest: str) -> Record | None:
    doc = tx.get(f"key/{digest}")
    return None if doc is None else msgspec.convert(doc, Record)


def best(tx: SpaceReadTx, account: str) -> str | None:
    """The hash of the key that stands for the licence."""
    doc = tx.get(f"account/{account}")
    return None if doc is None else str(doc["key"])


def save(tx: SpaceTx, digest: str, record: Record) -> str:
    """Write it down, with the newer verdict of the two. Returns the hash of the key that stands for its licence: a
    renewed one has a new key of a later end, which takes over from the old."""
    before = load(tx, digest)
    if before is not None and before.verdict is not None:
        newer = record.verdict is not None and record.verdict.checked_at >= before.verdict.checked_at
        record = record if newer else msgspec.structs.replace(record, verdict=before.verdict)
    tx.put(f"key/{digest}", record)
    present = best(tx, record.account)
    other = None if present is None else load(tx, present)
    if present is None or other is None or _end(record) > _end(other):
        tx.put(f"account/{record.account}", {"key": digest})
        return digest
    return present


def _end(record: Record) -> tuple[int, int]:
    return record.expires_at or FOR_EVER, record.issued_at


def newest(tx: SpaceReadTx, limit: int) -> list[Record]:
    """Up to `limit` records, the last checked first."""
    found = [msgspec.convert(doc, Record) for _, doc in tx.scan("key/", limit=limit)]
    return sorted(found, key=lambda each: each.verdict.checked_at.timestamp() if each.verdict else 0, reverse=True)


def own_fingerprint(space: Space) -> str:
    """This relay's fingerprint: made once, the same in every process and after every restart."""

    def read_or_make(tx: SpaceTx) -> str:
        doc = tx.get(FINGERPRINT)
        if doc is None:
            doc = {"value": f"relay-{made}"}
            tx.put(FINGERPRINT, doc)
        return str(doc["value"])

    made = secrets.token_hex(16)
    return space.transact(read_or_make)
