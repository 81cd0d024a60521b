"""Messages to other servers: how one is signed, and when it is tried again."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from msgspec import Struct

from relay.domain.instants import whole

RETRY_AFTER_SECONDS = (10, 60, 300, 1800, 7200, 21_600, 43_200, 86_400)
"""How long after each failed try the next one follows; past the last the message is dead. 45 hours in all."""
JITTER = 0.2


class Delivery(Struct, omit_defaults=True, gc=False):
    """One message under its delivery id. `body` is JSON text, `secret` signs it.

    Instants are whole seconds, as the storage indexes them. `due_at`: when the next try is due, None for a dead one.
    `error`: why the newest try failed. `trusted`: the URL is the operator's own setting, so it may be a private one.
    """

    url: str
    body: str
    secret: str
    kind: str
    reference: str
    created_at: datetime
    due_at: datetime | None = None
    dead_at: datetime | None = None
    tries: int = 0
    error: str = ""
    trusted: bool = False

    @property
    def host(self) -> str:
        return (urlsplit(self.url).hostname or "").lower()

    @property
    def address(self) -> str:
        """The URL as people may see it: a query often holds a secret."""
        return self.url.partition("?")[0]


def signature(secret: str, body: bytes, unix: int) -> str:
    """The value of X-Relay-Signature: `t=<unix>,v1=<hex HMAC-SHA256 of "<unix>." and the body>`."""
    mac = hmac.new(secret.encode(), str(unix).encode() + b"." + body, hashlib.sha256)
    return f"t={unix},v1={mac.hexdigest()}"


def failed(row: Delivery, error: str, now: datetime, jitter: float) -> None:
    """Book a failed try: due again later, or dead. `jitter`: 0 to 1, spreads what failed together."""
    row.error = error[:300]
    row.tries += 1
    if row.tries > len(RETRY_AFTER_SECONDS):
        row.due_at, row.dead_at = None, whole(now)
        return
    seconds = RETRY_AFTER_SECONDS[row.tries - 1] * (1 + JITTER * jitter)
    row.due_at = whole(now + timedelta(seconds=seconds))
