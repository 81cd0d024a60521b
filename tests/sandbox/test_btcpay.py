"""BTCPay as the sandbox plays it: invoices, permissions, and the pages for people."""

from __future__ import annotations

import html
import re
import time
from decimal import Decimal
from urllib.parse import urlencode

import pytest
import urllib3

from relay.testing.sandbox.btcpay import KEY, STORE
from tests.loopback import Server, reply
from tests.sandbox import btcpay_openapi

API = "/btcpay/api/v1"
INVOICES = f"{API}/stores/{STORE}/invoices"
CHAIN = "BTC-CHAIN"


class Shop:
    """The API with a key."""

    def __init__(self, client, box) -> None:
        self.client, self.box, self.play, self.key = client, box, box["btcpay"], KEY

    def __call__(self, method, path, body=None, **more):
        return self.client(method, path, json=body, headers={"Authorization": f"token {self.key}"}, **more)

    def sell(self, amount: object = "10", currency="USD", order="ord_1", **checkout):
        body = {"currency": currency, "metadata": {"orderId": order}, "checkout": checkout}
        reply = self("POST", INVOICES, {**body, **({} if amount is None else {"amount": amount})})
        assert reply.status == 200, reply.data
        return reply.json()

    def status(self, invoice) -> tuple[str, str]:
        seen = self("GET", f"{INVOICES}/{invoice['id']}").json()
        return seen["status"], seen["additionalStatus"]

    def list(self, **query):
        reply = self("GET", f"{INVOICES}?{urlencode(query, doseq=True)}")
        assert reply.status == 200, reply.data
        return [invoice["metadata"]["orderId"] for invoice in reply.json()]


@pytest.fixture
def shop(client, box):
    return Shop(client, box)


class TestSelling:
    def test_an_invoice_says_what_was_asked_with_the_defaults_of_the_store(self, shop):
        sold = shop.sell("5000", "sats", redirectURL="https://relay.example/orders/1")
        assert (sold["amount"], sold["currency"], sold["paidAmount"], sold["type"]) == ("5000", "SATS", "0", "Standard")
        assert (sold["status"], sold["additionalStatus"]) == ("New", "None")
        assert sold["expirationTime"] - sold["createdTime"] == 15 * 60
        assert sold["monitoringExpiration"] - sold["expirationTime"] == 1440 * 60
        assert sold["checkout"]["paymentTolerance"] == 0
        assert sold["checkout"]["redirectURL"] == "https://relay.example/orders/1"
        assert sold["checkoutLink"] == f"{shop.box.url}/btcpay/i/{sold['id']}"

    @pytest.mark.parametrize(
        ("currency", "asked", "said"), [("USD", 10, "10.00"), ("JPY", "10.4", "10"), ("BTC", "1", "1.00000000")]
    )
    def test_an_amount_has_the_digits_of_its_currency(self, shop, currency, asked, said):
        assert shop.sell(asked, currency)["amount"] == said

    def test_one_order_can_have_two_invoices(self, shop):
        assert shop.sell(order="same")["id"] != shop.sell(order="same")["id"]
        assert shop.list(orderId="same") == ["same", "same"]

    def test_nothing_to_pay_is_settled_at_once_and_has_no_methods(self, shop):
        sold = shop.sell("0")
        assert (sold["status"], sold["checkout"]["paymentMethods"]) == ("Settled", [])

    def test_without_an_amount_any_payment_settles(self, shop):
        sold = shop.sell(None)
        assert (sold["type"], sold["amount"]) == ("TopUp", "0.00")
        shop.play.pay(sold["id"], "3.21")
        seen = shop("GET", f"{INVOICES}/{sold['id']}").json()
        assert (seen["status"], seen["amount"], seen["type"]) == ("Settled", "3.21", "TopUp")

    def test_too_little_for_the_chain_leaves_lightning(self, shop):
        assert shop.sell("100", "SATS")["checkout"]["paymentMethods"] == ["BTC-LN", "BTC-LNURL"]
        body = {"amount": "100", "currency": "SATS", "checkout": {"paymentMethods": [CHAIN]}}
        assert shop("POST", INVOICES, body).status == 400

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({"amount": "-1"}, "amount"),
            ({"amount": str(2**64)}, "amount"),
            ({"amount": "ten"}, "amount"),
            ({"amount": "1", "checkout": {"paymentMethods": ["DOGE"]}}, "checkout.paymentMethods"),
            ({"amount": "1", "checkout": {"speedPolicy": "Fast"}}, "checkout.speedPolicy"),
            ({"amount": "1", "checkout": {"expirationMinutes": 0.1}}, "checkout.expirationMinutes"),
            ({"amount": "1", "checkout": {"paymentTolerance": 101}}, "checkout.paymentTolerance"),
        ],
    )
    def test_what_is_not_valid_is_a_list_with_422(self, shop, body, path):
        refused = shop("POST", INVOICES, body)
        assert (refused.status, refused.json()[0]["path"]) == (422, path)

    def test_an_unknown_currency_and_a_node_behind_are_400(self, shop):
        assert shop("POST", INVOICES, {"amount": "1", "currency": "XYZ"}).json()["code"] == "generic-error"
        shop.play.configure({"synced": False})
        reply = shop("POST", INVOICES, {"amount": "1"})
        assert reply.status == 400
        assert "not synced" in reply.json()["message"]
        assert shop("GET", f"{API}/health").json() == {"synchronized": False}
        assert shop("GET", f"{API}/server/info").json()["fullySynched"] is False

    def test_a_return_address_that_is_none_is_dropped(self, shop):
        assert shop.sell(redirectURL="/orders/1")["checkout"]["redirectURL"] is None


