"""Webhooks: the signature over the raw bytes, and what an event says. Whatever it says, the invoice is fetched."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any

import msgspec

from relay.api import BadRequest, Delivery, Notice, Unauthenticated
from relay_btcpay.invoices import is_id, text

HEADER = "btcpay-sig"
FIRST_EVENTS = (
    "InvoiceReceivedPayment",
    "InvoiceProcessing",
    "InvoiceSettled",
    "InvoiceExpired",
    "InvoiceInvalid",
)
"""What every server knows. Before 1.12 the names were a closed list, and a later one was refused."""
LATER_EVENTS = ("InvoicePaidAfterExpiration", "InvoiceExpiredPaidPartial", "InvoiceRefund")
REFUND = "InvoiceRefund"
ACTS = frozenset({*FIRST_EVENTS, *LATER_EVENTS, "InvoicePaymentSettled"})


def read_event(delivery: Delivery, secrets: Iterable[str]) -> tuple[Notice, dict[str, Any]]:
    """The notice and the event itself. Raises Unauthenticated or BadRequest."""
    check_signature(delivery, secrets)
    try:
        event = msgspec.json.decode(delivery.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("the webhook's body is no JSON") from None
    if not isinstance(event, dict):
        raise BadRequest("the webhook's body must be a JSON object")
    return notice_of(event), event


def check_signature(delivery: Delivery, secrets: Iterable[str]) -> None:
    """`sha256=` (in any case) and the lower-case hex of HMAC-SHA256 over the bytes as they came, by any live secret."""
    prefix, _, given = delivery.headers.get(HEADER, "").strip().partition("=")
    proof = given.encode("utf-8", "surrogatepass")
    live = [secret for secret in secrets if secret]
    # All are compared, so that the time does not tell which one it was.
    matches = [hmac.compare_digest(sign(secret, delivery.body), proof) for secret in live]
    if prefix.lower() != "sha256" or not any(matches):
        raise Unauthenticated("this webhook is not signed with the secret that was agreed on")


def sign(secret: str, body: bytes) -> bytes:
    return hmac.new(secret.encode("utf-8", "surrogatepass"), body, hashlib.sha256).hexdigest().encode()


def notice_of(event: dict[str, Any]) -> Notice:
    kind = text(event, "type")
    metadata = event.get("metadata")
    order_id = text(metadata, "orderId") if isinstance(metadata, dict) else ""
    invoice_id = text(event, "invoiceId")
    # The first delivery's id stays the same through all retries; very old servers misspell it.
    delivery = text(event, "originalDeliveryId") or text(event, "orignalDeliveryId") or text(event, "deliveryId")
    return Notice(
        kind,
        invoice_id if is_id(invoice_id) else None,
        order_id or None,
        delivery,
        acts=kind in ACTS,
        signed=True,
    )
