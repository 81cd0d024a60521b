"""What a paid job cost and why, signed, so that anybody can check that this relay said it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from relay.domain.instants import iso
from relay.domain.jobs import Job
from relay.ports.storage import Storage, Tx

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY = "receipt-key"
RULE = "one credit per job, charged with its first answer; allowance first, then purchased credits"
MOVED = "; the gemini limit of the tier was used up, so a purchased credit paid"


class Receipts:
    """Signs with Ed25519. The key is made at the first receipt and stays in the storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def of(self, job_id: str, job: Job) -> dict[str, Any] | None:
        """The receipt of a job; None when nothing was charged. `signature` is over all the rest."""
        if job.paid_at is None and not job.refunded:
            return None
        said = {
            "job": job_id,
            "account": job.account,
            "task": job.task,
            "inputs": job.inputs,
            "backend": job.backend,
            "model": job.model,
            "rule": RULE + (MOVED if job.gemini == "purchased" else ""),
            "bucket": job.bucket,
            "gemini": job.gemini,
            "price": {"credits": 1},
            "charged_at": iso(job.paid_at),
            "refunded": job.refunded,
            "calls": job.calls,
            "ledger_entry": job.entry,
        }
        return said | {"signature": self.key.sign(signed_bytes(said)).hex()}

    @property
    def public_key(self) -> str:
        """32 bytes in hex."""
        return self.key.public_key().public_bytes_raw().hex()

    @cached_property
    def key(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        fresh = Ed25519PrivateKey.generate().private_bytes_raw().hex()

        def first(tx: Tx) -> str:
            stored = tx.get("settings", KEY)
            if stored is None:
                tx.put("settings", KEY, {"ed25519": fresh})
                return fresh
            return str(stored["ed25519"])

        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self._storage.transact(first)))


def signed_bytes(receipt: dict[str, Any]) -> bytes:
    """What the signature is over: the receipt without it as JSON, keys in order, no spaces."""
    return msgspec.json.encode({k: v for k, v in receipt.items() if k != "signature"}, order="sorted")
