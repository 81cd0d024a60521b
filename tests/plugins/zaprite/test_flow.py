"""A whole relay that sells through the sandbox's Zaprite: what it shows becomes credit once, and nothing else does."""

import pytest

from relay.testing.sandbox.zaprite import KEY
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import assert_error, eventually, install, running
from tests.plugins.zaprite.test_webhook import TOKEN

SHOP = """
[[packages]]
id = "small"
credits = 20
price = "5.00"
currency = "USD"
[[packages]]
id = "sats"
credits = 7
price = "21000"
currency = "SATS"
[reconcile]
initial_delay_seconds = 0
interval_seconds = 3600
"""


@pytest.fixture
def shop(tmp_path, box):
    plugins = f'[plugins.zaprite]\nbase_url = "{box.url}/zaprite"\napi_key = "{KEY}"\nwebhook_token = "{TOKEN}"\n'
    with running(tmp_path, [FakeBackend()], settings=SHOP, plugins=plugins) as live:
        box["zaprite"].configure({"webhook_url": f"http://127.0.0.1:{live.port}/relay/zaprite/webhook/{TOKEN}"})
        yield live
        live.assert_balanced()


def buy(live, package="small"):
    return live.call("POST", "/relay/credits/checkout", headers=install("i"), json={"package": package})


@pytest.fixture
def sold(shop, box):
    """Our id and Zaprite's of an order that waits for its payment."""
    reply = buy(shop)
    assert reply.status == 201, reply.body
    (order,) = box["zaprite"].orders
    return reply.json["invoice"]["id"], order


def invoice(live, order_id):
    return live.get(f"/relay/invoices/{order_id}", install("i")).json["invoice"]


def purchased(live):
    return live.credits("i")["purchased"]


@pytest.mark.parametrize("shape", ["A", "B"])
def test_a_payment_is_credited_once_whatever_the_webhooks_shape_and_number(shop, box, sold, shape):
    zaprite = box["zaprite"]
    zaprite.configure({"shape": shape})
    zaprite.disturb("duplicate", times=3)
    zaprite.pay(sold[1])
    zaprite.complete(sold[1])
    zaprite.notify(sold[1])
    zaprite.wait()
    eventually(lambda: purchased(shop) == 20)
    assert shop.core.till.reconciler.rescan("zaprite").granted == 0
    assert invoice(shop, sold[0])["status"] == "settled"
    assert {sent["status"] for sent in zaprite.deliveries()} == {200}
    assert sum(entry["kind"] == "purchase" for entry in shop.entries("inst:i")) == 1


@pytest.mark.parametrize("word", ["PAID", "COMPLETE", "OVERPAID", "EXPIRED", "CANCELLED", "INVALID"])
def test_a_forged_body_changes_nothing(shop, box, sold, word):
    (answer,) = box["zaprite"].forge(sold[1], word)
    assert answer["status"] == 200
    shop.core.till.reconciler.all()
    assert purchased(shop) == 0
    assert invoice(shop, sold[0])["status"] == "pending"
    box["zaprite"].pay(sold[1])
    shop.core.till.reconciler.all()
    assert purchased(shop) == 20


def test_a_delivery_about_a_foreign_order_asks_nobody(shop, box, sold):
    asked = len(box.requests("zaprite"))
    for order in ("od_somebodyelse", sold[0]):
        body = {"event": "order.change", "data": {"id": order, "status": "PAID", "externalUniqId": sold[0]}}
        reply = shop.call("POST", f"/relay/zaprite/webhook/{TOKEN}", json=body)
        assert reply.json == {"ok": True, "orderId": order, "ignored": "unknown_invoice"}
    assert len(box.requests("zaprite")) == asked


def test_a_wrong_or_missing_token_is_404(shop, sold):
    for path in ("", "/", "/wrong", f"/{TOKEN}x"):
        reply = shop.call("POST", f"/relay/zaprite/webhook{path}", json={"orderId": sold[1]})
        assert_error(reply, 404, "not_found")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("wrong_amount", "amount_drift"),
        ("wrong_currency", "amount_drift"),
        ("wrong_id", "another_invoice"),
        ("wrong_order", "another_order"),
        ("wrong_org", "another_store"),
    ],
)
def test_an_order_that_is_not_as_it_was_made_comes_to_review(shop, box, sold, fault, reason):
    box.faults.add("zaprite", fault)
    box["zaprite"].pay(sold[1])
    box["zaprite"].wait()
    shop.core.till.reconciler.all()
    box.faults.clear()
    order = shop.core.storage.read(lambda tx: tx.get("orders", sold[0]))
    assert (order["state"], order["review"]["reason"]) == ("review", reason)
    assert purchased(shop) == 0