class TestStatus:
    """Each way an invoice can go."""

    def test_lightning_settles_at_once(self, shop):
        sold = shop.sell()
        shop.play.pay(sold["id"])
        seen = shop("GET", f"{INVOICES}/{sold['id']}").json()
        assert (seen["status"], seen["additionalStatus"], seen["paidAmount"]) == ("Settled", "None", "10.00")
        assert seen["availableStatusesForManualMarking"] == []

    @pytest.mark.parametrize(("policy", "blocks"), [("MediumSpeed", 1), ("LowMediumSpeed", 2), ("LowSpeed", 6)])
    def test_the_chain_settles_after_its_confirmations(self, shop, policy, blocks):
        sold = shop.sell(speedPolicy=policy)
        shop.play.pay(sold["id"], method=CHAIN)
        for _ in range(blocks):
            assert shop.status(sold) == ("Processing", "None")
            shop.play.confirm(sold["id"])
        assert shop.status(sold) == ("Settled", "None")

    def test_high_speed_settles_on_nothing_but_waits_for_a_replaceable_transaction(self, shop):
        quick, replaceable = shop.sell(speedPolicy="HighSpeed"), shop.sell(speedPolicy="HighSpeed")
        shop.play.pay(quick["id"], method=CHAIN)
        shop.play.pay(replaceable["id"], method=CHAIN, rbf=True)
        assert shop.status(quick) == ("Settled", "None")
        assert shop.status(replaceable) == ("Processing", "None")

    def test_a_part_waits_and_the_rest_settles(self, shop):
        sold = shop.sell()
        shop.play.pay(sold["id"], "4")
        assert shop.status(sold) == ("New", "PaidPartial")
        assert shop.play.pay(sold["id"])["paidAmount"] == "10.00"
        assert shop.status(sold) == ("Settled", "None")

    def test_more_than_is_due_is_said(self, shop):
        chain, ln = shop.sell(), shop.sell()
        shop.play.pay(chain["id"], "12", method=CHAIN)
        shop.play.pay(ln["id"], "12")
        assert shop.status(chain) == ("Processing", "PaidOver")
        assert shop.status(ln) == ("Settled", "PaidOver")

    def test_a_dust_more_is_no_overpayment(self, shop):
        sold = shop.sell()
        shop.play.pay(sold["id"], "10.01")
        assert shop.status(sold) == ("Settled", "None")

    def test_the_tolerance_sells_for_less(self, shop):
        half = shop.sell(paymentTolerance=50)
        assert shop.play.pay(half["id"], "5")["status"] == "Settled"
        assert shop.play.pay(shop.sell()["id"], "5")["status"] == "New"

    def test_unpaid_expires(self, shop):
        sold = shop.sell()
        shop.play.forward(15 * 60 - 60)
        assert shop.status(sold) == ("New", "None")
        shop.play.forward(61)
        assert shop.status(sold) == ("Expired", "None")

    def test_partly_paid_expires_as_such(self, shop):
        sold = shop.sell()
        shop.play.pay(sold["id"], "4")
        shop.play.expire(sold["id"])
        assert shop.status(sold) == ("Expired", "PaidPartial")

    def test_paid_after_the_end_stays_expired_until_a_person_marks_it(self, shop):
        sold = shop.sell()
        shop.play.expire(sold["id"])
        shop.play.pay(sold["id"], "4")
        assert shop.status(sold) == ("Expired", "PaidPartial")
        shop.play.pay(sold["id"], "6", confirmations=1)
        assert shop.status(sold) == ("Expired", "PaidLate")
        shop.play.confirm(sold["id"], 6)
        shop.play.forward(2 * 86_400)
        assert shop.status(sold) == ("Expired", "PaidLate")
        assert shop.play.mark(sold["id"])["additionalStatus"] == "Marked"

    def test_lightning_refuses_after_the_end(self, shop):
        sold = shop.sell()
        shop.play.expire(sold["id"])
        with pytest.raises(ValueError, match="lightning node refuses"):
            shop.play.pay(sold["id"], method="BTC-LN")

    def test_nothing_is_seen_after_the_monitoring(self, shop):
        sold = shop.sell(monitoringMinutes=60)
        shop.play.forward(15 * 60 + 3600)
        shop.play.pay(sold["id"])
        seen = shop("GET", f"{INVOICES}/{sold['id']}").json()
        assert (seen["status"], seen["additionalStatus"], seen["paidAmount"]) == ("Expired", "None", "0.00")

    def test_a_payment_that_never_confirms_ends_invalid(self, shop):
        sold = shop.sell()
        shop.play.pay(sold["id"], method=CHAIN)
        shop.play.forward(3600)
        assert shop.status(sold) == ("Processing", "None")
        shop.play.forward(86_400)
        assert shop.status(sold) == ("Invalid", "None")

    def test_a_double_spend_goes_back_to_new_and_can_be_paid_again(self, shop):
        sold = shop.sell()
        shop.play.pay(sold["id"], method=CHAIN)
        shop.play.double_spend(sold["id"])
        assert shop.status(sold) == ("New", "None")
        shop.play.pay(sold["id"])
        assert shop.status(sold) == ("Settled", "None")

    def test_a_double_spend_of_a_part_leaves_the_rest(self, shop):
        sold = shop.sell()
        shop.play.pay(sold["id"], "4")
        shop.play.pay(sold["id"], "6", method=CHAIN)
        shop.play.double_spend(sold["id"])
        assert shop.status(sold) == ("New", "PaidPartial")
        with pytest.raises(ValueError, match="no unconfirmed payment"):
            shop.play.double_spend(sold["id"])

    def test_a_double_spend_after_the_end_expires(self, shop):
        sold = shop.sell()
        shop.play.pay(sold["id"], method=CHAIN)
        shop.play.forward(16 * 60)
        shop.play.double_spend(sold["id"])
        assert shop.status(sold) == ("Expired", "None")

    def test_money_after_it_settled_settles_nothing_again(self, shop):
        sold = shop.sell()
        shop.play.pay(sold["id"])
        shop.play.pay(sold["id"])
        seen = shop("GET", f"{INVOICES}/{sold['id']}").json()
        assert (seen["status"], seen["additionalStatus"], seen["paidAmount"]) == ("Settled", "None", "20.00")

    def test_an_invoice_expires_also_when_nobody_looks(self, shop):
        sold = shop.sell(expirationMinutes=0.5)
        shop.play.clock.forward(30)
        invoice, end = shop.play.find(sold["id"]), time.monotonic() + 10
        while invoice.status == "New" and time.monotonic() < end:
            time.sleep(0.01)
        assert invoice.status == "Expired"


