"""Who may do what: the API key of a call, checked as BTCPay checks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay.testing.sandbox.btcpay_errors import problem
from relay.testing.sandbox.btcpay_keys import Key
from relay.testing.sandbox.service import Call

if TYPE_CHECKING:
    from relay.testing.sandbox.btcpay import BTCPay

SILENT_ABOUT_STORES = (2, 3, 6)
"""From here on an unknown store is answered like one the key was not granted."""


def key_of(btcpay: BTCPay, call: Call) -> Key:
    """The key of `Authorization: token KEY`. Raises Problem 401."""
    scheme, _, given = call.headers.get("authorization", "").partition(" ")
    found = btcpay.keys.get(given.strip()) if scheme.lower() in ("token", "bearer") else None
    if found is None or call.has_fault("revoked_key"):
        raise problem(401, "unauthenticated", "Authentication is required for accessing this endpoint")
    return found


def allow(btcpay: BTCPay, call: Call, permission: str, store: str | None = None) -> Key:
    """Raises Problem 401 or 403, and 404 for an unknown store on older servers."""
    key = key_of(btcpay, call)
    if store is not None and store not in btcpay.stores and btcpay.version < SILENT_ABOUT_STORES:
        raise problem(404, "store-not-found", "The store was not found")
    missing = store is not None and store not in btcpay.stores
    if missing or call.has_fault("missing_permission") or not key.allows(permission, store):
        message = f"Insufficient API Permissions. Please use an API key with permission: {permission}"
        raise problem(403, "missing-permission", message, missingPermission=permission)
    return key


def since(btcpay: BTCPay, call: Call, *version: int) -> None:
    """Paths that older versions do not have. Raises Problem 404."""
    if btcpay.version < version:
        raise problem(404, "not-found", f"there is no {call.path} in this version")


def host(call: Call) -> str:
    """The server's own address as the client named it: BTCPay builds its links with it."""
    name = call.headers.get("host", "127.0.0.1")
    if call.has_fault("internal_host"):
        name = str(call.option("host", "btcpay.embassy:23000"))
    return f"http://{name}/btcpay"


def object_of(call: Call) -> dict[str, Any]:
    """The body as an object. Raises Problem 422."""
    body = call.json()
    if not isinstance(body, dict):
        raise problem(422, "invalid-body", "send a JSON object")
    return body
