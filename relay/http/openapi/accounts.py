"""Credits, keys, users, and buying."""

from __future__ import annotations

from relay.http.openapi import account_answers as answers
from relay.http.openapi.operation import Operation, Operations, number, paging
from relay.http.relay.checkout import PackageBody
from relay.http.relay.checkout import TierBody as TierPurchase
from relay.http.relay.discounts import PreviewBody
from relay.http.relay.keys import LabelBody, RotateBody
from relay.http.relay.users import CreditsBody, ExtendBody, TierBody

INVOICE = {
    "id": "ord_00112233445566778899aabbccddeeff",
    "rail": "btcpay",
    "kind": "package",
    "product": "small",
    "status": "pending",
    "fulfilled": False,
    "amount": "5.00",
    "currency": "USD",
    "checkout_url": "https://btcpay.example/i/8Vn3",
    "created_at": "2026-01-31T12:00:00Z",
    "expires_at": "2026-01-31T12:30:00Z",
    "fulfilled_at": None,
}
CREDITS = {
    "remaining": 9,
    "purchased": 20,
    "total": 29,
    "gemini_remaining": 5,
    "held": 0,
    "capped": "lifetime",
    "tier": "core",
}
SOLD = (403, 404, 409, 502)
WEBHOOK = "A hint: it is checked, noted, and the payment is looked up at the service. Sizes up to 256 KiB."

ACCOUNTS: Operations = {
    ("GET", "/relay/credits"): Operation(
        "Own credits",
        "Credits",
        answers.CreditsAnswer,
        gives={"ok": True, "credits": CREDITS | {"subscription_expires_at": None}},
    ),
    ("GET", "/relay/credits/history"): Operation(
        "Own ledger entries, newest first",
        "Credits",
        answers.HistoryAnswer,
        params=(paging(50, 500)[0], number("before", "The `next` of an earlier page.", 1, 10**15)),
    ),
    ("POST", "/relay/keys"): Operation(
        "Make a key for an app",
        "Keys",
        answers.KeyMade,
        201,
        text="Shown once. A key made with a key is refused.",
        body=LabelBody,
        once=True,
        errors=(403, 404, 409),
        sends={"label": "my phone"},
        gives={"ok": True, "id": "k_0a1b2c", "key": "rk_…", "label": "my phone"},
    ),
    ("GET", "/relay/keys"): Operation("Own keys", "Keys", answers.KeysAnswer, errors=(403, 404)),
    ("DELETE", "/relay/keys/{key_id}"): Operation("End a key", "Keys", answers.Deleted, errors=(403,)),
    ("POST", "/relay/keys/{key_id}/rotate"): Operation(
        "A new value for a key, under the same id",
        "Keys",
        answers.KeyRotated,
        body=RotateBody,
        once=True,
        errors=(403, 409),
        sends={"grace_hours": 24},
    ),
    ("GET", "/relay/users/{user}"): Operation("A user of this operator", "Users", answers.UserAnswer, who="operator"),
    ("PUT", "/relay/users/{user}/tier"): Operation(
        "Put a user into a tier",
        "Users",
        answers.UserAnswer,
        text="Without `period_days` it has no end. The present tier is not refilled.",
        who="operator",
        body=TierBody,
        once=True,
        errors=(409,),
        sends={"tier": "pro", "period_days": 30},
    ),
    ("POST", "/relay/users/{user}/tier/extend"): Operation(
        "One more period of a tier",
        "Users",
        answers.UserAnswer,
        who="operator",
        body=ExtendBody,
        once=True,
        errors=(409,),
        sends={"tier": "pro", "period_days": 30},
    ),
    ("POST", "/relay/users/{user}/credits"): Operation(
        "Give a user credits",
        "Users",
        answers.UserAnswer,
        who="operator",
        body=CreditsBody,
        once=True,
        errors=(409,),
        sends={"amount": 20, "reason": "welcome"},
    ),
}
MONEY: Operations = {
    ("GET", "/relay/credits/packages"): Operation("Credit packs on sale", "Buying", answers.PackagesAnswer),
    ("POST", "/relay/credits/checkout"): Operation(
        "Buy a credit pack",
        "Buying",
        answers.NewInvoiceAnswer,
        201,
        text="`rail` may be left out when only one sells. After 502 `outcome_unknown` look at the invoice it names.",
        body=PackageBody,
        once=True,
        errors=SOLD,
        sends={"package": "small", "rail": "btcpay"},
        gives={"ok": True, "invoice": INVOICE | {"pay_url": "https://relay.example/pay/mT3x"}},
    ),
    ("POST", "/relay/tier/checkout"): Operation(
        "Buy a period of a tier",
        "Buying",
        answers.NewInvoiceAnswer,
        201,
        text="For users (`user:` accounts) only. With `email` the card may be kept for renewals.",
        body=TierPurchase,
        once=True,
        errors=SOLD,
        sends={"tier": "pro", "rail": "zaprite"},
    ),
    ("GET", "/relay/invoices"): Operation(
        "Own invoices, newest first", "Buying", answers.InvoicesAnswer, params=paging(50, 200)
    ),
    ("GET", "/relay/invoices/{invoice}"): Operation(
        "One of one's own invoices", "Buying", answers.InvoiceAnswer, gives={"ok": True, "invoice": INVOICE}
    ),
    ("GET", "/relay/subscription"): Operation("Own subscription", "Buying", answers.SubscriptionAnswer, errors=(404,)),
    ("POST", "/relay/subscription/cancel"): Operation(
        "Do not renew",
        "Buying",
        answers.SubscriptionAnswer,
        text="The tier stays to its end.",
        errors=(404, 409),
    ),
    ("DELETE", "/relay/subscription/card"): Operation(
        "Forget the card", "Buying", answers.SubscriptionAnswer, text="The next period is paid by link.", errors=(404,)
    ),
    ("POST", "/relay/discounts/preview"): Operation(
        "What something costs with a code",
        "Buying",
        answers.DiscountAnswer,
        text="Name a package or a tier, one of them. Few tries a minute.",
        body=PreviewBody,
        once=True,
        errors=(404, 409),
        sends={"code": "SPRING", "package": "small"},
        gives={"ok": True, "discount": {"amount": "4.00", "currency": "USD", "list_amount": "5.00"}},
    ),
    ("POST", "/relay/{rail}/webhook"): Operation(
        "What a payment service tells us",
        "Payment services",
        answers.WebhookAnswer,
        text=WEBHOOK,
        who="anybody",
        other_body={"*/*": {}},
        errors=(401, 404, 413),
        gives={"ok": True, "invoiceId": "8Vn3", "ignored": "not_settled"},
    ),
    ("POST", "/relay/{rail}/webhook/{token}"): Operation(
        "The same, for a service that cannot sign",
        "Payment services",
        answers.WebhookAnswer,
        text=WEBHOOK,
        who="anybody",
        other_body={"*/*": {}},
        errors=(401, 404, 413),
    ),
    ("GET", "/pay/{token}"): Operation(
        "Where a buyer comes back to",
        "Buying",
        text="The state of one payment, and nothing of the account. The token is the only credential.",
        who="anybody",
        media={"text/html; charset=utf-8": "A page."},
    ),
    ("GET", "/metrics"): Operation(
        "Figures for Prometheus",
        "Operator",
        who="admin",
        text="Needs no credentials for a request from this machine that no proxy forwarded.",
        media={"text/plain; version=0.0.4; charset=utf-8": "Prometheus's text format."},
    ),
}
