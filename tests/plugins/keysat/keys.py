"""Licence keys made for tests, with the key pair of the published vectors."""

from __future__ import annotations

import base64
import hashlib
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PRODUCT = UUID("11111111-2222-4333-8444-555555555555")
OTHER_PRODUCT = UUID("99999999-2222-4333-8444-555555555555")
LICENCE = UUID("aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee")
ISSUED = 1_700_000_000
ACCOUNT = "lic:" + hashlib.sha256(PRODUCT.bytes + LICENCE.bytes).hexdigest()[:16]
PEM = (
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=\n-----END PUBLIC KEY-----"
)


def pem_of(signer: Ed25519PrivateKey) -> str:
    body = base64.b64encode(bytes.fromhex("302a300506032b6570032100") + signer.public_key().public_bytes_raw()).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"


def base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=")


def key_of(payload: bytes, signer: Ed25519PrivateKey = SIGNER) -> str:
    """Signed as it is, whatever it says."""
    return f"LIC1-{base32(payload)}-{base32(signer.sign(payload))}"


def payload_of(
    *,
    version: int = 2,
    product: UUID = PRODUCT,
    licence: UUID = LICENCE,
    issued: int = ISSUED,
    expires: int = 0,
    bound: str = "",
    trial: bool = False,
    entitlements: tuple[str | bytes, ...] = (),
) -> bytes:
    flags = (1 if bound else 0) | (2 if trial else 0)
    fingerprint = hashlib.sha256(bound.encode()).digest() if bound else bytes(32)
    head = bytes([version, flags]) + product.bytes + licence.bytes + issued.to_bytes(8)
    if version == 1:
        return head + fingerprint
    words = [word if isinstance(word, bytes) else word.encode() for word in entitlements]
    tail = bytes([len(words)]) + b"".join(bytes([len(word)]) + word for word in words)
    return head + expires.to_bytes(8) + fingerprint + tail


def licence_key(signer: Ed25519PrivateKey = SIGNER, **fields) -> str:
    return key_of(payload_of(**fields), signer)
