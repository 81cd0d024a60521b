"""The auth port: who is calling `/relay/*`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller the relay knows.

    `account` is the `credit_key`: `user:…`, `inst:…` or `lic:…`. `tier`: what the credential itself
    grants (a licence's tier), or None when the relay's own row decides. `allowance` False: may spend
    purchased credit only (an expired licence). `strategy`: the name of the auth strategy.
    """

    account: str
    strategy: str
    tier: str | None = None
    allowance: bool = True


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
