"""The public keys an operator trusts. Several, so that the issuer can change its key."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from relay_keysat.licence import Licence

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PEM = re.compile(r"-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----")
ED25519 = bytes.fromhex("302a300506032b6570032100")
"""What stands before the 32 bytes of an Ed25519 key in its DER form (RFC 8410)."""


def read_pem(text: str) -> bytes:
    """The 32 bytes of an Ed25519 public key in PEM. Raises ValueError that says what is wrong."""
    found = PEM.fullmatch(text.strip())
    if found is None:
        raise ValueError("this is not a PEM block from -----BEGIN PUBLIC KEY----- to -----END PUBLIC KEY-----")
    try:
        der = base64.b64decode("".join(found[1].split()), validate=True)
    except ValueError:
        raise ValueError("the text between the PEM lines is not base64") from None
    if len(der) != len(ED25519) + 32 or not der.startswith(ED25519):
        raise ValueError("this is not an Ed25519 public key")
    return der[len(ED25519) :]


class PinnedKeys:
    """`names`: which keys are trusted, by the first 16 hex digits of their SHA-256."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._raw = {hashlib.sha256(key).hexdigest()[:16]: key for key in keys}
        self.names = frozenset(self._raw)

    def signer(self, licence: Licence) -> str | None:
        """The name of the key that signed it, None when it was none of these. About 0.1 ms for each key."""
        from cryptography.exceptions import InvalidSignature

        for name, key in self._loaded.items():
            try:
                key.verify(licence.signature, licence.payload)
            except InvalidSignature:
                continue
            return name
        return None

    def trusts(self, key: bytes) -> bool:
        return key in self._raw.values()

    @cached_property
    def _loaded(self) -> dict[str, Ed25519PublicKey]:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        return {name: Ed25519PublicKey.from_public_bytes(key) for name, key in self._raw.items()}