class TestMarking:
    def mark(self, shop, invoice, status):
        return shop("POST", f"{INVOICES}/{invoice['id']}/status", {"status": status})

    def reach(self, shop, status):
        sold = shop.sell()
        if status == "Processing":
            shop.play.pay(sold["id"], method=CHAIN)
        elif status == "Expired":
            shop.play.expire(sold["id"])
        elif status in ("Invalid", "Settled"):
            shop.play.mark(sold["id"], status)
        return sold

    @pytest.mark.parametrize("status", ["New", "Processing", "Expired", "Invalid"])
    def test_anything_unpaid_can_be_marked_settled(self, shop, status):
        sold = self.reach(shop, status)
        assert self.mark(shop, sold, "Settled").status == 200
        assert shop.status(sold) == ("Settled", "Marked")

    @pytest.mark.parametrize("status", ["New", "Processing", "Expired", "Settled"])
    def test_these_can_be_marked_invalid_even_settled_by_hand(self, shop, status):
        sold = self.reach(shop, status)
        assert self.mark(shop, sold, "Invalid").status == 200
        assert shop.status(sold) == ("Invalid", "Marked")

    def test_what_was_paid_for_is_not_marked_and_nothing_twice(self, shop):
        paid = shop.sell()
        shop.play.pay(paid["id"])
        for status in ("Invalid", "Settled", "New"):
            assert self.mark(shop, paid, status).json()[0]["path"] == "status"
        assert self.mark(shop, self.reach(shop, "Invalid"), "Invalid").status == 422
        assert self.mark(shop, self.reach(shop, "New"), "Expired").status == 422

    def test_marked_hides_that_it_was_overpaid(self, shop):
        sold = shop.sell()
        shop.play.pay(sold["id"], "20", method=CHAIN)
        shop.play.mark(sold["id"])
        assert shop.status(sold) == ("Settled", "Marked")


