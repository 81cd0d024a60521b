"""Selling, looking up and listing orders over HTTP, and what comes back when the service fails."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from relay_zaprite import Plugin

from relay.api import ConfigError, Money, RailFailed, RailOutcomeUnknown, RailUnavailable
from relay.tables import Table
from tests.loopback import HANG_UP, Raw, json_reply, reply
from tests.plugins.zaprite.conftest import KEY, refusal

SINCE = datetime(2026, 8, 1, tzinfo=UTC)
CREATE = "POST /v1/orders"
NO_ORDERS = [
    json_reply(None),
    json_reply([]),
    json_reply({}),
    json_reply("od_1"),
    json_reply({"order": {"id": "od_1"}}),
    json_reply({"id": "od_1"}),
    json_reply({"id": None, "status": "PAID"}),
    reply(200, b""),
    reply(200, b"<html>Bad gateway</html>", content_type="text/html"),
    reply(200, b'{"id": "od_1", "sta'),
    reply(200, b"\xff\xfe\x00"),
    reply(502, b"<html>Bad gateway</html>", content_type="text/html"),
    reply(503),
    HANG_UP,
    Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{", close=True),
    Raw(b"not http at all\r\n\r\n", close=True),
]


def test_an_order_is_asked_for_in_smallest_units_with_all_that_finds_it_again(rail, zaprite, purchase):
    snapshot = rail.create_checkout(purchase(units=1250, email="ann@example.com"))
    (request,) = zaprite.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.json() == {
        "amount": 1250,
        "currency": "USD",
        "externalUniqId": "ord_1",
        "redirectUrl": "https://relay.example/pay/t0ken",
        "expiresAt": "2026-09-01T12:35:00Z",
        "label": "Relay credits",
        "metadata": {"order": "ord_1", "currency": "USD"},
        "customerData": {"email": "ann@example.com"},
    }
    assert (snapshot.invoice_id, snapshot.order_id, snapshot.status) == ("od_0", "ord_1", "pending")
    assert snapshot.amount == Money(1250, "USD")
    assert snapshot.checkout_url == "https://pay.zaprite.com/order/od_0"


@pytest.mark.parametrize("price", [Money(500, "JPY"), Money(500, "USD"), Money(21_000, "SATS"), Money(21_000, "BTC")])
def test_every_currency_is_seen_again_as_it_was_sold(rail, zaprite, purchase, price):
    made = rail.create_checkout(purchase(price.units, price.currency))
    asked = zaprite.requests[0].json()
    assert (asked["amount"], asked["currency"]) == (
        price.units,
        "BTC" if price.currency == "SATS" else price.currency,
    )
    assert made.amount == rail.fetch(made.invoice_id).amount == rail.find("ord_1").amount == price


def test_nothing_of_a_buyer_is_sent_when_nothing_is_known(rail, zaprite, purchase):
    rail.create_checkout(purchase(save_card=True))
    assert "customerData" not in zaprite.requests[0].json()
    assert "contactId" not in zaprite.requests[0].json()


def test_a_checkout_of_the_operators_own_look_is_used(zaprite, rail_for, purchase):
    rail_for(zaprite.url, custom_checkout_id="cc_1").create_checkout(purchase())
    assert zaprite.requests[0].json()["customCheckoutId"] == "cc_1"


@pytest.mark.parametrize("units", [0, -5])
def test_an_order_of_nothing_never_leaves(rail, zaprite, purchase, units):
    with pytest.raises(RailFailed):
        rail.create_checkout(purchase(units=units))
    assert zaprite.requests == []


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_answer_of_200_to_299_is_an_order(rail, zaprite, purchase, status):
    zaprite.says[CREATE] = lambda request: json_reply(zaprite.add(**request.json()), status)
    assert rail.create_checkout(purchase()).invoice_id == "od_0"


@pytest.mark.parametrize("status", [400, 402, 409, 422])
def test_a_refused_order_failed_for_certain_and_zaprites_words_stay_in_the_log(rail, zaprite, purchase, status):
    zaprite.says[CREATE] = refusal(status, "BAD_REQUEST", "no payment method for XYZ is connected")
    with structlog.testing.capture_logs() as logs, pytest.raises(RailFailed) as failure:
        rail.create_checkout(purchase())
    assert "XYZ" not in failure.value.message
    assert "XYZ" in str(logs)


@pytest.mark.parametrize("said", NO_ORDERS)
def test_after_an_answer_that_is_no_order_nobody_knows_whether_there_is_one(rail, zaprite, purchase, said):
    zaprite.says[CREATE] = said
    with pytest.raises(RailOutcomeUnknown):
        rail.create_checkout(purchase())
    assert len(zaprite.requests) == 1, "an order is never asked for twice"


@pytest.mark.parametrize("said", NO_ORDERS)
def test_a_look_that_shows_no_order_says_nothing_about_it(rail, zaprite, said):
    zaprite.says["GET /v1/orders/od_1"] = zaprite.says["GET /v1/orders/ord_1"] = said
    for look in (lambda: rail.fetch("od_1"), lambda: rail.find("ord_1")):
        with pytest.raises(RailUnavailable):
            look()


@pytest.mark.parametrize("said", [item for item in NO_ORDERS if item is not NO_ORDERS[0]])
def test_a_list_that_is_none_is_never_taken_for_an_empty_one(rail, zaprite, said):
    zaprite.says["GET /v1/orders"] = said
    with pytest.raises(RailUnavailable):
        list(rail.list_recent(SINCE))
    assert not rail.health().ok


def test_a_server_that_is_not_there_has_done_nothing(rail_for, purchase):
    rail = rail_for("http://127.0.0.1:9")
    for act in (lambda: rail.create_checkout(purchase()), lambda: rail.fetch("od_1"), lambda: rail.find("ord_1")):
        with pytest.raises(RailUnavailable):
            act()
    assert not rail.health().ok


def test_too_many_questions_are_asked_again_when_zaprite_says(rail, zaprite, purchase):
    busy = json_reply({"code": "TOO_MANY"}, 429, retry_after="17")
    zaprite.says |= {CREATE: busy, "GET /v1/orders/od_1": busy, "GET /v1/orders": busy}
    acts = [
        lambda: rail.create_checkout(purchase()),
        lambda: rail.fetch("od_1"),
        lambda: list(rail.list_recent(SINCE)),
    ]
    for act in acts:
        with pytest.raises(RailUnavailable) as failure:
            act()
        assert failure.value.retry_after == 17


def test_a_key_that_was_revoked_concludes_nothing_and_a_new_one_works(zaprite, rail_for, purchase):
    made = rail_for(zaprite.url).create_checkout(purchase())
    old = rail_for(zaprite.url, api_key="an-old-key-0123456")
    for act in (lambda: old.fetch(made.invoice_id), lambda: old.find("ord_1"), lambda: old.create_checkout(purchase())):
        with pytest.raises(RailUnavailable, match=r"plugins\.zaprite\.api_key") as failure:
            act()
        assert "an-old-key" not in failure.value.message
    assert "api_key" in old.health().detail
    assert rail_for(zaprite.url).fetch(made.invoice_id) == made


def test_without_a_key_it_is_off_says_so_and_asks_nobody(zaprite, rail_for, purchase):
    rail = rail_for(zaprite.url, api_key="")
    assert "plugins.zaprite.api_key" in rail.off()
    assert rail.health().detail == rail.off()
    for act in (lambda: rail.create_checkout(purchase()), lambda: rail.fetch("od_1")):
        with pytest.raises(RailUnavailable, match="api_key"):
            act()
    assert zaprite.requests == []


def test_with_a_key_it_is_on_and_healthy(rail, zaprite):
    assert rail.off() is None
    assert rail.health().ok
    (request,) = zaprite.requests
    assert request.path.startswith("/v1/orders?")
    assert "limit=1&" in request.path + "&"


def test_an_order_that_zaprite_does_not_have_is_none_for_certain(rail):
    assert rail.fetch("od_none") is None
    assert rail.find("ord_none") is None


def test_after_a_lost_answer_the_order_is_found_by_our_id(rail, zaprite, purchase):
    def lose(request):
        zaprite.add(**request.json())
        return HANG_UP

    zaprite.says[CREATE] = lose
    with pytest.raises(RailOutcomeUnknown):
        rail.create_checkout(purchase())
    found = rail.find("ord_1")
    assert (found.invoice_id, found.order_id, found.amount) == ("od_0", "ord_1", Money(1000, "USD"))
    assert found.checkout_url


def test_one_of_two_orders_with_our_id_is_found_and_both_are_told_apart(rail, zaprite):
    zaprite.add(externalUniqId="ord_1")
    zaprite.add(externalUniqId="ord_1")
    assert rail.find("ord_1").invoice_id in {"od_0", "od_1"}
    assert rail.dedup_key("od_0") != rail.dedup_key("od_1")


def test_another_order_than_was_asked_for_is_not_adopted(rail, zaprite):
    zaprite.says["GET /v1/orders/ord_1"] = json_reply(zaprite.add(externalUniqId="ord_2"))
    with pytest.raises(RailUnavailable):
        rail.find("ord_1")


def test_ids_are_one_part_of_the_path_whatever_is_in_them(rail, zaprite):
    for odd in ("a/../b", "a?status=PAID", "a#b", "a b", "ключ", "%2e%2e"):
        assert rail.fetch(odd) is None
    assert all(request.path.startswith("/v1/orders/") for request in zaprite.requests)
    assert all(set(request.path.removeprefix("/v1/orders/")).isdisjoint("/?# ") for request in zaprite.requests)


def test_a_checkout_that_leads_elsewhere_sends_nobody_there(rail, zaprite, purchase):
    zaprite.shown = {"checkoutUrl": "https://pay.zaprite.com.evil.example/order/od_0"}
    with pytest.raises(RailFailed):
        rail.create_checkout(purchase())
    assert rail.fetch("od_0").checkout_url == ""


def test_a_key_of_another_organisation_sells_nothing_and_shows_whose_it_is(zaprite, rail_for, purchase):
    rail = rail_for(zaprite.url, org_id="org_ours")
    assert rail.store == "org_ours"
    with pytest.raises(RailFailed, match=r"plugins\.zaprite\.org_id"):
        rail.create_checkout(purchase())
    assert rail.fetch("od_0").store == "org_1"
    assert "org_id" in rail.health().detail
    assert rail_for(zaprite.url, org_id="org_1").create_checkout(purchase()).store == "org_1"


@pytest.mark.parametrize("shape", [{}, {"totalAmount": None, "amount": 1000}, {"totalAmount": 1000, "amount": 1}])
def test_both_fields_of_the_amount_are_understood(rail, zaprite, purchase, shape):
    zaprite.shown = shape
    assert rail.create_checkout(purchase()).amount == Money(1000, "USD")


def test_an_order_without_an_amount_is_seen_without_one(rail, zaprite, purchase):
    zaprite.shown = {"totalAmount": None, "status": "PAID"}
    assert rail.create_checkout(purchase()).amount is None


def test_a_payment_that_was_on_its_way_when_the_time_was_over_still_settles(rail, zaprite, purchase, clock):
    made = rail.create_checkout(purchase())
    clock.now += timedelta(days=2)
    zaprite.shown = {"status": "PROCESSING"}
    assert rail.fetch(made.invoice_id).status == "processing"
    zaprite.shown = {"status": "PAID", "paidAt": "2026-09-03T12:00:00Z"}
    assert rail.fetch(made.invoice_id).status == "settled"


def test_a_part_payment_that_is_topped_up_settles(rail, zaprite, purchase, clock):
    made = rail.create_checkout(purchase())
    zaprite.shown = {"status": "UNDERPAID"}
    assert rail.fetch(made.invoice_id).status == "pending"
    clock.now += timedelta(hours=2)
    assert rail.fetch(made.invoice_id).status == "underpaid"
    zaprite.shown = {"status": "PAID"}
    assert rail.fetch(made.invoice_id).status == "settled"


def test_the_list_has_the_settled_orders_newest_first_from_all_pages(rail, zaprite):
    words = ["PAID", "PENDING", "COMPLETE", "OVERPAID", "PROCESSING"]
    for n in range(250):
        zaprite.add(externalUniqId=f"ord_{n}", status=words[n % 5])
    found = [snapshot.invoice_id for snapshot in rail.list_recent(SINCE)]
    assert found == [f"od_{n}" for n in reversed(range(250)) if n % 5 in {0, 2, 3}]
    assert len(zaprite.requests) == 3
    assert all("includePending=true" in request.path for request in zaprite.requests)


def test_the_list_ends_where_it_becomes_too_old(rail, zaprite):
    for n in range(250):
        made = SINCE + timedelta(minutes=n - 100)
        zaprite.add(externalUniqId=f"ord_{n}", status="PAID", createdAt=made.isoformat())
    assert [snapshot.invoice_id for snapshot in rail.list_recent(SINCE)] == [f"od_{n}" for n in range(249, 99, -1)]
    assert len(zaprite.requests) == 2


def test_an_order_that_slips_onto_the_next_page_is_listed_once(rail, zaprite):
    for n in range(150):
        zaprite.add(externalUniqId=f"ord_{n}", status="PAID")
    found = []
    for snapshot in rail.list_recent(SINCE):
        if not found:
            zaprite.add(externalUniqId="ord_new", status="PAID")
        found.append(snapshot.invoice_id)
    assert len(found) == len(set(found)) == 150


def test_a_list_that_never_ends_is_left_after_fifty_pages(rail, zaprite):
    def page(request):
        n = len(zaprite.requests)
        return json_reply({"items": [{"id": f"od_{n}", "status": "PAID", "createdAt": "2026-09-01T00:00:00Z"}]})

    zaprite.says["GET /v1/orders"] = page
    assert len(list(rail.list_recent(SINCE))) == 50


def test_a_list_that_repeats_itself_or_has_rubbish_in_it_ends(rail, zaprite):
    good = {"id": "od_1", "status": "PAID", "totalAmount": 5, "currency": "USD"}
    rubbish = [None, 7, [], {}, {"id": "od_2"}, {"status": "PAID"}]
    zaprite.says["GET /v1/orders"] = json_reply({"items": [*rubbish, good, good], "meta": None})
    assert [snapshot.invoice_id for snapshot in rail.list_recent(SINCE)] == ["od_1"]


def test_one_payment_is_credited_under_one_key(rail):
    assert rail.dedup_key("od_abc") == "zaprite:od_abc"
    assert rail.id_field == "orderId"


def test_the_operator_can_say_which_currencies_it_sells(zaprite, rail_for):
    assert rail_for(zaprite.url).currencies is None
    assert rail_for(zaprite.url, currencies=["USD", "SATS"]).currencies == frozenset({"USD", "SATS"})


def test_neither_the_key_nor_an_address_reaches_the_log(rail, zaprite, purchase, caplog):
    echo = f"you sent Bearer {KEY} for ann@example.com"
    zaprite.says[CREATE] = refusal(400, "BAD_REQUEST", echo)
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as logs, pytest.raises(RailFailed) as failure:
        rail.create_checkout(purchase(email="ann@example.com", save_card=True))
    for secret in (KEY, "ann@example.com"):
        assert secret not in str(logs) + caplog.text + failure.value.message


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": "https://user:pw@api.zaprite.com"}, "base_url"),
        ({"api_key": "k\nk"}, "api_key"),
        ({"webhook_token": "a/b"}, "webhook_token"),
        ({"webhook_token": "a\n"}, "webhook_token"),
        ({"paid_statuses": []}, "paid_statuses"),
        ({"paid_statuses": ["PAID", "PROCESSING"]}, "PROCESSING"),
        ({"currencies": ["usd"]}, "currencies"),
        ({"webhok_token": "x"}, "webhok_token"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(settings, named):
    with pytest.raises(ConfigError, match=named) as complaint:
        Plugin(Table(settings, "plugins.zaprite"))
    assert complaint.value.message.startswith("plugins.zaprite")
    assert "k\nk" not in complaint.value.message
