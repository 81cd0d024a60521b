"""A licence key as text: `LIC1-<base32 payload>-<base32 signature>`, and what its payload says.

The layout is Keysat's, versions 1 and 2. Stricter than Keysat's own client in what has no bearing on a genuine key:
ASCII only, no `=`, and no stray bits after the last byte, so that one payload and signature have one spelling besides
letter case. Nothing here checks the signature.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from uuid import UUID

PREFIX = "LIC1-"
MAX_CHARACTERS = 110_000
"""A payload holds at most 255 entitlements of 255 bytes: 104 581 characters, and 103 for the signature."""

ACCEPTED = re.compile(r"LIC1-([A-Za-z2-7]+)-([A-Za-z2-7]+)")
SIGNATURE_BYTES = 64
V1_BYTES = 74
V2_HEAD_BYTES = 83
BOUND = 0x01


class BadFormat(Exception):
    """The text is no licence key. The message never holds any of it."""


@dataclass(frozen=True, slots=True)
class Licence:
    """`issued_at`, `expires_at`: unix seconds; 0 means no end. `fingerprint_hash`: SHA-256 of the fingerprint it is
    bound to, which counts only when `bound`. `text` is the key in capitals, `payload` the bytes that are signed."""

    version: int
    flags: int
    product: UUID
    id: UUID
    issued_at: int
    expires_at: int
    fingerprint_hash: bytes
    entitlements: tuple[str, ...]
    text: str
    payload: bytes
    signature: bytes

    @property
    def bound(self) -> bool:
        return bool(self.flags & BOUND)

    @property
    def account(self) -> str:
        """`lic:` and the first 16 hex digits of SHA-256 over the product's and the licence's UUID: the same for
        every key of one licence, however it is spelt."""
        return "lic:" + hashlib.sha256(self.product.bytes + self.id.bytes).hexdigest()[:16]


def parse(text: str) -> Licence:
    """Read a key without spaces around it. Raises BadFormat."""
    if len(text) > MAX_CHARACTERS:
        raise BadFormat("it is too long")
    parts = ACCEPTED.fullmatch(text)
    if parts is None:
        raise BadFormat("it is not LIC1-<payload>-<signature> in base32")
    payload, signature = _base32(parts[1]), _base32(parts[2])
    if len(signature) != SIGNATURE_BYTES:
        raise BadFormat(f"its signature has {len(signature)} bytes, not {SIGNATURE_BYTES}")
    version = payload[0] if payload else None
    expires_at, entitlements = 0, tuple[str, ...]()
    if version == 1 and len(payload) == V1_BYTES:
        head = payload
    elif version == 2 and len(payload) >= V2_HEAD_BYTES:
        head, expires_at = payload[:42] + payload[50:82], int.from_bytes(payload[42:50])
        entitlements = _entitlements(payload)
    else:
        raise BadFormat("its payload has an unknown version, or the wrong length")
    return Licence(
        version,
        head[1],
        UUID(bytes=head[2:18]),
        UUID(bytes=head[18:34]),
        int.from_bytes(head[34:42]),
        expires_at,
        head[42:74],
        entitlements,
        text.upper(),
        payload,
        signature,
    )


def _base32(text: str) -> bytes:
    try:
        data = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except ValueError:
        raise BadFormat("a part of it has a length that no base32 has") from None
    if base64.b32encode(data).decode().rstrip("=") != text.upper():
        raise BadFormat("a part of it does not end on a whole byte")
    return data


def _entitlements(payload: bytes) -> tuple[str, ...]:
    """A count, then each with its length before it; nothing may be left over."""
    found: list[str] = []
    at = V2_HEAD_BYTES
    for _ in range(payload[V2_HEAD_BYTES - 1]):
        if at >= len(payload):
            raise BadFormat("its list of entitlements is cut off")
        end = at + 1 + payload[at]
        word = payload[at + 1 : end]
        if end > len(payload):
            raise BadFormat("its list of entitlements is cut off")
        try:
            found.append(word.decode())
        except UnicodeDecodeError:
            raise BadFormat("an entitlement of it is not UTF-8") from None
        at = end
    if at != len(payload):
        raise BadFormat("bytes are left after its list of entitlements")
    return tuple(found)