class TestReading:
    def test_a_list_is_filtered_paged_and_newest_first(self, shop):
        for number in range(4):
            shop.sell(order=f"o{number}")
            shop.play.forward(100)
        assert shop.list() == ["o3", "o2", "o1", "o0"]
        assert shop.list(skip=1, take=2) == ["o2", "o1"]
        assert shop.list(orderId=["o1", "o3"]) == ["o3", "o1"]
        middle = shop.play.find(shop("GET", f"{INVOICES}?orderId=o2").json()[0]["id"]).created
        assert shop.list(startDate=int(middle)) == ["o3", "o2"]
        assert shop.list(endDate=int(middle) - 50) == ["o1", "o0"]
        assert shop("GET", f"{INVOICES}?startDate=20&endDate=10").status == 422
        assert shop.list(textSearch="o0") == ["o0"]

    def test_a_status_nobody_knows_filters_nothing(self, shop):
        paid, _ = shop.sell(order="paid"), shop.sell(order="open")
        shop.play.pay(paid["id"])
        assert shop.list(status="settled") == ["paid"]
        assert shop.list(status=["Settled", "Frozen"]) == ["paid"]
        assert shop.list(status="Frozen") == ["open", "paid"]

    def test_without_take_the_whole_store_comes(self, shop):
        shop.play.fill(3000)
        assert len(shop.list()) == 3000
        assert len(shop.list(take=50)) == 50

    def test_an_archived_invoice_is_left_out(self, shop):
        sold = shop.sell()
        assert shop("DELETE", f"{INVOICES}/{sold['id']}").status == 200
        assert shop.list() == []
        assert shop.list(includeArchived="true") == ["ord_1"]

    def test_an_invoice_is_found_with_and_without_its_store(self, shop):
        sold = shop.sell()
        assert shop("GET", f"{API}/invoices/{sold['id']}").json()["id"] == sold["id"]
        shop.play.configure({"version": "2.3.7"})
        assert shop("GET", f"{API}/invoices/{sold['id']}").status == 404
        assert shop("GET", f"{INVOICES}/{sold['id']}").status == 200

    def test_an_invoice_of_another_store_is_not_there(self, shop):
        other = shop.play.add_store()["id"]
        sold = shop.sell()
        reply = shop("GET", f"{API}/stores/{other}/invoices/{sold['id']}")
        assert (reply.status, reply.json()["code"]) == (404, "invoice-not-found")
        assert shop("GET", f"{API}/stores/{other}/invoices").json() == []

    def test_payment_methods_count_in_bitcoin(self, shop):
        sold = shop.sell("1000", "SATS")
        shop.play.pay(sold["id"], "300.123")
        shop.play.pay(sold["id"], "900", method=CHAIN)
        shop.play.double_spend(sold["id"])
        path = f"{INVOICES}/{sold['id']}/payment-methods"
        chain, ln, _ = shop("GET", path).json()
        assert (chain["amount"], chain["payments"]) == ("0.00001000", [])
        assert Decimal(ln["paymentMethodPaid"]) == Decimal("0.00000300123")
        assert Decimal(ln["due"]) == Decimal("0.00000699877")
        everything = shop("GET", f"{path}?onlyAccountedPayments=false").json()
        assert [payment["status"] for payment in everything[0]["payments"]] == ["Invalid"]

    def test_an_older_server_has_older_names(self, shop):
        shop.play.configure({"version": "1.11.7"})
        sold = shop.sell(paymentMethods=["BTC-LightningNetwork"])
        assert "paidAmount" not in sold
        (method,) = shop("GET", f"{INVOICES}/{sold['id']}/payment-methods").json()
        assert (method["paymentMethod"], method["cryptoCode"]) == ("BTC-LightningNetwork", "BTC")
        assert "paymentMethodId" not in method


