"""Webhooks as the sandbox's BTCPay sends them: signed, in order, again, and wrongly when told to."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from relay.testing.sandbox.btcpay import STORE
from relay.testing.sandbox.btcpay_hooks import signature
from tests.loopback import HANG_UP, Server, reply
from tests.sandbox import btcpay_openapi
from tests.sandbox.test_btcpay import API, CHAIN, INVOICES, Shop

HOOKS = f"{API}/stores/{STORE}/webhooks"
PAID = ["InvoiceReceivedPayment", "InvoicePaymentSettled", "InvoiceProcessing", "InvoiceSettled"]


@pytest.fixture
def shop(client, box):
    return Shop(client, box)


@pytest.fixture
def receiver():
    with Server() as server:
        yield server


def hook(shop, server, **more):
    reply = shop("POST", HOOKS, {"url": f"{server.url}/hook", "secret": "s3cr3t", **more})
    assert reply.status == 200, reply.data
    return reply.json()


def only(*events):
    return {"authorizedEvents": {"everything": False, "specificEvents": list(events)}}


def told(shop, server) -> list[dict]:
    shop.play.wait()
    return [request.json() for request in server.requests]


def types(shop, server) -> list[str]:
    return [body["type"] for body in told(shop, server)]


class TestManaging:
    def test_the_secret_is_told_once(self, shop, receiver):
        made = shop("POST", HOOKS, {"url": receiver.url}).json()
        assert len(made["secret"]) > 20
        assert made["authorizedEvents"] == {"everything": True, "specificEvents": []}
        assert shop("GET", f"{HOOKS}/{made['id']}").json() == {**made, "secret": None}
        assert shop("GET", HOOKS).json() == [{**made, "secret": None}]
        assert shop("GET", f"{API}/webhooks/{made['id']}").json()["id"] == made["id"]

    def test_two_with_one_url_tell_everything_twice(self, shop, receiver):
        hook(shop, receiver)
        hook(shop, receiver)
        shop.sell()
        assert types(shop, receiver) == ["InvoiceCreated"] * 2

    def test_an_update_keeps_a_secret_it_does_not_name(self, shop, receiver):
        made = hook(shop, receiver)
        changed = shop("PUT", f"{HOOKS}/{made['id']}", {"url": f"{receiver.url}/new", **only("InvoiceSettled")}).json()
        assert (changed["url"], changed["secret"]) == (f"{receiver.url}/new", None)
        shop.play.pay(shop.sell()["id"])
        shop.play.wait()
        (request,) = receiver.requests
        assert (request.path, request.headers["btcpay-sig"]) == ("/new", signature("s3cr3t", request.body))

    def test_a_deleted_one_is_told_nothing(self, shop, receiver):
        made = hook(shop, receiver)
        assert shop("DELETE", f"{HOOKS}/{made['id']}").status == 200
        shop.sell()
        assert told(shop, receiver) == []
        reply = shop("GET", f"{HOOKS}/{made['id']}")
        assert (reply.status, reply.json()["code"]) == (404, "webhook-not-found")

    def test_a_disabled_one_is_told_nothing(self, shop, receiver):
        hook(shop, receiver, enabled=False)
        shop.sell()
        assert told(shop, receiver) == []

    def test_another_stores_invoices_are_not_told(self, shop, receiver):
        hook(shop, receiver)
        shop.play.create(store=shop.play.add_store()["id"])
        assert told(shop, receiver) == []

    def test_a_url_must_be_absolute(self, shop):
        assert shop("POST", HOOKS, {"url": "/hook"}).json()[0]["path"] == "url"

    def test_old_servers_know_seven_events(self, shop, receiver):
        shop.play.configure({"version": "1.11.7"})
        refused = shop("POST", HOOKS, {"url": receiver.url, **only("InvoiceSettled", "InvoicePaidAfterExpiration")})
        assert refused.status == 422
        assert isinstance(refused.json(), list)
        hook(shop, receiver, **only("InvoiceSettled"))
        shop.play.configure({"version": "1.12.0"})
        hook(shop, receiver, **only("InvoicePaidAfterExpiration"))


class TestWhatIsSent:
    def test_the_signature_covers_the_bytes_as_they_were_sent(self, shop, receiver):
        hook(shop, receiver)
        sold = shop.sell()
        shop.play.wait()
        (request,) = receiver.requests
        assert b'\n  "type": "InvoiceCreated",\n' in request.body
        made = hmac.new(b"s3cr3t", request.body, hashlib.sha256).hexdigest()
        assert request.headers["btcpay-sig"] == f"sha256={made}"
        again = hmac.new(b"s3cr3t", json.dumps(request.json()).encode(), hashlib.sha256).hexdigest()
        assert again != made
        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"].startswith("BTCPayServer")
        body = request.json()
        assert body["originalDeliveryId"] == body["deliveryId"]
        assert (body["isRedelivery"], body["storeId"], body["invoiceId"]) == (False, STORE, sold["id"])
        assert body["metadata"] == {"orderId": "ord_1"}

    def test_the_signature_of_a_known_body_is_known(self):
        known = "sha256=85bf69eececbeb4819c3ddf879f8bd6d46faf64d784b383cb7eb2dcfa5713064"
        assert signature("s3cr3t", b'{"type":"InvoiceSettled"}') == known

    def test_lightning_tells_four_things_in_order(self, shop, receiver):
        hook(shop, receiver)
        shop.play.pay(shop.sell()["id"], "12")
        created, received, _, processing, settled = told(shop, receiver)
        assert [created["type"], *(body["type"] for body in told(shop, receiver)[1:])] == ["InvoiceCreated", *PAID]
        assert (received["paymentMethodId"], received["afterExpiration"]) == ("BTC-LN", False)
        assert received["payment"]["status"] == "Settled"
        assert processing["overPaid"] is True
        assert (settled["manuallyMarked"], settled["overPaid"]) == (False, True)

    def test_the_chain_tells_each_step(self, shop, receiver):
        hook(shop, receiver)
        sold = shop.sell()
        shop.play.pay(sold["id"], method=CHAIN)
        assert types(shop, receiver) == ["InvoiceCreated", "InvoiceReceivedPayment", "InvoiceProcessing"]
        shop.play.confirm(sold["id"])
        assert types(shop, receiver)[3:] == ["InvoicePaymentSettled", "InvoiceSettled"]

    def test_a_double_spend_tells_nothing(self, shop, receiver):
        hook(shop, receiver)
        sold = shop.sell()
        shop.play.pay(sold["id"], method=CHAIN)
        before = types(shop, receiver)
        shop.play.double_spend(sold["id"])
        assert types(shop, receiver) == before

    def test_the_end_tells_whether_something_was_paid(self, shop, receiver):
        hook(shop, receiver, **only("InvoiceExpired", "InvoiceExpiredPaidPartial"))
        shop.sell()
        shop.play.pay(shop.sell()["id"], "1")
        shop.play.forward(16 * 60)
        said = [(body["type"], body.get("partiallyPaid")) for body in told(shop, receiver)]
        assert sorted(said, key=str) == [
            ("InvoiceExpired", False),
            ("InvoiceExpired", True),
            ("InvoiceExpiredPaidPartial", None),
        ]

    def test_money_after_the_end(self, shop, receiver):
        hook(shop, receiver)
        sold = shop.sell()
        shop.play.expire(sold["id"])
        shop.play.pay(sold["id"])
        last = told(shop, receiver)[-2:]
        assert [body["type"] for body in last] == ["InvoiceReceivedPayment", "InvoicePaidAfterExpiration"]
        assert last[0]["afterExpiration"] is True

    def test_marks_are_said_to_be_marks(self, shop, receiver):
        hook(shop, receiver, **only("InvoiceSettled", "InvoiceInvalid"))
        sold = shop.sell()
        shop.play.mark(sold["id"], "Settled")
        shop.play.mark(sold["id"], "Invalid")
        said = [(body["type"], body["manuallyMarked"]) for body in told(shop, receiver)]
        assert said == [("InvoiceSettled", True), ("InvoiceInvalid", True)]

    def test_extra_money_is_a_payment_and_no_settlement(self, shop, receiver):
        hook(shop, receiver)
        sold = shop.sell()
        shop.play.pay(sold["id"])
        shop.play.pay(sold["id"])
        assert types(shop, receiver)[5:] == ["InvoiceReceivedPayment", "InvoicePaymentSettled"]

    @pytest.mark.parametrize(("version", "said"), [("2.4.1", ["InvoiceRefund"]), ("2.4.0", [])])
    def test_refunds_are_told_since_2_4_1(self, shop, receiver, version, said):
        hook(shop, receiver, **only("InvoiceRefund"))
        shop.play.configure({"version": version})
        sold = shop.sell()
        shop.play.pay(sold["id"])
        refund = shop.play.refund(sold["id"])
        assert types(shop, receiver) == said
        assert all(body["pullPaymentId"] == refund["id"] for body in told(shop, receiver))

    def test_version_1_has_other_names_and_leaves_some_out(self, shop, receiver):
        shop.play.configure({"version": "1.11.7"})
        hook(shop, receiver)
        sold = shop.sell()
        shop.play.pay(sold["id"])
        bodies = told(shop, receiver)
        assert bodies[1]["paymentMethod"] == "BTC-LightningNetwork"
        assert "paymentMethodId" not in bodies[1]
        assert all("overPaid" not in body for body in bodies)
        late = shop.sell()
        shop.play.expire(late["id"])
        shop.play.pay(late["id"])
        assert "InvoicePaidAfterExpiration" not in types(shop, receiver)

    def test_very_old_events_have_no_metadata(self, shop, receiver):
        shop.play.configure({"version": "1.6.0"})
        hook(shop, receiver)
        shop.sell()
        assert "metadata" not in told(shop, receiver)[0]

    @btcpay_openapi.needed
    def test_every_event_is_what_btcpay_describes(self, shop, receiver):
        hook(shop, receiver)
        for method in ("BTC-LN", CHAIN):
            sold = shop.sell()
            shop.play.pay(sold["id"], method=method, confirmations=1)
        shop.play.mark(shop.sell()["id"], "Invalid")
        shop.play.expire(shop.sell()["id"])
        seen = told(shop, receiver)
        assert {*PAID, "InvoiceCreated", "InvoiceExpired", "InvoiceInvalid"} == {body["type"] for body in seen}
        for body in seen:
            schema = "WebhookInvoiceEvent" if body["type"] == "InvoiceCreated" else f"Webhook{body['type']}Event"
            btcpay_openapi.check(body, schema)


class TestAgain:
    def failing(self, receiver, *statuses, then=200):
        """Answers with these, one after another."""
        left = list(statuses)
        receiver.answer = lambda _request: left.pop(0) if left else then
        receiver.answer = lambda _request: _said(left.pop(0) if left else then)

    def test_a_failed_delivery_comes_again_with_its_first_id(self, shop, receiver):
        self.failing(receiver, 503, 503)
        hook(shop, receiver, **only("InvoiceCreated"))
        shop.play.configure({"speed": 10_000})
        shop.sell()
        first, second, third = told(shop, receiver)
        assert [body["isRedelivery"] for body in (first, second, third)] == [False, True, True]
        assert len({body["deliveryId"] for body in (first, second, third)}) == 3
        assert {body["originalDeliveryId"] for body in (first, second, third)} == {first["deliveryId"]}
        for request in receiver.requests:
            assert request.headers["btcpay-sig"] == signature("s3cr3t", request.body)

    def test_it_is_tried_nine_times_on_the_schedule(self, shop, receiver):
        self.failing(receiver, then=500)
        made = hook(shop, receiver, **only("InvoiceCreated"))
        waits = []
        wait_until = shop.play.clock.wait_until

        def watched(moment, given_up):
            waits.append(moment - shop.play.clock.now())
            shop.play.clock.forward(max(0, moment - shop.play.clock.now()))
            wait_until(moment, given_up)

        shop.play.clock.wait_until = watched
        shop.sell()
        assert len(told(shop, receiver)) == 9
        assert [round(wait) for wait in waits] == [0, 10, 60, 600, 600, 600, 600, 600, 600]
        assert len(shop("GET", f"{HOOKS}/{made['id']}/deliveries").json()) == 9

    def test_the_clock_makes_the_next_try_due(self, shop, receiver):
        self.failing(receiver, 500)
        hook(shop, receiver, **only("InvoiceCreated"))
        shop.sell()
        with pytest.raises(TimeoutError):
            shop.play.wait(0.3)
        assert len(receiver.requests) == 1
        shop.play.forward(11)
        assert len(told(shop, receiver)) == 2

    def test_later_events_wait_for_an_earlier_one(self, shop, receiver):
        self.failing(receiver, 500)
        hook(shop, receiver)
        shop.play.pay(shop.sell()["id"])
        with pytest.raises(TimeoutError):
            shop.play.wait(0.3)
        assert len(receiver.requests) == 1
        shop.play.forward(11)
        assert types(shop, receiver) == ["InvoiceCreated", "InvoiceCreated", *PAID]

    @pytest.mark.parametrize(
        ("version", "status", "tries"),
        [
            ("2.4.1", 404, 1),
            ("2.4.1", 401, 1),
            ("2.4.1", 304, 1),
            ("2.4.1", 408, 2),
            ("2.4.1", 429, 2),
            ("2.3.3", 404, 2),
            ("2.3.3", 304, 2),
            ("2.4.1", None, 2),
        ],
    )
    def test_what_is_tried_again_depends_on_the_answer_and_the_version(self, shop, receiver, version, status, tries):
        self.failing(receiver, status)
        hook(shop, receiver, **only("InvoiceCreated"))
        shop.play.configure({"version": version, "speed": 10_000})
        shop.sell()
        assert len(told(shop, receiver)) == tries

    def test_without_automatic_redelivery_there_is_one_try(self, shop, receiver):
        self.failing(receiver, 500)
        hook(shop, receiver, automaticRedelivery=False)
        shop.play.configure({"speed": 10_000})
        shop.sell()
        assert len(told(shop, receiver)) == 1

    def test_a_restart_loses_what_waits(self, shop, receiver):
        self.failing(receiver, 500)
        hook(shop, receiver)
        sold = shop.sell()
        with pytest.raises(TimeoutError):
            shop.play.wait(0.3)
        shop.play.mark(sold["id"], "Settled")
        shop.play.restart()
        shop.play.forward(700)
        assert types(shop, receiver) == ["InvoiceCreated"]
        shop.play.mark(sold["id"], "Invalid")
        assert types(shop, receiver) == ["InvoiceCreated", "InvoiceInvalid"]

    def test_a_redirect_turns_the_post_into_a_get(self, shop, receiver):
        receiver.answer = lambda request: reply(301, location="/hook/") if request.path == "/hook" else reply(405)
        made = hook(shop, receiver, **only("InvoiceCreated"))
        shop.sell()
        shop.play.wait()
        assert [(request.method, request.path) for request in receiver.requests] == [
            ("POST", "/hook"),
            ("GET", "/hook/"),
        ]
        (delivery,) = shop("GET", f"{HOOKS}/{made['id']}/deliveries").json()
        assert (delivery["status"], delivery["httpCode"]) == ("HttpError", 405)

    def test_a_redelivery_by_hand_brings_an_old_event_back(self, shop, receiver):
        made = hook(shop, receiver, **only("InvoiceProcessing", "InvoiceSettled"))
        shop.play.pay(shop.sell()["id"])
        processing, _ = told(shop, receiver)
        path = f"{HOOKS}/{made['id']}/deliveries/{processing['deliveryId']}"
        assert shop("GET", f"{path}/request").json() == processing
        ident = shop("POST", f"{path}/redeliver").json()
        again = told(shop, receiver)[-1]
        assert (again["type"], again["deliveryId"], again["isRedelivery"]) == ("InvoiceProcessing", ident, True)
        assert again["originalDeliveryId"] == processing["deliveryId"]

    def test_deliveries_say_what_became_of_them(self, shop, receiver):
        self.failing(receiver, 500, None)
        made = hook(shop, receiver, automaticRedelivery=False)
        for _ in range(3):
            shop.sell()
        shop.play.wait()
        views = shop("GET", f"{HOOKS}/{made['id']}/deliveries").json()
        assert [view["status"] for view in views] == ["HttpSuccess", "Failed", "HttpError"]
        assert [view["httpCode"] for view in views] == [200, None, 500]
        assert len(shop("GET", f"{HOOKS}/{made['id']}/deliveries?count=2").json()) == 2
        path = f"{HOOKS}/{made['id']}/deliveries/{views[0]['id']}"
        shop.box.faults.add("btcpay", "pruned", times=1)
        assert shop("POST", f"{path}/redeliver").json()["code"] == "webhookdelivery-pruned"
        assert shop("GET", f"{HOOKS}/{made['id']}/deliveries/none/request").status == 404


class TestDisturbed:
    def settle(self, shop, receiver, *disturbances):
        hook(shop, receiver)
        sold = shop.sell()
        shop.play.wait()
        receiver.requests.clear()
        for disturbance in disturbances:
            shop.play.disturb(**disturbance)
        shop.play.pay(sold["id"])
        return sold

    def test_a_dropped_delivery_never_comes(self, shop, receiver):
        self.settle(shop, receiver, {"way": "drop", "event": "InvoiceSettled"})
        assert types(shop, receiver) == PAID[:3]
        shop.play.pay(shop.sell()["id"])
        assert types(shop, receiver)[-1] == "InvoiceSettled"

    def test_a_duplicate_is_the_same_byte_for_byte(self, shop, receiver):
        self.settle(shop, receiver, {"way": "duplicate", "event": "InvoiceSettled"})
        assert types(shop, receiver) == [*PAID, "InvoiceSettled"]
        first, second = receiver.requests[-2:]
        assert (first.body, first.headers["btcpay-sig"]) == (second.body, second.headers["btcpay-sig"])

    def test_two_can_change_places(self, shop, receiver):
        self.settle(shop, receiver, {"way": "reorder", "event": "InvoiceProcessing"})
        assert types(shop, receiver) == [*PAID[:2], "InvoiceSettled", "InvoiceProcessing"]

    def test_a_delayed_one_comes_when_its_time_has_come(self, shop, receiver):
        self.settle(shop, receiver, {"way": "delay", "event": "InvoiceProcessing", "seconds": 3600})
        with pytest.raises(TimeoutError):
            shop.play.wait(0.3)
        assert [request.json()["type"] for request in receiver.requests] == [*PAID[:2], "InvoiceSettled"]
        shop.play.forward(3601)
        assert types(shop, receiver)[-1] == "InvoiceProcessing"

    @pytest.mark.parametrize(("signed", "right"), [("right", True), ("wrong", False), ("sha256=00", False)])
    def test_a_forged_delivery_is_signed_as_told(self, shop, receiver, signed, right):
        receiver.answer = lambda _request: _said(401)
        hook(shop, receiver, **only("InvoiceSettled"))
        sold = shop.sell()
        (answer,) = shop.play.forge(sold["id"], signed=signed, fields={"storeId": "other"})
        request = receiver.requests[-1]
        assert answer["status"] == 401
        assert (request.headers["btcpay-sig"] == signature("s3cr3t", request.body)) is right
        assert (request.json()["invoiceId"], request.json()["storeId"]) == (sold["id"], "other")
        assert shop.status(sold)[0] == "New"

    def test_a_forged_delivery_may_have_no_signature_and_any_body(self, shop, receiver):
        hook(shop, receiver)
        shop.play.forge("anything", signed="missing", body="not JSON")
        (request,) = receiver.requests
        assert "btcpay-sig" not in request.headers
        assert request.body == b"not JSON"


class TestNowhereElse:
    @pytest.mark.parametrize(
        "url", ["https://relay.example/hook", "http://10.0.0.1/hook", "http://relay.example/", "https://127.0.0.1/"]
    )
    def test_nothing_is_sent_to_another_machine(self, shop, internet, url):
        shop("POST", HOOKS, {"url": url})
        shop.sell()
        shop.play.wait()
        (delivery,) = shop.play.deliveries()
        assert delivery["status"] == "Failed"
        assert "nowhere else" in delivery["errorMessage"]
        assert (internet.looked_up, {host for host, _ in internet.connected}) == ([], {"127.0.0.1"})

    def test_nor_where_a_redirect_leads(self, shop, receiver, internet):
        receiver.answer = lambda _request: reply(307, location="http://10.0.0.1/hook")
        hook(shop, receiver)
        shop.sell()
        shop.play.wait()
        (delivery,) = shop.play.deliveries()
        assert "nowhere else" in delivery["errorMessage"]
        assert {host for host, _ in internet.connected} == {"127.0.0.1"}


@pytest.fixture
def internet(monkeypatch):
    from tests.internet import Internet

    return Internet(monkeypatch)


def _said(status):
    return HANG_UP if status is None else reply(status)


def test_the_list_of_invoices_is_not_touched_by_webhooks(shop, receiver):
    hook(shop, receiver)
    shop.sell()
    assert len(shop("GET", INVOICES).json()) == 1
