"""Zaprite as the sandbox plays it, over HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
import urllib3

from relay.testing.sandbox.zaprite import KEY
from tests.loopback import Server, reply

ORDERS = "/zaprite/v1/orders"
CONTACTS = "/zaprite/v1/contacts"


class Shop:
    """The API with a key."""

    def __init__(self, client, box) -> None:
        self.client, self.box, self.play, self.key = client, box, box["zaprite"], KEY

    def __call__(self, method, path, body=None, **more):
        return self.client(method, path, json=body, headers={"Authorization": f"Bearer {self.key}"}, **more)

    def sell(self, amount=1000, currency="USD", external="ord_1", **more):
        reply = self("POST", ORDERS, {"amount": amount, "currency": currency, "externalUniqId": external, **more})
        assert reply.status == 201, reply.data
        return reply.json()

    def get(self, order):
        return self("GET", f"{ORDERS}/{order['id']}").json()

    def status(self, order) -> str:
        return self.get(order)["status"]

    def contact(self) -> str:
        return self("POST", CONTACTS, {"email": "ann@example.com", "legalName": "Ann"}).json()["id"]

    def list(self, **query):
        reply = self("GET", f"{ORDERS}?{urlencode(query)}")
        assert reply.status == 200, reply.data
        return [order["externalUniqId"] for order in reply.json()["items"]]

    def paid_with_card(self):
        """An order whose buyer kept the card."""
        contact = self.contact()
        sold = self.sell(contactId=contact, allowSavePaymentProfile=True)
        self.play.pay(sold["id"], method="CARD")
        return contact, sold

    def charge(self, order, profile):
        return self("POST", f"{ORDERS}/charge", {"orderId": order["id"], "paymentProfileId": profile})


@pytest.fixture
def shop(client, box):
    return Shop(client, box)


@pytest.fixture
def receiver():
    with Server() as server:
        yield server


def told(shop, server) -> list[dict]:
    shop.play.wait()
    return [request.json() for request in server.requests]


def later(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


class TestSelling:
    def test_an_order_echoes_what_was_asked(self, shop):
        sold = shop.sell(label="Credits", metadata={"account": "acc_1"}, expiresAt="2030-09-01T12:30:00Z")
        assert (sold["totalAmount"], sold["currency"], sold["status"]) == (1000, "USD", "PENDING")
        assert (sold["externalUniqId"], sold["label"], sold["metadata"]) == ("ord_1", "Credits", {"account": "acc_1"})
        assert sold["expiresAt"] == "2030-09-01T12:30:00.000Z"
        assert (sold["orgId"], sold["paidAt"], sold["transactions"]) == ("org_sandbox", None, [])
        assert sold["checkoutUrl"] == f"{shop.box.url}/zaprite/order/{sold['id']}"
        assert shop.get(sold) == sold

    def test_an_order_is_found_by_either_id(self, shop):
        sold = shop.sell(external="mine/1")
        assert shop("GET", f"{ORDERS}/{sold['id']}").json()["id"] == sold["id"]
        assert shop("GET", f"{ORDERS}/ord_2").status == 404
        assert shop("GET", f"{ORDERS}/{shop.sell()['externalUniqId']}").status == 200

    def test_two_orders_can_have_one_external_id(self, shop):
        first, second = shop.sell(), shop.sell()
        assert first["id"] != second["id"]
        assert shop("GET", f"{ORDERS}/ord_1").json()["id"] == first["id"]
        shop.play.configure({"twin": "last"})
        assert shop("GET", f"{ORDERS}/ord_1").json()["id"] == second["id"]

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({"amount": "10"}, "amount"),
            ({"amount": -1}, "amount"),
            ({"currency": "SATS"}, "currency"),
            ({"metadata": {"n": 1}}, "metadata"),
            ({"metadata": {str(n): "x" for n in range(51)}}, "metadata"),
            ({"metadata": {"n": "x" * 1001}}, "metadata"),
            ({"expiresAt": "soon"}, "expiresAt"),
            ({"allowSavePaymentProfile": True}, "contactId is required"),
        ],
    )
    def test_what_is_not_valid_is_a_400_with_issues(self, shop, body, said):
        reply = shop("POST", ORDERS, {"amount": 1, "currency": "USD", **body})
        assert (reply.status, reply.json()["code"]) == (400, "BAD_REQUEST")
        assert said in reply.json()["issues"][0]["message"]

    def test_it_may_answer_200_and_name_the_amount_otherwise(self, shop):
        shop.play.configure({"created_status": 200, "amount_field": "amount"})
        reply = shop("POST", ORDERS, {"amount": 5, "currency": "BTC"})
        assert (reply.status, reply.json()["amount"]) == (200, 5)
        assert "totalAmount" not in reply.json()
        shop.play.configure({"amount_field": "none"})
        assert {"amount", "totalAmount"} & set(shop.get(reply.json())) == set()

    def test_a_protected_order_keeps_its_access_in_the_link(self, shop):
        shop.play.configure({"protected": True, "checkout": "https://pay.zaprite.com"})
        sold = shop.sell()
        assert sold["id"].startswith("odp_")
        assert sold["checkoutUrl"].startswith(f"https://pay.zaprite.com/order/{sold['id']}?access=")
        assert shop.client.get(f"/zaprite/order/{sold['id']}").status == 404

    def test_the_key_can_be_changed(self, shop):
        shop.play.configure({"api_key": "new"})
        reply = shop("GET", f"{ORDERS}?limit=1")
        assert (reply.status, reply.json()["code"]) == (401, "UNAUTHORIZED")
        shop.key = "new"
        assert shop("GET", f"{ORDERS}?limit=1").status == 200


class TestStatus:
    def test_paid_in_full(self, shop):
        sold = shop.sell()
        shop.play.pay(sold["id"])
        seen = shop.get(sold)
        assert seen["status"] == "PAID"
        assert seen["paidAt"]
        assert seen["receiptPdfUrl"]
        (payment,) = seen["transactions"]
        assert (payment["method"], payment["status"], payment["amountInOrderCurrency"]) == (
            "LIGHTNING",
            "CONFIRMED",
            1000,
        )

    def test_seen_then_confirmed(self, shop):
        sold = shop.sell()
        shop.play.processing(sold["id"])
        assert shop.status(sold) == "PROCESSING"
        shop.play.pay(sold["id"])
        assert shop.status(sold) == "PAID"

    def test_seen_then_gone(self, shop):
        sold = shop.sell()
        shop.play.processing(sold["id"])
        shop.play.cancel(sold["id"])
        assert shop.status(sold) == "PENDING"
        assert shop.get(sold)["transactions"][0]["status"] == "CANCELED"

    def test_too_little_then_the_rest(self, shop):
        sold = shop.sell()
        shop.play.pay(sold["id"], 400)
        assert shop.status(sold) == "UNDERPAID"
        shop.play.pay(sold["id"])
        assert shop.status(sold) == "PAID"

    def test_too_much_with_a_cancelled_try(self, shop):
        sold = shop.sell()
        shop.play.processing(sold["id"], 300)
        shop.play.cancel(sold["id"])
        shop.play.pay(sold["id"], 700)
        shop.play.pay(sold["id"], 500)
        seen = shop.get(sold)
        assert seen["status"] == "OVERPAID"
        parts = [(part["status"], part["amountInOrderCurrency"]) for part in seen["transactions"]]
        assert parts == [("CANCELED", 300), ("CONFIRMED", 700), ("CONFIRMED", 500)]

    def test_the_merchant_completes_it_or_says_something_new(self, shop):
        sold = shop.sell()
        assert shop.play.complete(sold["id"])["status"] == "COMPLETE"
        shop.play.set_status(sold["id"], "REFUNDED_PARTIAL")
        assert shop.status(sold) == "REFUNDED_PARTIAL"

    def test_an_order_whose_time_is_over_still_says_pending_and_cannot_be_paid(self, shop, receiver):
        shop.play.add_webhook(receiver.url)
        sold = shop.sell(expiresAt=later(60))
        shop.play.forward(61)
        assert shop.status(sold) == "PENDING"
        with pytest.raises(ValueError, match="has expired"):
            shop.play.pay(sold["id"])
        assert told(shop, receiver) == []
        shop.play.configure({"expired_status": "ABANDONED"})
        assert shop.status(sold) == "ABANDONED"

    def test_a_payment_under_way_ends_well_after_the_end(self, shop):
        sold = shop.sell(expiresAt=later(60))
        shop.play.processing(sold["id"])
        shop.play.forward(3600)
        assert shop.status(sold) == "PROCESSING"
        shop.play.pay(sold["id"])
        assert shop.status(sold) == "PAID"

    def test_it_can_say_that_it_expired(self, shop):
        sold = shop.sell()
        assert shop.play.expire(sold["id"])["status"] == "EXPIRED"
        paid = shop.sell()
        shop.play.pay(paid["id"])
        assert shop.play.expire(paid["id"])["status"] == "PAID"

    def test_a_refund_is_silent(self, shop, receiver):
        shop.play.add_webhook(receiver.url)
        sold = shop.sell()
        shop.play.pay(sold["id"])
        before = shop.get(sold)
        assert shop.play.refund(sold["id"])["refunded"] == 1000
        assert len(told(shop, receiver)) == 1
        assert shop.get(sold)["status"] == before["status"]

    @pytest.mark.parametrize(("discount", "paid"), [(100, 900), (-50, 1050)])
    @pytest.mark.parametrize("in_total", [True, False])
    def test_a_discount_or_premium_changes_what_is_paid(self, shop, discount, paid, in_total):
        shop.play.configure({"discount_in_total": in_total})
        sold = shop.sell()
        shop.play.pay(sold["id"], discount=discount)
        seen = shop.get(sold)
        assert (seen["status"], seen["appliedDiscount"]) == ("PAID", discount)
        assert seen["transactions"][0]["amountInOrderCurrency"] == paid
        assert seen["totalAmount"] == (paid if in_total else 1000)


class TestListing:
    def test_without_asking_the_pending_ones_are_left_out(self, shop):
        shop.sell(external="open")
        shop.play.pay(shop.sell(external="paid")["id"])
        assert shop.list() == ["paid"]
        assert set(shop.list(includePending="true")) == {"open", "paid"}
        assert shop.list(status="PENDING") == ["open"]
        assert shop.list(includePending="true", search="open") == ["open"]

    def test_it_comes_in_pages_newest_first(self, shop):
        for number in range(5):
            shop.sell(external=f"o{number}")
            shop.play.forward(10)
        asked = {"includePending": "true", "limit": 2}
        assert shop.list(**asked) == ["o4", "o3"]
        assert shop.list(**asked, page=3) == ["o0"]
        assert shop.list(**asked, page=4) == []
        assert shop.list(**asked, sortOrder="asc") == ["o0", "o1"]
        assert shop("GET", f"{ORDERS}?includePending=true&limit=2").json()["meta"] == {"pagesCount": 3, "itemsCount": 5}
        for wrong in ("limit=101", "page=0", "limit=x"):
            assert shop("GET", f"{ORDERS}?{wrong}").status == 400

    def test_by_the_last_change(self, shop):
        first, _second = shop.sell(external="first"), shop.sell(external="second")
        shop.play.forward(10)
        shop.play.set_status(first["id"], "UNDERPAID")
        assert shop.list(includePending="true", sortBy="updatedAt") == ["first", "second"]
        assert shop.list(includePending="true") == ["second", "first"]


class TestContacts:
    def test_both_fields_are_needed(self, shop):
        assert shop("POST", CONTACTS, {"email": "ann@example.com"}).status == 400
        contact = shop.contact()
        seen = shop("GET", f"{CONTACTS}/{contact}").json()
        assert (seen["email"], seen["legalName"], seen["paymentProfiles"]) == ("ann@example.com", "Ann", [])
        assert shop("GET", f"{CONTACTS}/ct_none").status == 404
        found = shop("GET", f"{CONTACTS}?contactSearch=ANN").json()
        assert [item["id"] for item in found["items"]] == [contact]

    def test_nobody_knows_what_a_second_one_with_the_same_address_is(self, shop):
        first = shop.contact()
        assert shop.contact() != first
        shop.play.configure({"same_email": "same"})
        assert shop.contact() == first
        shop.play.configure({"same_email": "refuse"})
        assert shop("POST", CONTACTS, {"email": "ann@example.com", "legalName": "Ann"}).status == 400

    def test_an_order_names_its_contact(self, shop):
        contact = shop.contact()
        assert shop.sell(contactId=contact)["contact"] == {"id": contact, "displayName": "Ann", "legalName": "Ann"}
        assert shop("POST", ORDERS, {"amount": 1, "currency": "USD", "contactId": "ct_none"}).status == 404


class TestSavedCards:
    def profiles(self, shop, contact):
        return shop("GET", f"{CONTACTS}/{contact}").json()["paymentProfiles"]

    def test_a_card_is_kept_with_the_order_it_came_from(self, shop):
        contact, sold = shop.paid_with_card()
        (profile,) = self.profiles(shop, contact)
        assert profile["method"] == "CARD"
        assert profile["sourceOrder"] == {"id": sold["id"], "externalUniqId": "ord_1"}

    def test_nothing_is_kept_without_consent_a_card_or_the_offer(self, shop):
        contact = shop.contact()
        offered = {"contactId": contact, "allowSavePaymentProfile": True}
        shop.play.pay(shop.sell(**offered)["id"], method="LIGHTNING")
        shop.play.pay(shop.sell(**offered)["id"], method="CARD", keep_card=False)
        shop.play.pay(shop.sell(contactId=contact)["id"], method="CARD")
        assert self.profiles(shop, contact) == []

    def test_it_may_appear_later(self, shop):
        shop.play.configure({"profile_reads": 2})
        contact, _ = shop.paid_with_card()
        assert [len(self.profiles(shop, contact)) for _ in range(4)] == [0, 0, 1, 1]

    def test_it_may_vanish(self, shop):
        contact, _ = shop.paid_with_card()
        (profile,) = self.profiles(shop, contact)
        shop.play.forget_card(profile["id"])
        assert self.profiles(shop, contact) == []
        assert shop.charge(shop.sell(), profile["id"]).status == 404

    @pytest.fixture
    def card(self, shop):
        contact, _ = shop.paid_with_card()
        return self.profiles(shop, contact)[0]["id"]

    def test_a_charge_pays(self, shop, card):
        renewal = shop.sell(external="r1")
        charged = shop.charge(renewal, card)
        assert (charged.status, charged.json()["status"]) == (200, "PAID")
        assert shop.charge(renewal, card).status == 400

    def test_a_charge_may_be_taken_and_not_paid_yet(self, shop, card):
        shop.box.faults.add("zaprite", "charge_processing", route="charge", times=1)
        renewal = shop.sell(external="r1")
        charged = shop.charge(renewal, card)
        assert (charged.status, charged.json()["status"]) == (200, "PROCESSING")
        shop.play.pay(renewal["id"])
        assert shop.status(renewal) == "PAID"

    def test_a_charge_may_be_declined(self, shop, card):
        shop.box.faults.add("zaprite", "declined", route="charge", times=1)
        renewal = shop.sell(external="r1")
        declined = shop.charge(renewal, card)
        assert (declined.status, declined.json()["code"]) == (402, "PAYMENT_REQUIRED")
        assert shop.status(renewal) == "PENDING"

    def test_a_charge_may_succeed_without_an_answer(self, shop, card):
        shop.box.faults.add("zaprite", "lost_answer", route="charge", times=1)
        renewal = shop.sell(external="r1")
        with pytest.raises(urllib3.exceptions.ProtocolError):
            shop.charge(renewal, card)
        assert shop.status(renewal) == "PAID"

    def test_a_card_that_is_too_old_is_refused(self, shop, card):
        shop.play.forward(4 * 365 * 86_400)
        assert shop.charge(shop.sell(), card).status == 400


class TestWebhooks:
    def test_shape_a_names_the_order_and_no_status_and_is_not_signed(self, shop, receiver):
        shop.play.configure({"webhook_url": f"{receiver.url}/hook/t0ken"})
        sold = shop.sell()
        shop.play.pay(sold["id"])
        assert told(shop, receiver) == [{"eventType": "order.change", "orderId": sold["id"], "orgId": "org_sandbox"}]
        (request,) = receiver.requests
        assert request.path == "/hook/t0ken"
        assert [name for name in request.headers if "sig" in name] == []

    def test_shape_b_has_the_order_inside(self, shop, receiver):
        shop.play.configure({"webhook_url": receiver.url, "shape": "B"})
        sold = shop.sell()
        shop.play.processing(sold["id"])
        shop.play.pay(sold["id"])
        data = [body["data"] for body in told(shop, receiver)]
        assert data == [{"id": sold["id"], "status": s, "externalUniqId": "ord_1"} for s in ("PROCESSING", "PAID")]

    def test_more_money_that_changes_no_status_is_not_told(self, shop, receiver):
        shop.play.configure({"webhook_url": receiver.url})
        sold = shop.sell()
        for _ in range(3):
            shop.play.pay(sold["id"])
        assert shop.status(sold) == "OVERPAID"
        assert len(told(shop, receiver)) == 2

    def test_one_can_be_made_over_the_api(self, shop, receiver):
        made = shop("POST", "/zaprite/v1/webhooks", {"url": f"{receiver.url}/x"})
        assert (made.status, set(made.json())) == (201, {"id", "url"})
        assert shop("GET", "/zaprite/v1/webhooks").json()["items"] == [made.json()]
        shop.play.pay(shop.sell()["id"])
        assert len(told(shop, receiver)) == 1
        assert shop("POST", "/zaprite/v1/webhooks", {"url": "x"}).status == 400

    def test_nothing_is_tried_again(self, shop, receiver):
        receiver.answer = lambda _request: reply(500)
        shop.play.add_webhook(receiver.url)
        shop.play.pay(shop.sell()["id"])
        shop.play.wait()
        shop.play.forward(10_000)
        shop.play.wait()
        (sent,) = shop.play.deliveries()
        assert (len(receiver.requests), sent["status"]) == (1, 500)

    def test_they_are_dropped_doubled_and_exchanged(self, shop, receiver):
        shop.play.configure({"webhook_url": receiver.url, "shape": "B"})
        sold = shop.sell()
        shop.play.disturb("drop")
        shop.play.pay(sold["id"], 1)
        shop.play.disturb("duplicate")
        shop.play.pay(sold["id"])
        shop.play.disturb("reorder")
        shop.play.set_status(sold["id"], "ONE")
        shop.play.set_status(sold["id"], "TWO")
        assert [body["data"]["status"] for body in told(shop, receiver)] == ["PAID", "PAID", "TWO", "ONE"]

    def test_an_order_can_be_told_of_once_more(self, shop, receiver):
        shop.play.add_webhook(receiver.url)
        shop.play.notify(shop.sell()["id"])
        assert len(told(shop, receiver)) == 1

    def test_anyone_can_forge_one(self, shop, receiver):
        receiver.answer = lambda _request: reply(404)
        shop.play.configure({"webhook_url": receiver.url})
        sold = shop.sell()
        (answer,) = shop.play.forge(sold["id"])
        assert answer["status"] == 404
        assert receiver.requests[0].json()["data"] == {"id": sold["id"], "status": "PAID", "externalUniqId": "ord_1"}
        assert shop.status(sold) == "PENDING"
        shop.play.forge("foreign", fields={"event": "order.paid"})
        shop.play.forge("foreign", body="[]")
        assert json.loads(receiver.requests[1].body)["event"] == "order.paid"
        assert receiver.requests[2].body == b"[]"

    def test_nothing_is_sent_to_another_machine(self, shop):
        shop.play.configure({"webhook_url": "https://relay.example/hook"})
        shop.play.pay(shop.sell()["id"])
        shop.play.wait()
        (sent,) = shop.play.deliveries()
        assert sent["status"] is None
        assert "nowhere else" in sent["error"]


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "field", "value"),
        [
            ("wrong_amount", "totalAmount", 1),
            ("wrong_currency", "currency", "XMR"),
            ("wrong_id", "id", "od_somebodyelse"),
            ("wrong_order", "externalUniqId", "some-other-order"),
            ("wrong_org", "orgId", "org_other"),
            ("unknown_status", "status", "REFUNDED_PARTIAL"),
            ("foreign_checkout", "checkoutUrl", "https://pay.zaprite.com.evil.example/order/1"),
        ],
    )
    def test_an_answer_is_wrong_in_one_field_and_right_again(self, shop, fault, field, value):
        sold = shop.sell()
        shop.box.faults.add("zaprite", fault, route="order", times=1)
        wrong, right = shop.get(sold), shop.get(sold)
        assert {name: wrong[name] for name in wrong if wrong[name] != right[name]} == {field: value}
        assert right == sold

    def test_a_read_after_the_event_may_be_too_early(self, shop):
        sold = shop.sell()
        shop.play.pay(sold["id"])
        shop.box.faults.add("zaprite", "stale", times=2)
        assert [shop.status(sold) for _ in range(3)] == ["PENDING", "PENDING", "PAID"]

    def test_an_order_is_made_and_the_answer_lost(self, shop):
        shop.box.faults.add("zaprite", "lost_answer", route="create", times=1)
        with pytest.raises(urllib3.exceptions.ProtocolError):
            shop.sell(external="lost")
        assert shop("GET", f"{ORDERS}/lost").json()["status"] == "PENDING"

    def test_too_many_calls_and_a_proxy_in_between(self, shop):
        shop.box.faults.add("zaprite", "retry_after", times=1, seconds=3)
        busy = shop("GET", ORDERS)
        assert (busy.status, busy.headers["retry-after"], busy.json()["code"]) == (429, "3", "TOO_MANY_REQUESTS")
        shop.box.faults.add("zaprite", "html", times=1)
        assert shop("GET", ORDERS).status == 502


class TestPages:
    def test_the_page_pays_and_returns_with_the_order(self, shop):
        sold = shop.sell(redirectUrl="https://relay.example/orders/1?a=b", label="Credits <1>")
        path = f"/zaprite/order/{sold['id']}"
        assert "Credits &lt;1&gt;" in shop.client.get(path).data.decode()
        paid = shop.client.post(path, redirect=False)
        assert paid.headers["location"] == f"https://relay.example/orders/1?a=b&orderId={sold['id']}"
        assert shop.status(sold) == "PAID"

    def test_what_cannot_be_paid_says_so(self, shop):
        sold = shop.sell(expiresAt=later(-1))
        assert shop.client.post(f"/zaprite/order/{sold['id']}").status == 400


class TestControl:
    def test_actions_work_over_http_too(self, client, shop):
        sold = shop.sell()
        assert (
            client.post("/_sandbox/zaprite/pay", {"order": sold["id"], "amount": 400}).json()["status"] == "UNDERPAID"
        )
        assert client.get("/_sandbox/zaprite").json()["orders"][0]["paid"] == 400
        assert "no order 'x'" in client.post("/_sandbox/zaprite/pay", {"order": "x"}).json()["error"]
        wrong = client.post("/_sandbox/zaprite/pay", {"order": sold["id"], "method": "SHELLS"})
        assert "LIGHTNING" in wrong.json()["error"]
        assert client.put("/_sandbox/zaprite", {"shape": "C"}).status == 400

    def test_a_reset_forgets_everything(self, client, shop):
        shop.sell()
        shop.play.configure({"api_key": "other"})
        client.post("/_sandbox/reset")
        state = client.get("/_sandbox/zaprite").json()
        assert (state["orders"], state["api_key"]) == ([], KEY)
