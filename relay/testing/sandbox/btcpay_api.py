"""BTCPay's API for invoices: create, read, list, mark, archive, refund."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from relay.testing.sandbox import btcpay_invoices as rules
from relay.testing.sandbox.btcpay_access import allow, host, key_of, object_of, since
from relay.testing.sandbox.btcpay_errors import invalid, problem
from relay.testing.sandbox.btcpay_hooks import OLD_METHODS
from relay.testing.sandbox.btcpay_invoices import CONFIRMATIONS, METHODS, RATES, Invoice, decimal, new_id
from relay.testing.sandbox.btcpay_keys import CREATE, MODIFY, REFUND, VIEW
from relay.testing.sandbox.problems import answering
from relay.testing.sandbox.service import Call, Reply, Route, json_reply

if TYPE_CHECKING:
    from relay.testing.sandbox.btcpay import BTCPay

MOST = 2**64 - 1
STATUSES = ("New", "Processing", "Expired", "Invalid", "Settled")
NEW_METHODS = {**{old: new for new, old in OLD_METHODS.items()}, **{method: method for method in METHODS}}
FLAT = (2, 3, 8)
"""From here on invoices can be read without naming their store."""
LIST_METHODS = (2, 3, 6)
GET_METHODS = (2, 4, 1)
PAID_AMOUNT = (2, 1, 1)
VARIANTS = ("RateThen", "CurrentRate", "OverpaidAmount", "Fiat", "Custom")


class InvoiceApi:
    def __init__(self, btcpay: BTCPay) -> None:
        self._btcpay = btcpay

    def routes(self) -> Sequence[Route]:
        store, flat = "/api/v1/stores/{store}/invoices", "/api/v1/invoices"
        found = [Route("create", "POST", store, self.create), Route("invoices", "GET", store, self.invoices)]
        for at in (store, flat):
            found += [
                Route("invoice", "GET", f"{at}/{{id}}", self.get),
                Route("archive", "DELETE", f"{at}/{{id}}", self.archive),
                Route("methods", "GET", f"{at}/{{id}}/payment-methods", self.methods),
                Route("mark", "POST", f"{at}/{{id}}/status", self.mark),
                Route("refund", "POST", f"{at}/{{id}}/refund", self.refund),
            ]
        return [Route(route.name, route.method, route.pattern, answering(route.handler)) for route in found]

    def create(self, call: Call) -> Reply:
        store = call.params["store"]
        allow(self._btcpay, call, CREATE, store)
        asked = object_of(call)
        with self._btcpay.lock:
            if call.has_fault("not_synced") or not self._btcpay.now.synced:
                message = "Full node not available or not synced\nBTC-CHAIN: the node is still synchronizing"
                raise problem(400, "generic-error", str(call.option("message", message)))
            invoice = self._btcpay.add(self.made(store, asked))
            return json_reply(self._view(call, invoice))

    def invoices(self, call: Call) -> Reply:
        store = call.params["store"]
        allow(self._btcpay, call, VIEW, store)
        query = parse_qs(call.query_string)
        with self._btcpay.lock:
            self._btcpay.tick()
            chosen = [invoice for invoice in self._btcpay.invoices.values() if invoice.store == store]
            chosen = sorted(_filtered(chosen, query), key=lambda invoice: invoice.created, reverse=True)
            skip, take = _whole(query, "skip", 0), _whole(query, "take", len(chosen))
            with_methods = _true(call, "includePaymentMethods") and self._btcpay.version >= LIST_METHODS
            shown = chosen[skip : skip + take]
            return json_reply([self._view(call, invoice, with_methods=with_methods) for invoice in shown])

    def get(self, call: Call) -> Reply:
        with self._btcpay.lock:
            invoice = self._find(call, VIEW)
            with_methods = _true(call, "includePaymentMethods") and self._btcpay.version >= GET_METHODS
            return json_reply(self._view(call, invoice, with_methods=with_methods))

    def methods(self, call: Call) -> Reply:
        with self._btcpay.lock:
            invoice = self._find(call, VIEW)
            return json_reply(self._methods(invoice, accounted=_true(call, "onlyAccountedPayments", default=True)))

    def mark(self, call: Call) -> Reply:
        with self._btcpay.lock:
            invoice = self._find(call, MODIFY)
            status = object_of(call).get("status")
            try:
                self._btcpay.mark(invoice.id, str(status))
            except ValueError as exc:
                raise invalid("status", str(exc)) from None
            return json_reply(self._view(call, invoice))

    def archive(self, call: Call) -> Reply:
        with self._btcpay.lock:
            self._find(call, MODIFY).archived = True
        return json_reply({})

    def refund(self, call: Call) -> Reply:
        with self._btcpay.lock:
            invoice = self._find(call, REFUND)
            asked = object_of(call)
            amount, currency = _refunded(invoice, asked)
            made = self._btcpay.add_refund(
                invoice,
                {
                    "name": str(asked.get("name") or f"Refund {invoice.id}"),
                    "description": str(asked.get("description") or ""),
                    "currency": currency,
                    "amount": amount,
                },
            )
        more = {"autoApproveClaims": False, "archived": False, "startsAt": int(self._btcpay.clock.now())}
        link = f"{host(call)}/pull-payments/{made['id']}"
        return json_reply({**made, **more, "expiresAt": None, "BOLT11Expiration": "30", "viewLink": link})

    def made(self, store: str, asked: Mapping[str, Any]) -> Invoice:
        """A new invoice, checked but not kept. Raises Problem 400 and 422."""
        currency = str(asked.get("currency") or "USD").upper()
        if currency not in RATES:
            raise problem(400, "generic-error", f"Impossible to create an invoice\nBTC_{currency}: rate unavailable")
        amount = _amount(asked.get("amount"), currency)
        checkout = _checkout(asked.get("checkout"))
        wanted = tuple(NEW_METHODS[method] for method in checkout["paymentMethods"] or METHODS)
        methods = rules.available(amount, currency, wanted)
        if not methods and amount != 0:
            raise problem(400, "generic-error", "No payment method available for this invoice: the amount is too small")
        now = self._btcpay.clock.now()
        expires = now + 60 * float(checkout["expirationMinutes"])
        return Invoice(
            id=new_id(),
            store=store,
            amount=amount,
            top_up=amount is None,
            currency=currency,
            created=now,
            expires=expires,
            monitored=expires + 60 * float(checkout["monitoringMinutes"]),
            speed=checkout["speedPolicy"],
            tolerance=decimal(checkout["paymentTolerance"]),
            methods=methods,
            metadata=rules.read_metadata(asked.get("metadata")),
            checkout={**checkout, "paymentMethods": list(methods)},
            receipt=rules.read_metadata(asked.get("receipt")),
            terms=tuple(str(term) for term in asked.get("additionalSearchTerms") or ()),
        )

    def _find(self, call: Call, permission: str) -> Invoice:
        """The invoice of the path, brought up to date. Raises Problem 401, 403, 404."""
        self._btcpay.tick()
        store = call.params.get("store")
        found = self._btcpay.invoices.get(call.params["id"])
        if store is None:
            since(self._btcpay, call, *FLAT)
            key_of(self._btcpay, call)
        allow(self._btcpay, call, permission, store or (found.store if found else None))
        if found is None or (store is not None and found.store != store):
            raise problem(404, "invoice-not-found", "The invoice was not found")
        return found

    def _methods(self, invoice: Invoice, *, accounted: bool) -> list[dict[str, Any]]:
        shown = [rules.method_view(invoice, method, accounted=accounted) for method in invoice.methods]
        if self._btcpay.version >= (2,):
            return shown
        return [
            {"paymentMethod": OLD_METHODS[view.pop("paymentMethodId")], "cryptoCode": view.pop("currency"), **view}
            for view in shown
        ]

    def _view(self, call: Call, invoice: Invoice, *, with_methods: bool = False) -> dict[str, Any]:
        view = {
            "id": invoice.id,
            "storeId": invoice.store,
            **invoice.shown(),
            "currency": invoice.currency,
            "type": invoice.type,
            "checkoutLink": f"{host(call)}/i/{invoice.id}",
            "createdTime": int(invoice.created),
            "expirationTime": int(invoice.expires),
            "monitoringExpiration": int(invoice.monitored),
            "archived": invoice.archived,
            "metadata": dict(invoice.metadata),
            "checkout": invoice.checkout,
            "receipt": invoice.receipt,
        }
        if call.has_fault("stale"):
            view.update(invoice.before)
        if self._btcpay.version < PAID_AMOUNT:
            del view["paidAmount"]
        if with_methods:
            view["paymentMethods"] = self._methods(invoice, accounted=True)
        _spoil(call, view)
        return view


WRONG = {
    "wrong_amount": ("amount", "1"),
    "wrong_currency": ("currency", "XMR"),
    "wrong_store": ("storeId", "SomeOtherStore"),
    "wrong_id": ("id", "SomeOtherInvoice"),
    "unknown_status": ("status", "Frozen"),
}


def _spoil(call: Call, view: dict[str, Any]) -> None:
    if call.fault is None:
        return
    if call.fault.name in WRONG:
        name, instead = WRONG[call.fault.name]
        view[name] = call.option("value", instead)
    elif call.has_fault("wrong_order"):
        view["metadata"]["orderId"] = call.option("value", "some-other-order")


def _amount(value: Any, currency: str) -> Decimal | None:
    if value is None:
        return None
    try:
        amount = decimal(value)
    except ValueError as exc:
        raise invalid("amount", str(exc)) from None
    if not 0 <= amount <= MOST:
        raise invalid("amount", "The amount should be 0 or more")
    return rules.rounded(amount, currency)


def _checkout(value: Any) -> dict[str, Any]:
    """All options with the store's defaults. Raises Problem 422."""
    asked = value if isinstance(value, dict) else {}
    options: dict[str, Any] = {
        "speedPolicy": "MediumSpeed",
        "paymentMethods": None,
        "defaultPaymentMethod": None,
        "lazyPaymentMethods": False,
        "expirationMinutes": 15,
        "monitoringMinutes": 1440,
        "paymentTolerance": 0.0,
        "redirectURL": None,
        "redirectAutomatically": False,
        "defaultLanguage": None,
    }
    options.update({name: asked[name] for name in options if asked.get(name) is not None})
    if options["speedPolicy"] not in CONFIRMATIONS:
        raise invalid("checkout.speedPolicy", f"one of {', '.join(CONFIRMATIONS)}")
    if unknown := [method for method in options["paymentMethods"] or () if method not in NEW_METHODS]:
        raise invalid("checkout.paymentMethods", f"Invalid payment method {unknown[0]}")
    for name, least, most in (
        ("expirationMinutes", 0.5, 1e6),
        ("monitoringMinutes", 0, 1e6),
        ("paymentTolerance", 0, 100),
    ):
        if not isinstance(options[name], int | float) or not least <= options[name] <= most:
            raise invalid(f"checkout.{name}", f"a number from {least} to {most}")
    if urlsplit(str(options["redirectURL"])).scheme not in ("http", "https"):
        options["redirectURL"] = None
    return options


