"""BTCPay's webhooks: who is told, what the body says, how it is signed, and when it is tried again."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.testing.sandbox.btcpay_invoices import new_id
from relay.testing.sandbox.clock import Clock
from relay.testing.sandbox.deliveries import Attempt, Outgoing, Parcel, post

RETRY_SECONDS = (10, 60, 600, 600, 600, 600, 600, 600)
TIMEOUT_SECONDS = 100.0
MAX_DELIVERIES = 5000
CLOSED_EVENTS = (
    "InvoiceCreated",
    "InvoiceReceivedPayment",
    "InvoiceProcessing",
    "InvoiceExpired",
    "InvoiceSettled",
    "InvoiceInvalid",
    "InvoicePaymentSettled",
)
"""The only names before 1.12."""
SINCE = {"InvoiceExpiredPaidPartial": (2, 1, 1), "InvoicePaidAfterExpiration": (2, 1, 1), "InvoiceRefund": (2, 4, 1)}
OLD_METHODS = {"BTC-CHAIN": "BTC", "BTC-LN": "BTC-LightningNetwork", "BTC-LNURL": "BTC-LNURLPAY"}

Version = tuple[int, ...]


@dataclass(slots=True)
class Delivery:
    """One try. `request`: the body that was sent, as an object."""

    id: str
    request: dict[str, Any]
    timestamp: int
    sent: int
    attempt: Attempt

    def view(self) -> dict[str, Any]:
        told: dict[str, Any] = {"id": self.id, "timestamp": self.timestamp, "deliveryTime": self.sent}
        if self.attempt.good:
            return {**told, "httpCode": self.attempt.status, "errorMessage": None, "status": "HttpSuccess"}
        if self.attempt.status is not None:
            message = f"HTTP Error Code {self.attempt.status}"
            return {**told, "httpCode": self.attempt.status, "errorMessage": message, "status": "HttpError"}
        return {**told, "httpCode": None, "errorMessage": self.attempt.error, "status": "Failed"}


@dataclass(slots=True)
class Webhook:
    """`events` None: every event of the store."""

    id: str
    store: str
    url: str
    secret: str
    enabled: bool = True
    redelivers: bool = True
    events: tuple[str, ...] | None = None
    deliveries: deque[Delivery] = field(default_factory=lambda: deque(maxlen=MAX_DELIVERIES))

    def view(self, *, with_secret: bool = False) -> dict[str, Any]:
        """The secret is told once, to who made it."""
        return {
            "id": self.id,
            "url": self.url,
            "enabled": self.enabled,
            "automaticRedelivery": self.redelivers,
            "authorizedEvents": {"everything": self.events is None, "specificEvents": list(self.events or ())},
            "secret": self.secret if with_secret else None,
        }

    def wants(self, store: str, event: str) -> bool:
        return self.enabled and self.store == store and (self.events is None or event in self.events)


def indented(body: Mapping[str, Any]) -> bytes:
    """As BTCPay writes it: over many lines. The signature covers exactly these bytes."""
    return json.dumps(body, indent=2, ensure_ascii=False).encode()


def signature(secret: str, body: bytes) -> str:
    """The value of `BTCPay-Sig`."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def aged(extra: Mapping[str, Any], version: Version) -> dict[str, Any]:
    """The fields of an event as that version of BTCPay wrote them."""
    told = dict(extra)
    if version < (2,):
        if "paymentMethodId" in told:
            told["paymentMethod"] = OLD_METHODS[told.pop("paymentMethodId")]
        told.pop("overPaid", None)
    return told


def known(event: str, version: Version) -> bool:
    return version >= SINCE.get(event, (0,))


class Webhooks:
    """All webhooks of the sandbox's BTCPay. `version` and `speed` are read at every event."""

    def __init__(self, clock: Clock, version: Callable[[], Version], speed: Callable[[], float]) -> None:
        self.by_id: dict[str, Webhook] = {}
        self.outgoing = Outgoing(clock)
        self._clock = clock
        self._version = version
        self._speed = speed

    def emit(self, store: str, event: str, invoice: str, metadata: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
        """Tell everyone who wants to know."""
        version = self._version()
        if not known(event, version):
            return
        for webhook in self.by_id.values():
            if webhook.wants(store, event):
                body = self.body(webhook, event, store, invoice, metadata, extra)
                self._queue(webhook, body)

    def body(
        self,
        webhook: Webhook,
        event: str,
        store: str,
        invoice: str,
        metadata: Mapping[str, Any],
        extra: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The body of a first delivery."""
        ident = new_id()
        version = self._version()
        body: dict[str, Any] = {
            "deliveryId": ident,
            "webhookId": webhook.id,
            "originalDeliveryId": ident,
            "isRedelivery": False,
            "type": event,
            "timestamp": int(self._clock.now()),
            "storeId": store,
            "invoiceId": invoice,
        }
        if version >= (1, 7):
            body["metadata"] = json.loads(json.dumps(metadata))
        return {**body, **aged(extra, version)}

    def redeliver(self, webhook: Webhook, delivery: Delivery) -> str:
        """Send it again, by hand. Returns the new delivery's id."""
        body = again(delivery.request)
        self._queue(webhook, body)
        return str(body["deliveryId"])

    def post(self, webhook: Webhook, raw: bytes, signed: str | None) -> Attempt:
        """One POST. `signed`: the signature's header, None for no header."""
        headers = {
            "content-type": "application/json",
            "user-agent": f"BTCPayServer/{'.'.join(map(str, self._version()))}",
        }
        if signed is not None:
            headers["BTCPay-Sig"] = signed
        return post(webhook.url, raw, headers, TIMEOUT_SECONDS)

    def _queue(self, webhook: Webhook, first: dict[str, Any]) -> None:
        def send(number: int) -> float | None:
            if self.by_id.get(webhook.id) is not webhook or not webhook.enabled:
                return None
            body = again(first) if number else first
            raw = indented(body)
            attempt = self.post(webhook, raw, signature(webhook.secret, raw))
            now = int(self._clock.now())
            webhook.deliveries.append(Delivery(body["deliveryId"], body, body["timestamp"], now, attempt))
            if not webhook.redelivers or number >= len(RETRY_SECONDS) or not self._retried(attempt):
                return None
            return RETRY_SECONDS[number] / self._speed()

        self.outgoing.send(webhook.id, Parcel(first["type"], send))

    def _retried(self, attempt: Attempt) -> bool:
        if attempt.good or attempt.final:
            return False
        if attempt.status is None or self._version() < (2, 3, 4):
            return True
        return attempt.status >= 500 or attempt.status in (408, 429)


def again(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same event as a redelivery."""
    return {**body, "deliveryId": new_id(), "isRedelivery": True}
