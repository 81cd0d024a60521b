"""BTCPay's API for webhooks: make, read, change, delete them; their deliveries."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from relay.testing.sandbox.btcpay_access import allow, key_of, object_of, since
from relay.testing.sandbox.btcpay_errors import invalid, problem
from relay.testing.sandbox.btcpay_hooks import CLOSED_EVENTS, Delivery, Webhook
from relay.testing.sandbox.btcpay_invoices import new_id
from relay.testing.sandbox.btcpay_keys import WEBHOOKS
from relay.testing.sandbox.problems import answering
from relay.testing.sandbox.service import Call, Reply, Route, json_reply

if TYPE_CHECKING:
    from relay.testing.sandbox.btcpay import BTCPay

OPEN_EVENTS = (1, 12)
"""From here on any name of an event is taken."""
FLAT = (2, 4)
MAX_WEBHOOKS = 1000


class WebhookApi:
    def __init__(self, btcpay: BTCPay) -> None:
        self._btcpay = btcpay

    def routes(self) -> Sequence[Route]:
        store, flat = "/api/v1/stores/{store}/webhooks", "/api/v1/webhooks"
        found = [Route("webhook_create", "POST", store, self.create), Route("webhooks", "GET", store, self.webhooks)]
        for at in (store, flat):
            found += [
                Route("webhook", "GET", f"{at}/{{id}}", self.get),
                Route("webhook_update", "PUT", f"{at}/{{id}}", self.update),
                Route("webhook_delete", "DELETE", f"{at}/{{id}}", self.delete),
                Route("deliveries", "GET", f"{at}/{{id}}/deliveries", self.deliveries),
                Route("delivery", "GET", f"{at}/{{id}}/deliveries/{{delivery}}", self.delivery),
                Route("delivery_request", "GET", f"{at}/{{id}}/deliveries/{{delivery}}/request", self.request),
                Route("redeliver", "POST", f"{at}/{{id}}/deliveries/{{delivery}}/redeliver", self.redeliver),
            ]
        return [Route(route.name, route.method, route.pattern, answering(route.handler)) for route in found]

    def create(self, call: Call) -> Reply:
        store = call.params["store"]
        allow(self._btcpay, call, WEBHOOKS, store)
        asked = object_of(call)
        webhook = Webhook(new_id(), store, "", "")
        self._apply(webhook, asked)
        webhook.secret = str(asked.get("secret") or secrets.token_urlsafe(20))
        with self._btcpay.lock:
            if len(self._btcpay.webhooks.by_id) >= MAX_WEBHOOKS:
                raise problem(400, "generic-error", f"the sandbox keeps {MAX_WEBHOOKS} webhooks: reset it")
            self._btcpay.webhooks.by_id[webhook.id] = webhook
        return json_reply(webhook.view(with_secret=True))

    def webhooks(self, call: Call) -> Reply:
        store = call.params["store"]
        allow(self._btcpay, call, WEBHOOKS, store)
        with self._btcpay.lock:
            found = [webhook.view() for webhook in self._btcpay.webhooks.by_id.values() if webhook.store == store]
        return json_reply(found)

    def get(self, call: Call) -> Reply:
        return json_reply(self._find(call).view())

    def update(self, call: Call) -> Reply:
        with self._btcpay.lock:
            webhook = self._find(call)
            asked = object_of(call)
            self._apply(webhook, asked)
            webhook.secret = str(asked.get("secret") or webhook.secret)
            return json_reply(webhook.view())

    def delete(self, call: Call) -> Reply:
        with self._btcpay.lock:
            webhook = self._find(call)
            del self._btcpay.webhooks.by_id[webhook.id]
            self._btcpay.webhooks.outgoing.forget(webhook.id)
        return json_reply({})

    def deliveries(self, call: Call) -> Reply:
        webhook = self._find(call)
        count = call.query.get("count", "")
        newest = [delivery.view() for delivery in reversed(list(webhook.deliveries))]
        return json_reply(newest[: int(count)] if count.isascii() and count.isdigit() else newest)

    def delivery(self, call: Call) -> Reply:
        return json_reply(self._delivery(call)[1].view())

    def request(self, call: Call) -> Reply:
        _, delivery = self._delivery(call)
        self._not_pruned(call)
        return json_reply(delivery.request)

    def redeliver(self, call: Call) -> Reply:
        webhook, delivery = self._delivery(call)
        self._not_pruned(call)
        return json_reply(self._btcpay.webhooks.redeliver(webhook, delivery))

    def _find(self, call: Call) -> Webhook:
        """Raises Problem 401, 403, 404."""
        store = call.params.get("store")
        found = self._btcpay.webhooks.by_id.get(call.params["id"])
        if store is None:
            since(self._btcpay, call, *FLAT)
            key_of(self._btcpay, call)
        allow(self._btcpay, call, WEBHOOKS, store or (found.store if found else None))
        if found is None or (store is not None and found.store != store):
            raise problem(404, "webhook-not-found", "The webhook was not found")
        return found

    def _delivery(self, call: Call) -> tuple[Webhook, Delivery]:
        webhook = self._find(call)
        for delivery in list(webhook.deliveries):
            if delivery.id == call.params["delivery"]:
                return webhook, delivery
        raise problem(404, "webhookdelivery-not-found", "The webhook delivery was not found")

    def _not_pruned(self, call: Call) -> None:
        if call.has_fault("pruned"):
            raise problem(409, "webhookdelivery-pruned", "This webhook delivery has been pruned")

    def _apply(self, webhook: Webhook, asked: Mapping[str, Any]) -> None:
        """Raises Problem 422."""
        url = str(asked.get("url") or "")
        if not urlsplit(url).scheme or not urlsplit(url).netloc:
            raise invalid("url", "Invalid url, it should be absolute")
        events = asked.get("authorizedEvents")
        events = events if isinstance(events, dict) else {}
        named = tuple(str(event) for event in events.get("specificEvents") or ())
        unknown = [event for event in named if event not in CLOSED_EVENTS]
        if unknown and self._btcpay.version < OPEN_EVENTS:
            raise invalid("authorizedEvents.specificEvents[0]", f"Error converting value {unknown[0]!r}")
        webhook.url = url
        webhook.enabled = bool(asked.get("enabled", True))
        webhook.redelivers = bool(asked.get("automaticRedelivery", True))
        webhook.events = None if events.get("everything", True) else named
