"""The operator's own callers: one shared key, and the user the call is for."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec

from relay.api import AuthRejected, AuthStrategy, BadIdentity, ConfigError, Identity, check_id, hookimpl, read_settings

KEY = "x-recap-operator-key"
USER = "x-recap-user-id"
MIN_LENGTH = 16


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str


class OperatorKey:
    """`X-Recap-Operator-Key` + `X-Recap-User-Id` -> `user:<id>`. An empty header counts as absent."""

    name = "operator_key"
    rank = 10
    headers: tuple[str, ...] = (KEY, USER)

    def __init__(self, key: str) -> None:
        self._hash = _hash(key)

    def identify(self, headers: Mapping[str, str]) -> Identity | None:
        user = headers.get(USER)
        if self.is_operator(headers):
            if not user:
                raise BadIdentity(f"send {USER} with {KEY}: the id of the user this call is for")
            return Identity("user:" + check_id(user, USER), self.name)
        if user:
            raise AuthRejected(f"{USER} needs {KEY} beside it", code="unauthenticated")
        return None

    def is_operator(self, headers: Mapping[str, str]) -> bool:
        key = headers.get(KEY)
        if not key:
            return False
        if not hmac.compare_digest(_hash(key), self._hash):
            raise AuthRejected(f"{KEY} is not this relay's key", code="bad_operator_key")
        return True


def _hash(key: str) -> bytes:
    """Equal lengths for the comparison, and no key kept in memory. Any text a header can hold is accepted."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


class Plugin:
    def __init__(self, table: Mapping[str, Any]) -> None:
        key = read_settings(table, Settings).key.strip()
        where = f"{getattr(table, 'path', 'plugins.operator_key')}.key"
        if len(key) < MIN_LENGTH:
            raise ConfigError(f"{where}: must have at least {MIN_LENGTH} characters; `openssl rand -hex 32` makes one")
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(f"{where}: must be printable ASCII, because it travels in a header")
        self._strategy = OperatorKey(key)

    @hookimpl
    def relay_auth_strategies(self) -> list[AuthStrategy]:
        return [self._strategy]
