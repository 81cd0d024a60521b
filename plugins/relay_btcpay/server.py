"""One BTCPay server and one API key: the Greenfield calls the rail makes, and what a refusal means.

Paths are those with the store in them: every version has them, the shorter ones only the newest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from relay.api import RailClient, RailError, RailFailed, RailUnavailable

PERMISSION = re.compile(r"[a-z.]{1,80}")
PAGE = 100


class Server:
    """`where`: the settings table, for messages. Raises ValueError for an address or a key that cannot be used."""

    def __init__(self, url: str, key: str, where: str) -> None:
        self.key = key
        self.where = where
        self.client = RailClient(url, name="BTCPay", headers={"Authorization": f"token {key}"} if key else {})

    def get(
        self, path: str, params: dict[str, str | Sequence[str]] | None = None, *, timeout: float | None = None
    ) -> Any:
        """Raises RailUnavailable, whatever is wrong."""
        status, said = self.client.ask("GET", f"/api/v1/{path}", params=params, timeout=timeout)
        if status >= 300:
            raise self._unread(status, said)
        return said

    def listed(
        self, path: str, params: dict[str, str | Sequence[str]] | None = None, *, timeout: float | None = None
    ) -> list[dict[str, Any]]:
        """Raises RailUnavailable, for an answer that is no list of objects too."""
        said = self.get(path, params, timeout=timeout)
        if not isinstance(said, list) or not all(isinstance(item, dict) for item in said):
            raise self.client.unusable("GET", "a list was asked for, and this is none")
        return said

    def invoice(self, store: str, invoice_id: str) -> dict[str, Any] | None:
        """None: BTCPay says that the store has no such invoice. Any other 404 is about the address or the store."""
        status, said = self.client.ask("GET", f"/api/v1/stores/{store}/invoices/{invoice_id}")
        if status == 404 and code_of(said) == "invoice-not-found":
            return None
        if status >= 300:
            raise self._unread(status, said)
        if not isinstance(said, dict):
            raise self.client.unusable("GET", "an invoice was asked for, and this is none")
        return said

    def invoices(
        self, store: str, *, skip: int = 0, take: int = PAGE, **filters: str | Sequence[str]
    ) -> list[dict[str, Any]]:
        """Newest first. There is no limit by default, and archived ones are left out unless asked for."""
        params = {"take": str(take), "skip": str(skip), "includeArchived": "true", **filters}
        return self.listed(f"stores/{store}/invoices", params)

    def all_confirmed(self, store: str, invoice_id: str) -> bool:
        """Whether every payment that counts has its confirmations."""
        methods = self.listed(
            f"stores/{store}/invoices/{invoice_id}/payment-methods", {"onlyAccountedPayments": "true"}
        )
        listed = [method.get("payments") for method in methods]
        payments = [payment for some in listed if isinstance(some, list) for payment in some]
        if not payments:
            return False
        return all(isinstance(payment, dict) and payment.get("status") == "Settled" for payment in payments)

    def create(self, store: str, body: dict[str, Any]) -> Any:
        """Raises RailFailed, RailUnavailable or RailOutcomeUnknown."""
        status, said = self.client.ask("POST", f"/api/v1/stores/{store}/invoices", json=body)
        if status == 400:
            # No wallet, a node that is not ready, no exchange rate: it is the operator's, and it passes.
            raise RailUnavailable("BTCPay cannot make an invoice at the moment; the operator finds why in the log")
        if status >= 300:
            raise self.refused(status, said)
        return said

    def permissions(self, *, timeout: float | None = None) -> list[object]:
        """What this key was granted."""
        said = self.get("api-keys/current", timeout=timeout)
        granted = said.get("permissions") if isinstance(said, dict) else None
        if not isinstance(granted, list):
            raise self.client.unusable("GET", "the permissions of the key were asked for, and these are none")
        return granted

    def revoke(self) -> None:
        """End this key. One that is unknown has ended already."""
        self._delete("/api/v1/api-keys/current", gone=frozenset({401, 404}))

    def delete_webhook(self, store: str, webhook: str) -> None:
        self._delete(f"/api/v1/stores/{store}/webhooks/{webhook}", gone=frozenset({404}))

    def close(self) -> None:
        self.client.close()

    def refused(self, status: int, said: Any) -> RailError:
        """For an operator who reads it in a log or in the admin pages; what BTCPay said is not repeated."""
        key = f"connect BTCPay again, or correct {self.where}.api_key"
        if status == 401:
            return RailUnavailable(f"BTCPay does not accept the relay's API key; the operator must {key}")
        if status == 403:
            wanted = said.get("missingPermission") if isinstance(said, dict) else None
            name = f" ({wanted})" if isinstance(wanted, str) and PERMISSION.fullmatch(wanted) else ""
            return RailUnavailable(
                f"the relay's API key may not do this{name} with this store; the operator must {key}"
            )
        if status == 404:
            return RailUnavailable(f"BTCPay has nothing there; the operator must check {self.where}.url and the store")
        return RailFailed(f"BTCPay refused with status {status}; the operator finds why in the log")

    def _unread(self, status: int, said: Any) -> RailUnavailable:
        """A read that was refused changed nothing, whatever the reason."""
        return RailUnavailable(self.refused(status, said).message)

    def _delete(self, path: str, gone: frozenset[int]) -> None:
        status, said = self.client.ask("DELETE", path)
        if status >= 300 and status not in gone:
            raise self.refused(status, said)


def code_of(said: Any) -> str:
    code = said.get("code") if isinstance(said, dict) else None
    return code if isinstance(code, str) else ""
