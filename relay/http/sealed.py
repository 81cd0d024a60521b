"""Idempotency-Key for answers that hold a secret: what is stored is encrypted under the caller's own key.

The relay keeps that key as a hash only, so the stored answer opens for nobody but who asked for it.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import falcon

from relay.http.idempotency import HEADER, claim, json_meaning, replay
from relay.ports.auth import Identity
from relay.services.core import Core
from relay.services.idempotency import Replay

NONCE_BYTES = 12
JSON = {"Content-Type": "application/json"}


@contextmanager
def once_sealed(core: Core, req: falcon.Request, resp: falcon.Response, identity: Identity) -> Iterator[bool]:
    """Like `once`: True when the stored answer was replayed and nothing is left to do."""
    # A caller key has its own: what the owner of the account was told is not for it.
    account = f"{identity.account}\0{identity.credential}" if identity.credential else identity.account
    claimed = claim(core, req, account, lambda: json_meaning(req))
    if claimed is None:
        yield False
        return
    key = _key(account, req.get_header(HEADER) or "")
    if isinstance(claimed, Replay):
        body = _open(key, claimed.body)
        replay(resp, replace(claimed, body=body, size=len(body)))
        yield True
        return
    with claimed.freed():
        yield False
        claimed.keep(_seal(key, resp.data or b""))
        claimed.save(resp.status_code, JSON)


def _key(account: str, header: str) -> bytes:
    return hashlib.sha256(f"sealed answer\0{account}\0{header}".encode()).digest()


def _seal(key: bytes, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(NONCE_BYTES)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, data, None))


def _open(key: bytes, sealed: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    raw = base64.b64decode(sealed)
    return AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], None)
