"""What a genuine key is worth at a moment. The clock, the fingerprint and the server's verdict are passed in."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from relay.api import AuthRejected, Identity, Unavailable
from relay_keysat.records import Record
from relay_keysat.settings import Settings
from relay_keysat.verdict import EXPIRED, LASTING, Verdict

STRATEGY = "keysat"
SHORT = timedelta(minutes=5)
RETRY_SECONDS = 60

MESSAGES = {
    "bad_format": "this is not a licence key; copy it whole, from LIC1- to its last character",
    "bad_signature": "this licence key was not signed by the issuer this relay trusts; check that it was copied whole",
    "product_mismatch": "this licence is for another product",
    "fingerprint_mismatch": "this licence is bound to another installation",
    "too_many_machines": "this licence is in use on as many machines as it allows",
    "not_found": "the issuer does not know this licence",
    "revoked": "this licence was revoked; ask who sold it",
    "suspended": "this licence is suspended; ask who sold it",
}


def refused(reason: str) -> AuthRejected:
    message = MESSAGES.get(reason, "this licence is not accepted; ask who sold it")
    return AuthRejected(message, code="bad_license", details={"reason": reason})


class Rules:
    """`signers`: names of the public keys that are trusted. `online`: whether there is a licence server."""

    def __init__(self, settings: Settings, products: Mapping[UUID, str], signers: frozenset[str]) -> None:
        self._products = {str(product): tier for product, tier in products.items()}
        self._entitlements = settings.entitlements
        self._signers = signers
        self._grace = settings.grace_hours * 3600
        self._trust_server = settings.trust_server
        self._deny = settings.on_unreachable == "deny"
        self._ttl = timedelta(minutes=settings.check_minutes)
        self._max_stale = timedelta(hours=settings.max_stale_hours)
        self._online = bool(settings.url)
        self.tiers = frozenset([*self._products.values(), *settings.entitlements.values()])

    def check(self, record: Record, fingerprint: str) -> None:
        """Raises AuthRejected for a key that is not for this relay, of which no server is asked."""
        if record.signer not in self._signers:
            raise refused("bad_signature")
        if record.product not in self._products:
            raise refused("product_mismatch")
        if record.bound_to and not _same(record.bound_to, fingerprint):
            raise refused("fingerprint_mismatch")

    def judge(self, record: Record, now: datetime, *, askable: bool) -> Identity:
        """Who the bearer of a key for this relay is. An expired one has no allowance.

        `askable`: whether the server can be asked again, as the key itself is at hand. Raises AuthRejected, or
        Unavailable when the server's word is missing and the operator denies without it.
        """
        verdict = self.standing(record.verdict, now, askable=askable)
        if verdict is None and self._online and self._deny:
            raise Unavailable("licences cannot be checked now; try again soon", retry_after=RETRY_SECONDS)
        if verdict is not None and not verdict.ok and verdict.reason != EXPIRED:
            raise refused(verdict.reason)
        allowance = not self._expired(record, verdict, now)
        return Identity(record.account, STRATEGY, self._tier(record, verdict), allowance)

    def tier(self, record: Record, now: datetime) -> str | None:
        """The tier of a key, whether it is good or not; None for a product that is not listed."""
        if record.product not in self._products:
            return None
        return self._tier(record, self.standing(record.verdict, now, askable=True))

    def standing(self, verdict: Verdict | None, now: datetime, *, askable: bool) -> Verdict | None:
        """The verdict, while it counts. What nobody can ask about again stays refused."""
        if verdict is None or not self._online:
            return None
        fresh = abs(now - verdict.checked_at) <= self._max_stale
        return verdict if fresh or (not verdict.ok and not askable) else None

    def due(self, record: Record, jitter: float) -> datetime | None:
        """When to ask the server again, None for now; about the time its word is kept, times `jitter`."""
        verdict = record.verdict
        if verdict is None:
            return None
        keep = self._ttl if verdict.reason in LASTING else min(self._ttl, SHORT)
        return verdict.checked_at + keep * jitter

    def ended_since(self, record: Record, now: datetime) -> bool:
        """The key has come to its end after the server was asked: it may have been renewed, or be in its grace."""
        asked = record.verdict.checked_at.timestamp() if record.verdict else 0.0
        return bool(record.expires_at) and asked < record.expires_at <= now.timestamp()

    def _expired(self, record: Record, verdict: Verdict | None, now: datetime) -> bool:
        """The server ends a licence early; it prolongs one only by its grace, or where it is trusted with more."""
        if verdict is not None and not verdict.ok:
            return True
        if verdict is not None and verdict.in_grace:
            return verdict.grace_until is not None and now >= verdict.grace_until
        if verdict is not None and self._trust_server:
            return verdict.expires_at is not None and now.timestamp() >= verdict.expires_at.timestamp() + self._grace
        return bool(record.expires_at) and now.timestamp() >= record.expires_at + self._grace

    def _tier(self, record: Record, verdict: Verdict | None) -> str:
        """The first of the listed entitlements that it has, else its product's."""
        has = set(record.entitlements)
        if verdict is not None and verdict.ok:
            has = set(verdict.entitlements) if self._trust_server else has & set(verdict.entitlements)
        return next((tier for name, tier in self._entitlements.items() if name in has), self._products[record.product])


def _same(bound_to: str, fingerprint: str) -> bool:
    return hmac.compare_digest(bound_to, hashlib.sha256(fingerprint.encode()).hexdigest())
