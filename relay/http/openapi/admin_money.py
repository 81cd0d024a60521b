"""Payments and what belongs to them, as the operator sees them."""

from __future__ import annotations

from relay.domain.orders import STATES
from relay.http.admin.connect import StoreBody
from relay.http.admin.packages import NEWEST, Terms
from relay.http.admin.payments import ReasonBody
from relay.http.openapi import admin_answers as answers
from relay.http.openapi.operation import Operation, Operations, choice, limit, number, offset, paging, text
from relay.services.codes import Change, NewCode

TAG = "Operator: money"
WHY = {"reason": "the buyer sent a receipt"}
BACK = "303 to the dashboard, with the outcome in the query."

PAYMENTS: Operations = {
    ("GET", "/admin/payments"): Operation(
        "Orders, newest first",
        TAG,
        answers.PaymentsAnswer,
        params=(
            limit(50, 500),
            offset(),
            choice("state", "Only orders in this state.", *STATES),
            text("q", "A part of the id of the order, the invoice or the account."),
        ),
        who="admin",
    ),
    ("GET", "/admin/payments/{order}"): Operation("One order", TAG, answers.PaymentAnswer, who="admin"),
    ("GET", "/admin/payments/inbox"): Operation(
        "What payment services delivered, newest first",
        TAG,
        answers.InboxAnswer,
        params=(*paging(50, 500), text("q", "A part of anything in a row.")),
        who="admin",
    ),
    ("POST", "/admin/payments/{order}/recheck"): Operation(
        "Ask the payment service now",
        TAG,
        answers.PaymentAnswer,
        who="admin",
        errors=(409, 502),
    ),
    ("POST", "/admin/payments/{order}/credit"): Operation(
        "Give what was ordered, because a person knows it was paid",
        TAG,
        answers.PaymentAnswer,
        who="admin",
        body=ReasonBody,
        once=True,
        sends=WHY,
    ),
    ("POST", "/admin/payments/{order}/reverse"): Operation(
        "Take back what was given", TAG, answers.PaymentAnswer, who="admin", body=ReasonBody, once=True, sends=WHY
    ),
    ("POST", "/admin/payments/{order}/dismiss"): Operation(
        "Nothing more is to be done", TAG, answers.PaymentAnswer, who="admin", body=ReasonBody, once=True, sends=WHY
    ),
    ("POST", "/admin/reconcile"): Operation("Ask about every open order", TAG, answers.ReconcileAnswer, who="admin"),
    ("POST", "/admin/{rail}/rescan"): Operation(
        "Look through a payment service's recent payments", TAG, answers.ReconcileAnswer, who="admin", errors=(502,)
    ),
}
RAILS: Operations = {
    ("GET", "/admin/{rail}/connect"): Operation("What is connected", TAG, answers.ConnectionAnswer, who="admin"),
    ("POST", "/admin/{rail}/connect"): Operation(
        "Begin to connect a payment service", TAG, answers.RedirectAnswer, who="admin", errors=(409, 422, 502)
    ),
    ("POST", "/admin/{rail}/choose"): Operation(
        "Choose a store",
        TAG,
        answers.StepAnswer,
        who="admin",
        body=StoreBody,
        errors=(409, 502),
        sends={"store": "8Vn3"},
    ),
    ("POST", "/admin/{rail}/disconnect"): Operation(
        "Forget a payment service's key", TAG, answers.DisconnectedAnswer, who="admin", errors=(409, 502)
    ),
    ("POST", "/admin/{rail}/callback"): Operation(
        "Where a payment service sends the operator back to",
        TAG,
        status=303,
        text=f"{BACK} The single-use `state` is the credential.",
        who="admin",
        other_body={"application/x-www-form-urlencoded": {"schema": {"type": "object"}}},
        params=(text("state", "From the address that was given to the service."),),
        headers={"Location": "The dashboard."},
        errors=(403, 413),
    ),
    ("GET", "/admin/{rail}/callback"): Operation(
        "The same, from servers that put the form into the query",
        TAG,
        status=303,
        text=BACK,
        who="admin",
        params=(text("state", "From the address that was given to the service."), text("apiKey", "The new key.")),
        headers={"Location": "The dashboard."},
        errors=(403,),
    ),
}
CODES: Operations = {
    ("GET", "/admin/codes"): Operation(
        "Discount codes, newest first", TAG, answers.CodesAnswer, params=(limit(100, 1000), offset()), who="admin"
    ),
    ("POST", "/admin/codes"): Operation(
        "Make a discount code",
        TAG,
        answers.CodeAnswer,
        201,
        text="`value`: basis points for `percent`, smallest units of `currency` for `fixed` and `set_price`.",
        who="admin",
        body=NewCode,
        errors=(409,),
        sends={"code": "SPRING", "kind": "percent", "value": 2000},
    ),
    ("PATCH", "/admin/codes/{code}"): Operation(
        "Change a discount code", TAG, answers.CodeAnswer, who="admin", body=Change, sends={"active": False}
    ),
    ("DELETE", "/admin/codes/{code}"): Operation(
        "Delete a discount code",
        TAG,
        answers.CodeDeleted,
        text="409 once an order uses it: disable it instead.",
        who="admin",
        errors=(409,),
    ),
    ("GET", "/admin/packages"): Operation("Credit packs on sale", TAG, answers.PackagesAnswer, who="admin"),
    ("POST", "/admin/packages"): Operation(
        "Put a credit pack on sale",
        TAG,
        answers.PackagesAnswer,
        201,
        who="admin",
        body=Terms,
        errors=(409,),
        sends={"id": "large", "credits": 100, "price": "20.00"},
        gives={
            "ok": True,
            "packages": [{"id": "large", "credits": 100, "price": "20.00", "currency": "USD"}],
            "version": 4,
        },
    ),
    ("PUT", "/admin/packages/{package}"): Operation(
        "Change a credit pack",
        TAG,
        answers.PackagesAnswer,
        who="admin",
        body=Terms,
        errors=(409,),
        sends={"credits": 120, "price": "20.00"},
    ),
    ("DELETE", "/admin/packages/{package}"): Operation(
        "Take a credit pack off sale",
        TAG,
        answers.PackagesAnswer,
        who="admin",
        params=(number("version", "Of the settings, as they were looked at.", 0, NEWEST),),
        errors=(409, 422),
    ),
    ("GET", "/admin/callbacks"): Operation(
        "Messages to other servers that wait, or were given up",
        TAG,
        answers.CallbacksAnswer,
        params=(limit(100, 200), offset()),
        who="admin",
    ),
    ("POST", "/admin/callbacks/{delivery}/retry"): Operation(
        "Send a message now", TAG, answers.EndedAnswer, who="admin"
    ),
    ("DELETE", "/admin/callbacks/{delivery}"): Operation("Forget a message", TAG, answers.EndedAnswer, who="admin"),
}
OPERATIONS: Operations = {**PAYMENTS, **RAILS, **CODES}