class TestRefunds:
    def refund(self, shop, invoice, **body):
        return shop("POST", f"{INVOICES}/{invoice['id']}/refund", body)

    def test_a_refund_leaves_the_status(self, shop):
        sold = shop.sell()
        shop.play.pay(sold["id"])
        made = self.refund(shop, sold, refundVariant="Fiat").json()
        assert (made["amount"], made["currency"]) == ("10.00", "USD")
        assert made["viewLink"].endswith(made["id"])
        assert shop.status(sold) == ("Settled", "None")

    def test_what_is_over_can_be_refunded_alone(self, shop):
        sold = shop.sell()
        shop.play.pay(sold["id"], "12.50")
        assert self.refund(shop, sold, refundVariant="OverpaidAmount").json()["amount"] == "2.50"

    def test_what_cannot_be_refunded_is_refused(self, shop):
        sold = shop.sell()
        assert self.refund(shop, sold, refundVariant="Fiat").json()["code"] == "non-refundable"
        assert self.refund(shop, sold).status == 422
        shop.play.mark(sold["id"])
        assert self.refund(shop, sold, refundVariant="Fiat").status == 422  # nothing was paid
        assert self.refund(shop, sold, refundVariant="OverpaidAmount").status == 422
        assert self.refund(shop, sold, refundVariant="Custom", customAmount="1").status == 422
        assert self.refund(shop, sold, refundVariant="Custom", customAmount="1", customCurrency="USD").status == 200


class TestKeys:
    def test_without_a_key_there_is_nothing_but_health(self, client, shop):
        shop.key = "wrong"
        for path in (f"{API}/stores", INVOICES, f"{API}/server/info", f"{API}/api-keys/current"):
            reply = shop("GET", path)
            assert (reply.status, reply.json()["code"]) == (401, "unauthenticated")
            assert client.get(path).status == 401
        assert client.get(f"{API}/health").status == 200

    def test_a_missing_permission_is_named(self, shop):
        shop.key = shop.play.add_key(["btcpay.store.canviewinvoices"])["key"]
        reply = shop("POST", INVOICES, {"amount": "1"})
        assert (reply.status, reply.json()["missingPermission"]) == (403, "btcpay.store.cancreateinvoice")
        assert shop("GET", INVOICES).status == 200

    @pytest.mark.parametrize("granted", ["btcpay.store.canmodifystoresettings", "unrestricted"])
    def test_a_permission_brings_those_it_implies(self, shop, granted):
        shop.key = shop.play.add_key([granted])["key"]
        assert shop("POST", INVOICES, {"amount": "1"}).status == 200
        assert shop("GET", f"{API}/stores/{STORE}/webhooks").status == 200
        assert shop("GET", f"{API}/api-keys/current").json()["permissions"] == [granted]

    def test_a_permission_for_one_store_is_for_that_store(self, shop):
        other = shop.play.add_store("Other")["id"]
        names = ("canviewstoresettings", "cancreateinvoice")
        shop.key = shop.play.add_key([f"btcpay.store.{name}:{other}" for name in names])["key"]
        assert [store["id"] for store in shop("GET", f"{API}/stores").json()] == [other]
        assert shop("POST", INVOICES, {"amount": "1"}).status == 403
        assert shop("POST", f"{API}/stores/{other}/invoices", {"amount": "1"}).status == 200

    def test_an_unknown_store_is_forbidden_and_was_not_found_once(self, shop):
        path = f"{API}/stores/nowhere/invoices"
        assert shop("GET", path).status == 403
        shop.play.configure({"version": "2.3.0"})
        assert (shop("GET", path).status, shop("GET", path).json()["code"]) == (404, "store-not-found")

    def test_old_servers_show_no_stores_instead_of_refusing(self, shop):
        shop.key = shop.play.add_key(["btcpay.store.cancreateinvoice"])["key"]
        assert shop("GET", f"{API}/stores").status == 403
        shop.play.configure({"version": "1.11.7"})
        assert shop("GET", f"{API}/stores").json() == []

    def test_a_key_can_revoke_itself(self, shop):
        assert shop("DELETE", f"{API}/api-keys/current").status == 200
        assert shop("GET", f"{API}/api-keys/current").status == 401


