"""Can BTCPay sell for us now, and would we hear of it? Asked in the order in which things go wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from msgspec.structs import replace

from relay.api import Health, RailError, RailUnavailable
from relay_btcpay import hooks, permissions
from relay_btcpay.credentials import Credentials
from relay_btcpay.server import Server
from relay_btcpay.settings import Settings

log = structlog.get_logger("relay.btcpay")

SECONDS = 4.5
WEBHOOK_EVERY_SECONDS = 3600.0
LOOK_SOON_SECONDS = 60.0
MAIN_HEIGHTS = range(700_000, 2_000_000)
"""Blocks of Bitcoin's main network from 2021 until 2045. Test networks are far below or above."""
NO_MAIN = "this is not Bitcoin's main network: what is paid there is worth nothing"
NOT_SYNCHRONISED = "BTCPay's node is not synchronised yet; it cannot make invoices until it is"
TEST_ADDRESSES = ("tb1", "bcrt1", "m", "n", "2")


class Checkup:
    """`server` gives the one that is in use, and raises RailUnavailable when there is none."""

    def __init__(self, settings: Settings, credentials: Credentials, server: Callable[[], Server]) -> None:
        self._settings = settings
        self._credentials = credentials
        self._server = server
        self._hook_due = 0.0
        self._hook_warning = ""
        self._lock = threading.Lock()

    def run(self) -> Health:
        clock = _Clock(SECONDS)
        try:
            server, store = self._server(), self._credentials.store
            state = server.get("health", timeout=clock.left())
            if isinstance(state, dict) and state.get("synchronized") is False:
                return Health(False, NOT_SYNCHRONISED)
            granted = server.permissions(timeout=clock.left())
            if lacking := permissions.missing(granted, store, permissions.TO_SELL):
                return Health(False, f"the API key lacks {', '.join(lacking)} for store {store}")
            may = permissions.allowed(granted, store)
            problem, warnings = self._look(server, store, may, clock)
            if problem:
                return Health(False, problem)
        except RailError as exc:
            return Health(False, exc.message)
        return Health(True, "; ".join(warnings))

    def webhook(self, server: Server, store: str, left: hooks.Left) -> str:
        """At most once an hour while nothing is wrong with our webhook, else once a minute: what it is. One of ours
        that is gone is made again."""
        with self._lock:
            if time.monotonic() < self._hook_due:
                return self._hook_warning
            self._hook_due = time.monotonic() + WEBHOOK_EVERY_SECONDS
        try:
            found = self.check_webhook(server, store, left)
        except RailError as exc:
            found = f"whether the webhook is still there could not be seen: {exc.message}"
        if found:
            self._hook_due = time.monotonic() + LOOK_SOON_SECONDS
        self._hook_warning = found
        return found

    def look_again(self) -> None:
        """The connection was changed: what was seen of the webhook is old."""
        self._hook_due = 0.0

    def check_webhook(self, server: Server, store: str, left: hooks.Left = hooks.no_limit) -> str:
        """Raises RailError."""
        connection = self._credentials.connection()
        if not connection.webhook_id or connection.store_id != store:
            return hooks.warning(server, store, left)
        url, secret = connection.webhook_url, connection.secret
        if hooks.is_there(server, store, connection.webhook_id, url, left):
            return ""
        made = hooks.register(server, store, url, secret, left)
        self._credentials.replace(
            lambda stored: replace(stored, webhook_id=made) if stored.secret == secret else stored
        )
        log.warning("btcpay_webhook_made_again", store=store, webhook=made)
        return "the webhook was gone at BTCPay and was made again"

    def _look(self, server: Server, store: str, may: frozenset[str], clock: _Clock) -> tuple[str, list[str]]:
        """Why it cannot sell, and what an operator should know besides."""
        warnings: list[str] = []
        if permissions.VIEW_STORE in may:
            server.get(f"stores/{store}", timeout=clock.left())
            if not enabled_methods(server.get(_methods(store), {"onlyEnabled": "true"}, timeout=clock.left())):
                return "no payment method is enabled in the store; set up a wallet or Lightning in BTCPay", []
        if off_main(server, store, may, clock):
            warnings.append(NO_MAIN)
        if permissions.WEBHOOKS in may:
            warnings.append(self.webhook(server, store, clock.left))
        if not self._credentials.secrets():
            warnings.append("no webhook secret is known, so every webhook is refused; payments are polled")
        return "", [warning for warning in warnings if warning]


class _Clock:
    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Raises RailUnavailable when the time is over."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise RailUnavailable(f"BTCPay answers too slowly: not all was seen within {SECONDS:g} s")
        return left


def _methods(store: str) -> str:
    return f"stores/{store}/payment-methods"


def enabled_methods(said: Any) -> list[str]:
    """The ids of what buyers can pay with: `BTC-CHAIN`, `BTC-LN`; `BTC`, `BTC-LightningNetwork` before 2.0."""
    if isinstance(said, dict):
        # 1.x: an object with an id to each entry.
        said = [{**method, "paymentMethodId": name} for name, method in said.items() if isinstance(method, dict)]
    methods = [method for method in said if isinstance(method, dict)] if isinstance(said, list) else []
    named = [method.get("paymentMethodId") or method.get("paymentMethod") for method in methods if _on(method)]
    return [name for name in named if isinstance(name, str)]


def _on(method: dict[str, Any]) -> bool:
    return method.get("enabled", True) is True


def off_main(server: Server, store: str, may: frozenset[str], clock: _Clock) -> bool:
    """Whether the store sells on a test network. BTCPay does not say; an address or the height of the chain does."""
    if permissions.MODIFY_STORE in may:
        try:
            said = server.get(f"{_methods(store)}/BTC-CHAIN/wallet/address", timeout=clock.left())
        except RailUnavailable:
            said = None
        address = said.get("address") if isinstance(said, dict) else None
        if isinstance(address, str):
            return address.lower().startswith(TEST_ADDRESSES)
    info = server.get("server/info", timeout=clock.left())
    states = info.get("syncStatus") if isinstance(info, dict) else None
    for state in states if isinstance(states, list) else []:
        if isinstance(state, dict) and _is_bitcoin(state) and isinstance(height := state.get("chainHeight"), int):
            return height not in MAIN_HEIGHTS
    return False


def _is_bitcoin(state: dict[str, Any]) -> bool:
    """1.x names the coin under another key."""
    name = state.get("paymentMethodId") or state.get("cryptoCode")
    return name in {"BTC", "BTC-CHAIN"}
