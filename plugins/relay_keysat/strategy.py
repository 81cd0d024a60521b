"""The auth strategy: `Authorization: LIC1-…` with an install id -> the licence's account, which its installs share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypedDict

from relay.api import AuthRejected, Health, Identity, Space, check_id
from relay_keysat import records
from relay_keysat.licences import Licences
from relay_keysat.pinned import PinnedKeys
from relay_keysat.records import Record
from relay_keysat.rules import STRATEGY, Rules
from relay_keysat.server import LicenceServer
from relay_keysat.verdict import EXPIRED

AUTHORIZATION = "authorization"
INSTALL = "x-recap-install-id"
LICENCE = re.compile(r"lic\d+(-|$)", re.IGNORECASE)
"""A licence, or what was meant to be one: refused when it is wrong, never passed over for another identity."""
MAX_ROWS = 1000


def utcnow() -> datetime:
    return datetime.now(UTC)


class VerdictRow(TypedDict):
    """`licence`: the fingerprint in its account. `verdict`: active, expired, refused or unchecked. `reason`: the
    server's word. `age`: seconds since it was asked. `tier`: None for a product that is no longer listed."""

    licence: str
    verdict: str
    reason: str
    checked_at: datetime | None
    age: float | None
    tier: str | None


class Keysat:
    """`identify` waits for the network in one case: a key without a verdict waits up to 1.5 s for its first one. All
    further checks run beside the calls."""

    name = STRATEGY
    rank = 30
    headers: tuple[str, ...] = (AUTHORIZATION, INSTALL)

    def __init__(
        self,
        rules: Rules,
        pinned: PinnedKeys,
        server: LicenceServer | None,
        *,
        fingerprint: str,
        send_fingerprint: bool,
        clock: Callable[[], datetime],
    ) -> None:
        self._rules = rules
        self._pinned = pinned
        self._server = server
        self._clock = clock
        self._licences = Licences(rules, pinned, server, fingerprint, clock, send_fingerprint=send_fingerprint)
        self.tiers = rules.tiers

    def attach(self, space: Space) -> None:
        self._licences.attach(space)

    def identify(self, headers: Mapping[str, str]) -> Identity | None:
        text = _token(headers.get(AUTHORIZATION, ""))
        if LICENCE.match(text) is None:
            return None
        install = headers.get(INSTALL)
        if not install:
            raise AuthRejected(f"a licence needs {INSTALL} beside it", code="unauthenticated")
        check_id(install, INSTALL)
        return self._licences.identity(self._licences.presented(text))

    def is_operator(self, headers: Mapping[str, str]) -> bool:  # noqa: ARG002
        return False

    def verdict_for(self, account: str) -> Identity | None:
        """The licence behind an account, as its key would be judged now; None for one never seen here. Raises as
        `identify` does."""
        known = self._licences.of_account(account)
        return None if known is None else self._licences.identity(known)

    def verdicts(self, limit: int = 100) -> list[VerdictRow]:
        """Licences seen so far, the last checked first; at most 1000."""
        space, now = self._licences.space, self._clock()
        found = space.read(lambda tx: records.newest(tx, max(1, min(limit, MAX_ROWS))))
        return [self._row(record, now) for record in found]

    def ask_again(self, account: str) -> bool:
        """Ask at its next call, whatever is remembered; False for a licence never seen here."""
        return self._licences.ask_again(account)

    def health(self) -> Health:
        """Asks the licence server. Without one there is nothing to ask."""
        return Health(ok=True) if self._server is None else self._server.health(self._pinned)

    def _row(self, record: Record, now: datetime) -> VerdictRow:
        verdict = record.verdict
        if verdict is None:
            word = "unchecked"
        elif verdict.ok:
            word = "active"
        else:
            word = EXPIRED if verdict.reason == EXPIRED else "refused"
        return {
            "licence": record.account.removeprefix("lic:"),
            "verdict": word,
            "reason": verdict.reason if verdict else "",
            "checked_at": verdict.checked_at if verdict else None,
            "age": (now - verdict.checked_at).total_seconds() if verdict else None,
            "tier": self._rules.tier(record, now),
        }


def _token(authorization: str) -> str:
    """The credential itself: the value with or without `Bearer` before it."""
    value = authorization.strip()
    scheme, _, rest = value.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value
