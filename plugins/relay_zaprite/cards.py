"""Contacts and the cards they chose to keep, which Zaprite calls payment profiles."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog

from relay.api import PluginError, Space, SpaceTx
from relay_zaprite.client import Client
from relay_zaprite.orders import id_like, instant

log = structlog.get_logger("relay.zaprite")


class Contacts:
    """A contact per email address, made once and remembered: Zaprite does not say what it does with a second one."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.space: Space | None = None

    def contact_for(self, email: str) -> str | None:
        """None when there can be none now: the order is then made without one."""
        try:
            return self._known(email) or self._make(email)
        except PluginError as exc:
            log.warning("zaprite_contact_failed", error=exc.message, note="the buyer is not offered to keep a card")
            return None

    def refused(self, email: str, contact: str) -> None:
        """An order with this contact was refused. Forget it if Zaprite does not have it."""
        try:
            gone = self._client.contact(contact) is None
        except PluginError:
            return
        if gone and self.space is not None:
            self.space.transact(lambda tx: tx.delete(_key(email)))

    def _known(self, email: str) -> str | None:
        if self.space is None:
            return None
        found = self.space.read(lambda tx: tx.get(_key(email)))
        return None if found is None else id_like(found.get("id"))

    def _make(self, email: str) -> str | None:
        status, said = self._client.post("/v1/contacts", {"email": email, "legalName": email}, (email,))
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


def card_is_gone(status: int, said: Any) -> bool:
    """A refusal because the card is not kept any more, not because it does not pay. Zaprite documents neither."""
    if status == 404:
        return True
    text = str(said.get("message") or "").lower() if isinstance(said, dict) else ""
    return status != 402 and bool(re.search("payment ?profile", text)) and "declin" not in text


def _key(email: str) -> str:
    """Addresses are not kept here in a form that can be read."""
    return f"contact/{hashlib.sha256(email.strip().lower().encode()).hexdigest()}"