def _filtered(invoices: Sequence[Invoice], query: Mapping[str, Sequence[str]]) -> Sequence[Invoice]:
    orders = query.get("orderId", [])
    known = {status.lower(): status for status in STATUSES}
    statuses = [known[name.lower()] for name in query.get("status", []) if name.lower() in known]
    start, end = _whole(query, "startDate", 0), _whole(query, "endDate", 2**62)
    if start > end:
        raise invalid("startDate", "startDate should not be after endDate")
    text = query.get("textSearch", [""])[-1]
    archived = query.get("includeArchived", [""])[-1].lower() == "true"
    return [
        invoice
        for invoice in invoices
        if (not orders or invoice.metadata.get("orderId") in orders)
        and (not statuses or invoice.status in statuses)
        and start <= invoice.created
        and int(invoice.created) <= end
        and (archived or not invoice.archived)
        and (not text or text in (invoice.id, invoice.metadata.get("orderId"), *invoice.terms))
    ]


def _whole(query: Mapping[str, Sequence[str]], name: str, default: int) -> int:
    text = query.get(name, [""])[-1]
    if not text:
        return default
    if not text.isascii() or not text.isdigit():
        raise invalid(name, "a whole number from 0")
    return int(text)


def _true(call: Call, name: str, *, default: bool = False) -> bool:
    return call.query.get(name, str(default)).lower() == "true"