@pytest.mark.parametrize(("field", "state"), [("amount", "settled"), ("none", "review")])
def test_the_amount_is_read_where_it_is_and_an_order_without_one_is_for_a_person(shop, box, sold, field, state):
    box["zaprite"].configure({"amount_field": field})
    box["zaprite"].pay(sold[1])
    shop.core.till.reconciler.all()
    assert invoice(shop, sold[0])["status"] == state
    assert purchased(shop) == (20 if state == "settled" else 0)


def test_an_unknown_word_neither_grants_nor_closes(shop, box, sold):
    box["zaprite"].set_status(sold[1], "REFUNDED_PARTIAL")
    shop.core.till.reconciler.all()
    assert invoice(shop, sold[0])["status"] == "pending"
    box["zaprite"].set_status(sold[1], "PAID")
    shop.core.till.reconciler.all()
    assert purchased(shop) == 20


def test_a_payment_that_is_not_final_grants_when_it_is_also_after_the_end(shop, box, sold):
    box["zaprite"].processing(sold[1])
    shop.core.till.reconciler.all()
    assert (invoice(shop, sold[0])["status"], purchased(shop)) == ("processing", 0)
    box["zaprite"].forward(86_400)
    box["zaprite"].pay(sold[1])
    shop.core.till.reconciler.all()
    assert purchased(shop) == 20


def test_more_than_was_asked_buys_what_was_ordered(shop, box, sold):
    box["zaprite"].processing(sold[1], 9000)
    box["zaprite"].cancel(sold[1])
    box["zaprite"].pay(sold[1], 400)
    box["zaprite"].pay(sold[1], 300)
    shop.core.till.reconciler.all()
    assert purchased(shop) == 20
    order = shop.core.storage.read(lambda tx: tx.get("orders", sold[0]))
    assert (order["word"], order["paid_units"]) == ("OVERPAID", 700)


def test_a_part_payment_grants_nothing_until_the_rest_is_there(shop, box, sold):
    box["zaprite"].pay(sold[1], 400)
    shop.core.till.reconciler.all()
    assert (invoice(shop, sold[0])["status"], purchased(shop)) == ("pending", 0)
    box["zaprite"].pay(sold[1])
    shop.core.till.reconciler.all()
    assert purchased(shop) == 20


def test_a_delivery_that_comes_before_the_change_is_made_up_for_by_the_sweep(shop, box, sold):
    box.faults.add("zaprite", "stale")
    box["zaprite"].pay(sold[1])
    box["zaprite"].wait()
    eventually(box["zaprite"].deliveries)
    assert purchased(shop) == 0
    box.faults.clear()
    shop.core.till.reconciler.all()
    assert purchased(shop) == 20


def test_an_order_whose_answer_was_lost_is_adopted_and_no_second_one_is_made(shop, box):
    box.faults.add("zaprite", "lost_answer", times=1)
    reply = buy(shop)
    assert_error(reply, 502, "outcome_unknown", "rail")
    (order,) = box["zaprite"].orders
    shop.core.till.reconciler.all()
    assert invoice(shop, reply.error["details"]["invoice"])["checkout_url"].endswith(order)
    box["zaprite"].pay(order)
    shop.core.till.reconciler.all()
    assert purchased(shop) == 20
    assert len(box["zaprite"].orders) == 1


def test_a_checkout_elsewhere_is_never_shown_to_a_buyer(shop, box):
    box.faults.add("zaprite", "foreign_checkout", value="https://pay.zaprite.com.evil.example/x")
    reply = buy(shop)
    assert_error(reply, 502, "upstream_failed", "rail")
    assert "evil" not in reply.body.decode()


def test_sats_are_sold_and_credited(shop, box):
    sold = buy(shop, "sats").json["invoice"]
    assert (sold["amount"], sold["currency"]) == ("21000", "SATS")
    (order,) = box["zaprite"].orders.values()
    assert (order.total, order.currency) == (21_000, "BTC")
    box["zaprite"].pay(order.id)
    shop.core.till.reconciler.all()
    assert purchased(shop) == 7