class TestAuthorize:
    def page(self, shop, **query):
        asked = {
            "permissions": ["btcpay.store.cancreateinvoice", "btcpay.store.canviewinvoices", "made.up"],
            "applicationName": "Relay <1>",
            "redirect": "http://127.0.0.1:8484/back?state=abc&x=1",
            **query,
        }
        return shop.client.get(f"/btcpay/api-keys/authorize?{urlencode(asked, doseq=True)}").data.decode()

    def posted(self, text) -> tuple[str, list[tuple[str, str]]]:
        action = html.unescape(re.search(r'action="([^"]*)"', text)[1])
        found = re.findall(r'name="([^"]*)" value="([^"]*)"', text)
        return action, [(name, html.unescape(value)) for name, value in found]

    def test_consent_posts_the_key_to_the_address_whole(self, shop):
        action, fields = self.posted(self.page(shop, auto=1))
        assert action == "http://127.0.0.1:8484/back?state=abc&x=1"
        granted = [value for name, value in fields if name == "permissions"]
        assert granted == ["btcpay.store.cancreateinvoice", "btcpay.store.canviewinvoices"]
        shop.key = dict(fields)["apiKey"]
        assert shop("GET", f"{API}/api-keys/current").json()["permissions"] == granted

    def test_a_person_sees_what_is_asked_and_chooses_stores(self, shop):
        other = shop.play.add_store("Other")["id"]
        text = self.page(shop, selectiveStores="true")
        assert "Relay &lt;1&gt;" in text
        action, fields = self.posted(text)
        assert fields == [("store", STORE), ("store", other)]
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = urllib3.request("POST", action, body=urlencode({"store": other}), headers=headers, retries=False)
        _, fields = self.posted(answer.data.decode())
        assert [value for name, value in fields if name == "permissions"] == [
            f"btcpay.store.cancreateinvoice:{other}",
            f"btcpay.store.canviewinvoices:{other}",
        ]


