"""The auth port: who is calling `/relay/*`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller the relay knows.

    `account` is the `credit_key`: `user:…`, `inst:…` or `lic:…`. `tier`: what the credential itself
    grants (a licence's tier), or None when the relay's own row decides. `allowance` False: may spend
    purchased credit only (an expired licence). `strategy`: the name of the auth strategy. `credential`: the id of
    the caller key it came with, "" for none; `outdated`: with the value of that key before its last rotation.
    """

    account: str
    strategy: str
    tier: str | None = None
    allowance: bool = True
    credential: str = ""
    outdated: bool = False


class AuthStrategy(Protocol):
    """Strategies are asked by `rank`, smallest first, whatever the order in plugins.toml:
    operator key 10, caller key 20, licence 30, install id 40."""

    name: str
    rank: int
    headers: tuple[str, ...]
    """Lower-case header names that carry this strategy's credentials: a request with none of any
    strategy's is refused before its body is read."""

    def identify(self, headers: Mapping[str, str]) -> Identity | None:
        """None: not mine, ask the next. Raises AuthRejected or BadIdentity to end the search.

        `headers` has lower-case names. No network unless the strategy documents it.
        """

    def is_operator(self, headers: Mapping[str, str]) -> bool:
        """True when the request carries the operator's own credential; AuthRejected when a wrong one."""


@runtime_checkable
class LicenceKeeper(Protocol):
    """What an auth strategy offers besides when its accounts are licences (`lic:…`): a caller key made for such an
    account is worth what the licence is worth at the time of the call.

    `tiers`: what its licences may grant; one that is not configured is said at the start.
    """

    tiers: frozenset[str]

    def verdict_for(self, account: str) -> Identity | None:
        """Who the licence's own bearer would be now; None for a licence it has never seen. Raises AuthRejected for one
        that is no longer good, and Unavailable when that cannot be told."""


@runtime_checkable
class LicenceCache(Protocol):
    """What an auth strategy offers besides when it remembers what a licence server said, for the operator to see."""

    def verdicts(self, limit: int) -> Sequence[Mapping[str, Any]]:
        """Licences seen so far, the last checked first: `licence` (16 hex digits), `verdict`, `reason`, `checked_at`,
        `age` in seconds, `tier`."""

    def ask_again(self, account: str) -> bool:
        """Ask the server at the licence's next call, whatever is remembered; False for one never seen here. Until it
        answers, its last verdict counts."""


@dataclass(frozen=True, slots=True)
class CallerKey:
    """A key a caller made for an app of theirs; never the secret itself.

    `previous_until`: until then the value before the last rotation works too.
    """

    id: str
    label: str
    created_at: datetime
    rotated_at: datetime | None = None
    last_used_at: datetime | None = None
    previous_until: datetime | None = None


@runtime_checkable
class KeyIssuer(Protocol):
    """What an auth strategy offers besides when callers may make keys for it. Secrets are shown once."""

    def mint(self, owner: Identity, label: str) -> tuple[CallerKey, str]:
        """A new key for the owner's account, and its secret. Raises Forbidden when the owner came with such a key."""

    def keys(self, owner: Identity) -> Sequence[CallerKey]:
        """All live keys of the account, newest first. A caller who came with a key sees that one only."""

    def revoke(self, owner: Identity, key_id: str) -> None:
        """Raises NotFound for a key that is not the owner's; Forbidden when a key is to end another, or an outdated
        value its own: whoever holds that one may be whom the rotation was to shut out."""

    def rotate(self, owner: Identity, key_id: str, grace_hours: float) -> tuple[CallerKey, str]:
        """The same key with a new secret; the old one works for `grace_hours` more. Raises as `revoke`."""

    def end_all(self, account: str | None) -> int:
        """End every key of the account (None: of everybody), from now on and for good; how many. For the operator, who
        erases accounts."""
