"""A whole relay and the sandbox's BTCPay: connected by the wizard, bought, paid, told by webhook, refunded."""

from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from relay.testing.sandbox.btcpay import KEY
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import eventually, install, running
from tests.flows.test_money import SHOP, bought, invoice
from tests.plugins.btcpay.test_connect import submitted


@pytest.fixture
def live(tmp_path, box):
    plugin = f'\n[plugins.btcpay]\nurl = "{box.url}/btcpay"\n'
    with running(tmp_path, [FakeBackend()], settings=SHOP, plugins=plugin) as live:
        # What BTCPay and the browser are told is the address of this test's server.
        live.core.till.connecting._base = f"http://127.0.0.1:{live.port}"
        yield live
        live.assert_balanced()


@pytest.fixture
def connected(live):
    begun = live.call("POST", "/admin/btcpay/connect", headers=live.login())
    assert begun.status == 200, begun.body
    page = begun.json["redirect"]
    back = urlsplit(dict(parse_qsl(urlsplit(page).query))["redirect"])
    form = urlencode(submitted(page), doseq=True).encode()
    path = f"{back.path}?{back.query}"
    said = live.call("POST", path, form, {"Content-Type": "application/x-www-form-urlencoded"})
    assert (said.status, said.headers["location"]) == (303, "/dashboard?btcpay=connected#payments")
    return live


def test_a_payment_is_told_and_credited_once(connected, btcpay):
    sold = bought(connected)
    (made,) = btcpay.invoices.values()
    assert made.metadata["orderId"] == sold["id"]
    btcpay.disturb("duplicate", times=10)
    btcpay.pay(made.id)
    btcpay.wait()
    assert invoice(connected, sold["id"])["fulfilled"]
    assert connected.get("/relay/credits", install("i")).json["credits"]["purchased"] == 20
    assert {tried["httpCode"] for tried in btcpay.deliveries()} == {200}


def test_a_refund_at_btcpay_takes_the_credits_back(connected, btcpay):
    sold = bought(connected)
    (made,) = btcpay.invoices.values()
    btcpay.pay(made.id)
    btcpay.wait()
    assert connected.get("/relay/credits", install("i")).json["credits"]["purchased"] == 20
    btcpay.refund(made.id)
    btcpay.wait()
    eventually(lambda: invoice(connected, sold["id"])["status"] == "review")
    assert connected.get("/relay/credits", install("i")).json["credits"]["purchased"] == 0


def test_a_forged_webhook_is_refused_and_books_nothing(connected, btcpay):
    sold = bought(connected)
    (made,) = btcpay.invoices.values()
    assert [tried["status"] for tried in btcpay.forge(made.id, signed="wrong")] == [401]
    assert [tried["status"] for tried in btcpay.forge(made.id, signed="right")] == [200], "signed, and still a hint"
    assert not invoice(connected, sold["id"])["fulfilled"]


def test_disconnected_it_sells_nothing(connected, btcpay):
    said = connected.call("POST", "/admin/btcpay/disconnect", headers=connected.login())
    assert said.json["done"] == "BTCPay store Sandbox shop is disconnected."
    assert set(btcpay.keys) == {KEY}
    assert connected.get("/relay/credits/packages", install("i")).json["packages"][0]["rails"] == []
