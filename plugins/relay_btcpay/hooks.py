"""Our webhook at BTCPay: found by its URL, made or renewed, checked. Two with one URL would tell everything twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relay.api import RailUnavailable
from relay_btcpay.events import FIRST_EVENTS, LATER_EVENTS
from relay_btcpay.invoices import is_id
from relay_btcpay.server import Server

PATH = "/relay/btcpay/webhook"
REFUSED = frozenset({400, 422})
Left = Callable[[], float | None]
"""Seconds that are left for the next call; None: as long as a call may take."""


def no_limit() -> None:
    return None


def listed(server: Server, store: str, left: Left = no_limit) -> list[dict[str, Any]]:
    return server.listed(f"stores/{store}/webhooks", timeout=left())


def register(server: Server, store: str, url: str, secret: str, left: Left = no_limit) -> str:
    """The id of the store's one webhook to `url`, signing with `secret` from now on. Raises RailError."""
    same = [hook["id"] for hook in listed(server, store, left) if _url(hook) == url and is_id(hook.get("id"))]
    for surplus in same[1:]:
        server.delete_webhook(store, surplus)
    path = f"/api/v1/stores/{store}/webhooks"
    method, path = ("PUT", f"{path}/{same[0]}") if same else ("POST", path)
    body: dict[str, Any] = {"url": url, "enabled": True, "automaticRedelivery": True, "secret": secret}
    for events in ((*FIRST_EVENTS, *LATER_EVENTS), FIRST_EVENTS):
        body["authorizedEvents"] = {"everything": False, "specificEvents": list(events)}
        status, said = server.client.ask(method, path, json=body, secrets=[secret], timeout=left())
        # Servers before 1.12 know a closed list of events and refuse the rest.
        if status not in REFUSED:
            break
    if status >= 300:
        raise server.refused(status, said)
    made = said.get("id") if isinstance(said, dict) else None
    if same and made is None:
        return str(same[0])
    if not is_id(made):
        raise server.client.unusable(method, "a webhook was to be made, and this is none")
    return str(made)


def is_there(server: Server, store: str, webhook: str, url: str, left: Left = no_limit) -> bool:
    return any(hook.get("id") == webhook or _url(hook) == url for hook in listed(server, store, left))


def warning(server: Server, store: str, left: Left = no_limit) -> str:
    """What is wrong with a webhook that an operator made by hand; "" when nothing is, or when the key may not look."""
    try:
        found = [hook for hook in listed(server, store, left) if _url(hook).split("?")[0].endswith(PATH)]
    except RailUnavailable:
        return ""
    if not found:
        return f"this store has no webhook to the relay; make one to PUBLIC_URL{PATH}, payments are polled until then"
    if not any(hook.get("enabled", True) for hook in found):
        return "the store's webhook to the relay is switched off; payments are polled until it is on"
    return ""


def _url(hook: dict[str, Any]) -> str:
    url = hook.get("url")
    return url if isinstance(url, str) else ""
