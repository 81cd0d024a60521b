"""Installations of the app: an id they made up themselves, which is also their secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from relay.api import AuthRejected, AuthStrategy, Identity, check_id, hookimpl, read_settings

INSTALL = "x-recap-install-id"
AUTHORIZATION = "authorization"
LICENCE = "LIC1-"
CALLER_KEY = "rk_"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to set."""


class InstallId:
    """`X-Recap-Install-Id` -> `inst:<id>`.

    It is asked last. A licence or a caller key that comes this far was taken by nobody, so it is refused
    rather than ignored: a caller never becomes somebody else than it says. Any other Authorization value is
    let through, because OpenAI clients must send one.
    """

    name = "install_id"
    rank = 40
    headers: tuple[str, ...] = (INSTALL, AUTHORIZATION)

    def identify(self, headers: Mapping[str, str]) -> Identity | None:
        install = headers.get(INSTALL)
        token = _token(headers.get(AUTHORIZATION, ""))
        if token.startswith(CALLER_KEY):
            raise AuthRejected("this key is not known here", code="bad_key")
        if token.startswith(LICENCE):
            if not install:
                raise AuthRejected(f"a licence needs {INSTALL} beside it", code="unauthenticated")
            raise AuthRejected(
                "this relay does not accept licences; leave out the Authorization header",
                code="bad_license",
                details={"reason": "not_supported"},
            )
        if not install:
            return None
        return Identity("inst:" + check_id(install, INSTALL), self.name)

    def is_operator(self, headers: Mapping[str, str]) -> bool:  # noqa: ARG002
        return False


def _token(authorization: str) -> str:
    """The credential itself: the value with or without `Bearer` before it."""
    value = authorization.strip()
    scheme, _, rest = value.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value


class Plugin:
    def __init__(self, table: Mapping[str, Any]) -> None:
        read_settings(table, Settings)
        self._strategy = InstallId()

    @hookimpl
    def relay_auth_strategies(self) -> list[AuthStrategy]:
        return [self._strategy]
