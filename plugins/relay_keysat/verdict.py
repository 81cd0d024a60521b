"""What the licence server says of a key, and what this relay remembers of it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from relay_keysat.licence import Licence

Instant = Annotated[datetime, Meta(tz=True)]

RATE_LIMITED = "rate_limited"
EXPIRED = "expired"
OTHER = "refused"
"""Stands for a reason that is no plain word, which nobody should be shown."""
WORD = re.compile(r"[a-z][a-z0-9_]{0,39}")
LASTING = frozenset({"", "bad_format", "bad_signature", "product_mismatch", "revoked"})
"""Reasons that are asked about again after the whole time, as a good verdict is. Others may pass soon."""


class NoVerdict(Exception):
    """The server said nothing that counts. The message is for the log and holds nothing of its answer."""


class Verdict(Struct, frozen=True):
    """`reason`: "" when `ok`. `expires_at`, `entitlements`: as the server has them now; `grace_until`: the end of
    the grace it gives to an expired licence, None for as long as it says so."""

    ok: bool
    reason: str
    checked_at: Instant
    expires_at: Instant | None = None
    entitlements: tuple[str, ...] = ()
    in_grace: bool = False
    grace_until: Instant | None = None


class Answer(Struct):
    """The fields of `POST /v1/validate` that count here."""

    ok: bool
    reason: str | None = None
    license_id: UUID | None = None
    product_id: UUID | None = None
    expires_at: Instant | None = None
    entitlements: tuple[str, ...] | None = None
    in_grace_period: bool | None = None
    grace_until: Instant | None = None


def read_answer(body: bytes, licence: Licence, now: datetime) -> Verdict:
    """Raises NoVerdict for what is no verdict on this licence: another shape, another licence, `rate_limited`."""
    try:
        answer = msgspec.json.decode(body, type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NoVerdict("its answer is not a verdict") from None
    of_this = answer.license_id in {None, licence.id} and answer.product_id in {None, licence.product}
    if not of_this or (answer.ok and answer.license_id is None):
        raise NoVerdict("its answer is about another licence")
    if answer.ok:
        return Verdict(
            ok=True,
            reason="",
            checked_at=now,
            expires_at=answer.expires_at,
            entitlements=answer.entitlements or (),
            in_grace=bool(answer.in_grace_period),
            grace_until=answer.grace_until,
        )
    if not answer.reason:
        raise NoVerdict("it refused without a reason")
    if answer.reason == RATE_LIMITED:
        raise NoVerdict("it has too much to do")
    return Verdict(ok=False, reason=answer.reason if WORD.fullmatch(answer.reason) else OTHER, checked_at=now)
