"""Contacts and the cards they chose to keep, which Zaprite calls payment profiles."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import structlog

from relay.api import PluginError, RailClient, Space, SpaceTx
from relay_zaprite.orders import id_like, instant

log = structlog.get_logger("relay.zaprite")


class Contacts:
    """A contact per email address, made once and remembered: Zaprite does not say what it does with a second one."""

    def __init__(self, client: RailClient) -> None:
        self._client = client
        self.space: Space | None = None

    def contact_for(self, email: str) -> str | None:
        """None when there can be none now: the order is then made without one."""
        try:
            return self._known(email) or self._make(email)
        except PluginError as exc:
            log.warning("zaprite_contact_failed", error=exc.message, note="the buyer is not offered to keep a card")
            return None

    def check(self, email: str, contact: str) -> None:
        """An order with this contact was refused. Forget it if Zaprite does not have it."""
        try:
            status, _ = self._client.ask("GET", contact_path(contact), secrets=[email])
        except PluginError:
            return
        if status == 404 and self.space is not None:
            self.space.transact(lambda tx: tx.delete(_key(email)))

    def _known(self, email: str) -> str | None:
        if self.space is None:
            return None
        found = self.space.read(lambda tx: tx.get(_key(email)))
        return None if found is None else id_like(found.get("id"))

    def _make(self, email: str) -> str | None:
        status, said = self._client.ask(
            "POST", "/v1/contacts", json={"email": email, "legalName": email}, secrets=[email]
        )
        contact = id_like(said.get("id")) if isinstance(said, dict) else None
        if status >= 300 or contact is None:
            log.warning("zaprite_contact_failed", status=status, note="the buyer is not offered to keep a card")
            return None

        def remember(tx: SpaceTx) -> None:
            tx.put(_key(email), {"id": contact})

        if self.space is not None:
            self.space.transact(remember)
        return contact


def kept_card(contact: Mapping[str, Any], order_id: str, now: datetime) -> str | None:
    """The profile that came from this very order; another one of the same contact may be another person's card."""
    profiles = contact.get("paymentProfiles")
    for profile in profiles if isinstance(profiles, list) else ():
        source = profile.get("sourceOrder") if isinstance(profile, dict) else None
        if not isinstance(source, dict) or source.get("externalUniqId") != order_id:
            continue
        ends = instant(profile.get("expiresAt"))
        if ends is None or now < ends:
            return id_like(profile.get("id"))
    return None


def contact_path(contact: str) -> str:
    return f"/v1/contacts/{quote(contact, safe='')}"


def _key(email: str) -> str:
    """Addresses are not kept here in a form that can be read."""
    return f"contact/{hashlib.sha256(email.strip().lower().encode()).hexdigest()}"