def _refunded(invoice: Invoice, asked: Mapping[str, Any]) -> tuple[Decimal, str]:
    """How much of which currency. Raises Problem 400 and 422."""
    variant = asked.get("refundVariant")
    if variant not in VARIANTS:
        raise invalid("refundVariant", f"one of {', '.join(VARIANTS)}")
    late = invoice.status == "Expired" and invoice.additional in ("PaidLate", "PaidOver", "PaidPartial")
    if invoice.status not in ("Settled", "Invalid") and not late:
        raise problem(400, "non-refundable", "Cannot refund this invoice")
    if variant == "Custom":
        try:
            return decimal(asked.get("customAmount")), str(asked["customCurrency"])
        except (ValueError, KeyError):
            raise invalid("customAmount", "customAmount and customCurrency are required") from None
    if variant == "OverpaidAmount":
        if invoice.additional != "PaidOver":
            raise invalid("refundVariant", "Invoice is not overpaid")
        return invoice.paid - (invoice.amount or Decimal(0)), invoice.currency
    if invoice.paid == 0:
        raise invalid("payoutMethods", "There is no payment to refund")
    if variant == "Fiat":
        return rules.rounded(invoice.paid, invoice.currency), invoice.currency
    return sum((p.value for p in invoice.payments if p.status != "Invalid"), Decimal(0)), "BTC"