class TestPages:
    def test_the_checkout_page_pays_and_returns(self, shop):
        sold = shop.sell(redirectURL="https://relay.example/o/{OrderId}?i={InvoiceId}&s={Status}")
        page = shop.client.get(f"/btcpay/i/{sold['id']}")
        assert "10.00 USD" in page.data.decode()
        paid = shop.client.post(f"/btcpay/i/{sold['id']}", redirect=False)
        assert paid.status == 303
        assert paid.headers["location"] == f"https://relay.example/o/ord_1?i={sold['id']}&s=Settled"
        assert shop.status(sold)[0] == "Settled"
        assert shop.client.get("/btcpay/i/nothing").status == 404

    def test_an_address_tells_the_network(self, shop):
        shop.key = shop.play.add_key(["btcpay.store.canmodifystoresettings"])["key"]
        path = f"{API}/stores/{STORE}/payment-methods/BTC-CHAIN/wallet/address"
        assert shop("GET", path).json()["address"].startswith("bcrt1")
        shop.play.configure({"network": "mainnet"})
        assert shop("GET", path).json()["address"].startswith("bc1")

    def test_rates_that_are_not_there_say_so(self, shop):
        path = f"{API}/stores/{STORE}/rates?currencyPair=BTC_USD&currencyPair=BTC_XYZ"
        usd, xyz = shop("GET", path).json()
        assert (usd["rate"], usd["errors"]) == ("65000", [])
        assert xyz["errors"]


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "field", "value"),
        [
            ("wrong_amount", "amount", "1"),
            ("wrong_currency", "currency", "XMR"),
            ("wrong_store", "storeId", "SomeOtherStore"),
            ("wrong_id", "id", "SomeOtherInvoice"),
            ("unknown_status", "status", "Frozen"),
        ],
    )
    def test_an_answer_is_wrong_in_one_field_and_right_again(self, shop, fault, field, value):
        sold = shop.sell()
        shop.box.faults.add("btcpay", fault, route="invoice", times=1)
        wrong, right = (shop("GET", f"{INVOICES}/{sold['id']}").json() for _ in range(2))
        assert {name: wrong[name] for name in wrong if wrong[name] != right[name]} == {field: value}
        assert right == sold

    def test_the_order_may_be_wrong(self, shop):
        sold = shop.sell()
        shop.box.faults.add("btcpay", "wrong_order", route="invoices", times=1, value="mine")
        assert shop.list() == ["mine"]
        assert shop.list() == ["ord_1"]
        assert sold["metadata"] == {"orderId": "ord_1"}

    def test_a_read_after_the_event_may_be_too_early(self, shop):
        sold = shop.sell()
        shop.play.pay(sold["id"])
        shop.box.faults.add("btcpay", "stale", times=2)
        early = shop("GET", f"{INVOICES}/{sold['id']}").json()
        assert (early["status"], early["paidAmount"]) == ("New", "0.00")
        assert shop.status(sold) == ("New", "None")
        assert shop.status(sold) == ("Settled", "None")

    def test_an_invoice_is_made_and_the_answer_lost(self, shop):
        shop.box.faults.add("btcpay", "lost_answer", route="create", times=1)
        with pytest.raises(urllib3.exceptions.ProtocolError):
            shop.sell(order="lost")
        assert shop.list(orderId="lost") == ["lost"]

    def test_a_link_may_name_an_inner_host(self, shop):
        shop.box.faults.add("btcpay", "internal_host", route="create", times=1)
        sold = shop.sell()
        assert sold["checkoutLink"] == f"http://btcpay.embassy:23000/btcpay/i/{sold['id']}"

    def test_links_are_made_of_the_host_that_was_asked(self, shop):
        headers = {"authorization": f"bearer {KEY}", "host": "inner:1"}
        made = shop.client("POST", INVOICES, json={"amount": "1"}, headers=headers).json()
        assert made["checkoutLink"] == f"http://inner:1/btcpay/i/{made['id']}"

    @pytest.mark.parametrize(
        ("fault", "status", "code"),
        [
            ("not_synced", 400, "generic-error"),
            ("missing_permission", 403, "missing-permission"),
            ("revoked_key", 401, "unauthenticated"),
        ],
    )
    def test_it_refuses_for_a_while(self, shop, fault, status, code):
        shop.box.faults.add("btcpay", fault, route="create", times=1)
        reply = shop("POST", INVOICES, {"amount": "1"})
        assert (reply.status, reply.json()["code"]) == (status, code)
        assert shop("POST", INVOICES, {"amount": "1"}).status == 200
        assert len(shop.play.invoices) == 1

    def test_common_faults_answer_in_its_words(self, shop):
        shop.box.faults.add("btcpay", "status", times=1, status=403)
        assert shop("GET", f"{API}/stores").json()["code"] == "missing-permission"
        shop.box.faults.add("btcpay", "status", times=1, status=422)
        assert isinstance(shop("GET", f"{API}/stores").json(), list)


