"""BTCPay's API beside invoices and webhooks: health, version, stores, keys, and the pages for people."""

from __future__ import annotations

import html
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from relay.testing.sandbox import btcpay_keys as keys
from relay.testing.sandbox.btcpay_access import allow, host, key_of
from relay.testing.sandbox.btcpay_errors import problem
from relay.testing.sandbox.btcpay_hooks import OLD_METHODS
from relay.testing.sandbox.btcpay_invoices import METHODS, RATES, Invoice, new_id
from relay.testing.sandbox.btcpay_keys import Key, asked_for
from relay.testing.sandbox.problems import answering
from relay.testing.sandbox.service import Call, Reply, Route, json_reply

if TYPE_CHECKING:
    from relay.testing.sandbox.btcpay import BTCPay

PREFIXES = {"mainnet": "bc1", "testnet": "tb1", "regtest": "bcrt1"}
HEIGHT = 800_000


class ServerApi:
    def __init__(self, btcpay: BTCPay) -> None:
        self._btcpay = btcpay

    def routes(self) -> Sequence[Route]:
        api, store = "/api/v1", "/api/v1/stores/{store}"
        found = [
            Route("health", "GET", f"{api}/health", self.health),
            Route("info", "GET", f"{api}/server/info", self.info),
            Route("stores", "GET", f"{api}/stores", self.stores),
            Route("store", "GET", store, self.store),
            Route("store_methods", "GET", f"{store}/payment-methods", self.store_methods),
            Route("address", "GET", f"{store}/payment-methods/BTC-CHAIN/wallet/address", self.address),
            Route("rates", "GET", f"{store}/rates", self.rates),
            Route("key", "GET", f"{api}/api-keys/current", self.key),
            Route("revoke", "DELETE", f"{api}/api-keys/current", self.revoke),
            Route("authorize", "GET", "/api-keys/authorize", self.authorize),
            Route("consent", "POST", "/api-keys/authorize", self.consent),
            Route("checkout", "GET", "/i/{id}", self.checkout),
            Route("pay", "POST", "/i/{id}", self.pay),
        ]
        return [Route(route.name, route.method, route.pattern, answering(route.handler)) for route in found]

    def health(self, _call: Call) -> Reply:
        return json_reply({"synchronized": self._btcpay.now.synced})

    def info(self, call: Call) -> Reply:
        key_of(self._btcpay, call)
        synced = self._btcpay.now.synced
        node = {"headers": HEIGHT, "blocks": HEIGHT if synced else 1000, "verificationProgress": 1.0 if synced else 0.1}
        chain = {"paymentMethodId": "BTC-CHAIN", "chainHeight": HEIGHT, "syncHeight": HEIGHT, "available": True}
        return json_reply(
            {
                "version": self._btcpay.now.version,
                "onion": "",
                "supportedPaymentMethods": self._methods(),
                "fullySynched": synced,
                "syncStatus": [{**chain, "nodeInformation": node}],
            }
        )

    def stores(self, call: Call) -> Reply:
        key = key_of(self._btcpay, call)
        shown = [ident for ident in self._btcpay.stores if key.allows(keys.SETTINGS, ident)]
        if not shown and self._btcpay.version >= (2,):
            allow(self._btcpay, call, keys.SETTINGS)
        return json_reply([self._store(ident) for ident in shown])

    def store(self, call: Call) -> Reply:
        allow(self._btcpay, call, keys.SETTINGS, call.params["store"])
        return json_reply(self._store(call.params["store"]))

    def store_methods(self, call: Call) -> Reply:
        allow(self._btcpay, call, keys.SETTINGS, call.params["store"])
        return json_reply([{"paymentMethodId": method, "enabled": True} for method in self._methods()])

    def address(self, call: Call) -> Reply:
        allow(self._btcpay, call, keys.MODIFY_SETTINGS, call.params["store"])
        if not self._btcpay.now.synced:
            raise problem(503, "not-available", "BTC-CHAIN services are not currently available")
        where = f"{PREFIXES[self._btcpay.now.network]}q{new_id(30).lower()}"
        return json_reply({"address": where, "keyPath": "0/1", "paymentLink": f"bitcoin:{where}"})

    def rates(self, call: Call) -> Reply:
        allow(self._btcpay, call, keys.SETTINGS, call.params["store"])
        asked = parse_qs(call.query_string).get("currencyPair", ["BTC_USD"])
        return json_reply([_rate(pair) for pair in asked])

    def key(self, call: Call) -> Reply:
        key = key_of(self._btcpay, call)
        return json_reply({"apiKey": key.key, "label": key.label, "permissions": list(key.permissions)})

    def revoke(self, call: Call) -> Reply:
        with self._btcpay.lock:
            key = key_of(self._btcpay, call)
            del self._btcpay.keys[key.key]
        return json_reply({})

    def authorize(self, call: Call) -> Reply:
        """The page of consent; with `auto=1` the person has consented already."""
        asked = asked_for(call.query_string)
        if call.query.get("auto") == "1":
            return self._grant(call, None)
        action = f"{host(call)}/api-keys/authorize?{call.query_string}"
        return keys.consent_page(asked, list(self._btcpay.stores.items()), action)

    def consent(self, call: Call) -> Reply:
        chosen = parse_qs(call.raw().read().decode("utf-8", "replace")).get("store", [])
        return self._grant(call, [ident for ident in chosen if ident in self._btcpay.stores])

    def checkout(self, call: Call) -> Reply:
        invoice = self._public(call)
        text = (
            f"<h1>{html.escape(invoice.shown()['amount'])} {html.escape(invoice.currency)}</h1><p>{invoice.status}</p>"
        )
        if invoice.status == "New":
            text += '<form method="post"><button>Pay with lightning</button></form>'
        back = _return_url(invoice)
        return keys.page(
            "Checkout", text + (f'<p><a href="{html.escape(back)}">Return to the shop</a></p>' if back else "")
        )

    def pay(self, call: Call) -> Reply:
        """The button of the checkout page."""
        invoice = self._public(call)
        try:
            self._btcpay.pay(invoice.id)
        except ValueError as exc:
            raise problem(400, "generic-error", str(exc)) from None
        return Reply(303, b"", {"location": _return_url(invoice) or f"{host(call)}/i/{invoice.id}"})

    def _grant(self, call: Call, chosen: list[str] | None) -> Reply:
        asked = asked_for(call.query_string)
        granted = asked.granted(chosen if chosen is not None else list(self._btcpay.stores))
        key = Key(secrets.token_hex(20), granted, asked.name or "sandbox")
        with self._btcpay.lock:
            self._btcpay.keys[key.key] = key
        return keys.submitting_page(asked.redirect, keys.callback_fields(key, "sandbox-user"))

    def _public(self, call: Call) -> Invoice:
        with self._btcpay.lock:
            self._btcpay.tick()
            if (found := self._btcpay.invoices.get(call.params["id"])) is None:
                raise problem(404, "invoice-not-found", "The invoice was not found")
            return found

    def _methods(self) -> list[str]:
        return [OLD_METHODS[method] if self._btcpay.version < (2,) else method for method in METHODS]

    def _store(self, ident: str) -> dict[str, Any]:
        return {
            "id": ident,
            "name": self._btcpay.stores[ident],
            "website": None,
            "defaultCurrency": "USD",
            "invoiceExpiration": 900,
            "monitoringExpiration": 86_400,
            "speedPolicy": "MediumSpeed",
            "paymentTolerance": 0.0,
            "networkFeeMode": "MultiplePaymentsOnly",
            "defaultPaymentMethod": self._methods()[0],
            "archived": False,
            "anyoneCanCreateInvoice": False,
        }


def _rate(pair: str) -> dict[str, Any]:
    left, _, right = pair.partition("_")
    if left == "BTC" and right in RATES:
        return {"currencyPair": pair, "errors": [], "rate": RATES[right]}
    return {"currencyPair": pair, "errors": ["The rate is not available"], "rate": None}


def _return_url(invoice: Invoice) -> str:
    """Where the buyer goes from the checkout page, its placeholders filled in."""
    url = str(invoice.checkout.get("redirectURL") or "")
    order = str(invoice.metadata.get("orderId", ""))
    return url.replace("{InvoiceId}", invoice.id).replace("{OrderId}", order).replace("{Status}", invoice.status)
