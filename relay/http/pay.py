"""`GET /pay/<token>`: where a buyer comes back to. It shows the state of the payment and nothing of the account."""

from __future__ import annotations

import contextlib
from html import escape

import falcon

from relay.books import orders
from relay.domain.orders import Order
from relay.errors import NotFound, RelayError
from relay.services.core import Core

WAIT_SECONDS = 1.5
WORDS = {
    "pending": ("Waiting for your payment", "This page looks again by itself."),
    "processing": ("Your payment has arrived", "It is being confirmed. This page looks again by itself."),
    "settled": ("Paid. Thank you!", "What you bought is ready."),
    "expired": ("This invoice has expired", "Nothing was charged. Start again in your app."),
    "invalid": ("This invoice is not valid", "If you have paid, ask the operator of this service."),
    "review": ("Your payment is being looked at", "A person is checking it. Nothing is lost."),
}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{text}</p>
{links}
</main>
</body>
</html>
"""


class Pay:
    def __init__(self, core: Core) -> None:
        self._core = core

    def on_get(self, _req: falcon.Request, resp: falcon.Response, token: str) -> None:
        order_id = self._core.storage.read(lambda tx: orders.by_token(tx, token))
        if order_id is None:
            raise NotFound("there is no such payment")
        order = self._core.storage.read(lambda tx: orders.get(tx, order_id))
        if order is not None and order.fulfilled_at is None and order.rail:
            with contextlib.suppress(RelayError):  # the page shows what is known; the sweep looks again
                self._core.till.checks.wait(order_id, WAIT_SECONDS, signed=False)
            order = self._core.storage.read(lambda tx: orders.get(tx, order_id))
        if order is None:
            raise NotFound("there is no such payment")
        resp.content_type = "text/html; charset=utf-8"
        resp.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
        resp.set_header("Referrer-Policy", "no-referrer")
        resp.set_header("Cache-Control", "no-store")
        if order.state in {"pending", "processing"}:
            resp.set_header("Refresh", "10")
        resp.text = page(order)


def page(order: Order) -> str:
    title, text = WORDS[order.state]
    links = []
    if order.state == "pending" and order.checkout_url:
        links.append(_link(order.checkout_url, "Pay now"))
    if order.redirect_url:
        links.append(_link(order.redirect_url, "Back to the app"))
    return PAGE.format(title=escape(title), text=escape(text), links="\n".join(links))


def _link(url: str, text: str) -> str:
    return f'<p><a rel="noreferrer" href="{escape(url)}">{escape(text)}</a></p>'