class TestControl:
    def test_actions_work_over_http_too(self, client, shop):
        sold = shop.sell()
        told = client.post("/_sandbox/btcpay/pay", {"invoice": sold["id"], "amount": "4", "method": CHAIN}).json()
        assert (told["status"], told["additionalStatus"]) == ("New", "PaidPartial")
        client.post("/_sandbox/btcpay/forward", {"seconds": 3600})
        assert shop.status(sold) == ("Expired", "PaidPartial")
        assert client.post("/_sandbox/btcpay/restart").json() == {"ok": True}
        state = client.get("/_sandbox/btcpay").json()
        assert state["invoices"][0]["status"] == "Expired"
        assert "action pay: A buyer pays" in client.get("/_sandbox").data.decode()

    @pytest.mark.parametrize(
        ("path", "body", "said"),
        [
            ("pay", {"invoice": "nothing"}, "no invoice 'nothing'"),
            ("pay", {"bill": "x"}, "unexpected keyword argument 'bill'"),
            ("pay", [], "send a JSON object"),
            ("forward", {"seconds": -1}, "only goes forward"),
            ("disturb", {"way": "burn"}, "drop, duplicate, reorder, delay"),
            ("create", {"currency": "XYZ"}, "rate unavailable"),
            ("fill", {"count": 0}, "count is a whole number"),
            ("revoke_key", {"key": "none"}, "no such key"),
        ],
    )
    def test_what_cannot_be_is_said(self, client, path, body, said):
        reply = client.post(f"/_sandbox/btcpay/{path}", body)
        assert reply.status == 400
        assert said in reply.json()["error"]

    def test_waiting_for_deliveries_that_do_not_end_is_a_504(self, client, shop):
        with Server(lambda _request: reply(500)) as receiver:
            shop("POST", f"{API}/stores/{STORE}/webhooks", {"url": receiver.url})
            shop.sell()
            waited = client.post("/_sandbox/btcpay/wait", {"seconds": 0.3})
        assert waited.status == 504
        assert "still wait" in waited.json()["error"]

    @pytest.mark.parametrize("changes", [{"version": "new"}, {"speed": 0}, {"network": "moon"}, {"colour": "red"}])
    def test_a_setting_that_cannot_be_is_refused(self, client, changes):
        assert client.put("/_sandbox/btcpay", changes).status == 400
        assert client.get("/_sandbox/btcpay").json()["version"] == "2.4.1"

    def test_a_reset_forgets_everything(self, client, shop):
        shop.sell()
        shop.play.configure({"version": "1.11.7"})
        shop.play.forward(1000)
        client.post("/_sandbox/reset")
        state = client.get("/_sandbox/btcpay").json()
        assert (state["invoices"], state["version"]) == ([], "2.4.1")
        assert abs(state["clock"] - time.time()) < 500


@btcpay_openapi.needed
class TestItsOwnDescription:
    def test_every_answer_is_what_btcpay_describes(self, shop):
        sold = shop.sell(redirectURL="https://relay.example/")
        btcpay_openapi.check(sold, "InvoiceData")
        shop.play.pay(sold["id"], "12", method=CHAIN, confirmations=3)
        btcpay_openapi.check(shop("GET", f"{INVOICES}/{sold['id']}").json(), "InvoiceData")
        for invoice in shop("GET", f"{INVOICES}?includePaymentMethods=true").json():
            method_views = invoice.pop("paymentMethods")
            btcpay_openapi.check(invoice, "InvoiceData")
            for view in method_views:
                btcpay_openapi.check(view, "InvoicePaymentMethodDataModel")
                for payment in view["payments"]:
                    btcpay_openapi.check(payment, "Payment")
        refund = shop("POST", f"{INVOICES}/{sold['id']}/refund", {"refundVariant": "OverpaidAmount"}).json()
        for unnamed in ("startsAt", "expiresAt"):
            refund.pop(unnamed)
        btcpay_openapi.check(refund, "PullPaymentData")
        btcpay_openapi.check(shop("GET", f"{API}/health").json(), "ApplicationHealthData")
        btcpay_openapi.check(shop("GET", f"{API}/server/info").json(), "ApplicationServerInfoData")
        btcpay_openapi.check(shop("GET", f"{API}/api-keys/current").json(), "ApiKeyData")
        btcpay_openapi.check(shop("GET", f"{API}/stores/{STORE}").json(), "StoreData")
        for view in shop("GET", f"{API}/stores/{STORE}/payment-methods").json():
            btcpay_openapi.check(view, "GenericPaymentMethodData")
        for view in shop("GET", f"{API}/stores/{STORE}/rates?currencyPair=BTC_USD").json():
            btcpay_openapi.check(view, "StoreRateResult")
