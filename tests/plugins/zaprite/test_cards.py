"""Cards that buyers chose to keep: offering it, finding them, charging them."""

from datetime import timedelta

import pytest

from relay.api import RailFailed, RailOutcomeUnknown, RailUnavailable, SavedCards
from tests.loopback import HANG_UP, json_reply, reply
from tests.plugins.zaprite.conftest import refusal

CHARGE = "POST /v1/orders/charge"


def profile(key, order_id, **more):
    return {"id": key, "method": "CARD", "sourceOrder": {"externalUniqId": order_id}, **more}


def offers(zaprite):
    return [request.json().get("allowSavePaymentProfile", False) for request in zaprite.asked("POST", "/v1/orders")]


def test_it_is_a_rail_with_saved_cards(rail):
    assert isinstance(rail, SavedCards)


def test_a_buyer_with_an_address_may_keep_the_card(rail, zaprite, purchase):
    made = rail.create_checkout(purchase(save_card=True, email="ann@example.com"))
    (contact,) = zaprite.asked("POST", "/v1/contacts")
    assert contact.json() == {"email": "ann@example.com", "legalName": "ann@example.com"}
    assert offers(zaprite) == [True]
    assert zaprite.asked("POST", "/v1/orders")[0].json()["contactId"] == made.contact == "ct_0"


@pytest.mark.parametrize("wish", [{"save_card": True}, {"email": "ann@example.com"}, {}])
def test_without_an_address_or_the_wish_no_card_is_kept(rail, zaprite, purchase, wish):
    rail.create_checkout(purchase(**wish))
    assert offers(zaprite) == [False]
    assert zaprite.contacts == {}


def test_a_contact_is_made_once_per_address_also_after_a_restart(zaprite, rail_for, purchase):
    for n, email in enumerate(["ann@example.com", "Ann@Example.com", "ben@example.com", "ann@example.com"]):
        rail_for(zaprite.url).create_checkout(purchase(order_id=f"ord_{n}", save_card=True, email=email))
    assert list(zaprite.contacts) == ["ct_0", "ct_1"]
    assert [request.json()["contactId"] for request in zaprite.asked("POST", "/v1/orders")] == [
        "ct_0",
        "ct_0",
        "ct_1",
        "ct_0",
    ]


def test_the_address_is_not_kept_in_a_form_that_can_be_read(rail, purchase):
    rail.create_checkout(purchase(save_card=True, email="ann@example.com"))
    rows = rail._contacts.space.read(lambda tx: tx.scan("", limit=10))
    assert len(rows) == 1
    assert "ann" not in str(rows)


@pytest.mark.parametrize(
    "said",
    [
        refusal(400, "BAD_REQUEST", "no"),
        reply(500),
        HANG_UP,
        json_reply({}),
        json_reply({"id": "a/b"}),
        json_reply(None),
    ],
)
def test_when_there_can_be_no_contact_the_order_is_made_without_a_card(rail, zaprite, purchase, said):
    zaprite.says["POST /v1/contacts"] = said
    made = rail.create_checkout(purchase(save_card=True, email="ann@example.com"))
    assert (made.status, made.contact) == ("pending", "")
    assert offers(zaprite) == [False]


def test_when_keeping_is_refused_the_order_is_made_without_it_and_the_contact_stays(rail, zaprite, purchase):
    def no_auto_pay(request):
        if "contactId" in request.json():
            return refusal(400, "BAD_REQUEST", "Auto-pay is not enabled")
        return json_reply(zaprite.add(**request.json()), 201)

    zaprite.says["POST /v1/orders"] = no_auto_pay
    for n in range(3):
        assert rail.create_checkout(purchase(order_id=f"ord_{n}", save_card=True, email="a@example.com")).contact == ""
    assert offers(zaprite) == [True, False] * 3
    assert len(zaprite.contacts) == 1, "contacts are not made in a loop"


def test_a_contact_that_vanished_is_forgotten_and_made_again_for_the_next_order(rail, zaprite, purchase):
    rail.create_checkout(purchase(save_card=True, email="ann@example.com"))
    zaprite.contacts = {"ct_other": {}}
    rail.create_checkout(purchase(order_id="ord_2", save_card=True, email="ann@example.com"))
    rail.create_checkout(purchase(order_id="ord_3", save_card=True, email="ann@example.com"))
    assert offers(zaprite) == [True, True, False, True]


def test_an_offer_whose_outcome_is_unknown_is_not_followed_by_another_order(rail, zaprite, purchase):
    zaprite.says["POST /v1/orders"] = reply(502)
    with pytest.raises(RailOutcomeUnknown):
        rail.create_checkout(purchase(save_card=True, email="ann@example.com"))
    assert len(offers(zaprite)) == 1


def test_a_card_that_appears_late_is_found_then(rail, zaprite):
    zaprite.contacts["ct_1"] = {"id": "ct_1", "paymentProfiles": []}
    assert rail.saved_card("ct_1", "ord_1") is None
    zaprite.contacts["ct_1"]["paymentProfiles"].append(profile("pp_1", "ord_1"))
    assert rail.saved_card("ct_1", "ord_1") == "pp_1"


def test_only_the_card_of_that_very_order_is_taken(rail, zaprite, clock):
    past = (clock.now - timedelta(days=1)).isoformat()
    zaprite.contacts["ct_1"] = {
        "paymentProfiles": [
            profile("pp_0", "ord_0"),
            profile("pp_old", "ord_1", expiresAt=past),
            None,
            {"id": "pp_x"},
            profile(7, None),
            profile("pp_1", "ord_1", expiresAt="2030-01-01T00:00:00Z"),
        ]
    }
    assert rail.saved_card("ct_1", "ord_1") == "pp_1"
    assert rail.saved_card("ct_1", "ord_2") is None


@pytest.mark.parametrize("profiles", [None, {}, "x", [None], [[]], [{"sourceOrder": None}], [profile(None, "ord_1")]])
def test_a_contact_without_cards_has_none(rail, zaprite, profiles):
    zaprite.contacts["ct_1"] = {"id": "ct_1", "paymentProfiles": profiles}
    assert rail.saved_card("ct_1", "ord_1") is None


def test_no_contact_has_no_card(rail, zaprite):
    assert rail.saved_card("", "ord_1") is None
    assert zaprite.requests == []
    assert rail.saved_card("ct_gone", "ord_1") is None


def test_a_contact_that_cannot_be_read_says_nothing(rail, zaprite):
    for said in (reply(502), json_reply([]), json_reply(None), reply(200, b"<html>")):
        zaprite.says["GET /v1/contacts/ct_1"] = said
        with pytest.raises(RailUnavailable):
            rail.saved_card("ct_1", "ord_1")


@pytest.fixture
def due(rail, purchase):
    """The id of an order that waits for its payment."""
    return rail.create_checkout(purchase()).invoice_id


@pytest.mark.parametrize("word", ["PAID", "COMPLETE", "OVERPAID"])
def test_a_charge_is_a_payment_when_the_order_says_so(rail, zaprite, due, word):
    zaprite.shown = {"status": word}
    assert rail.charge(due, "pp_1").status == "settled"
    assert zaprite.asked("POST", "/v1/orders/charge")[0].json() == {"orderId": due, "paymentProfileId": "pp_1"}


@pytest.mark.parametrize(
    ("word", "status"),
    [("PROCESSING", "processing"), ("PENDING", "pending"), ("UNDERPAID", "pending"), ("NEW", "unknown")],
)
def test_a_charge_that_was_accepted_is_not_a_payment_yet(rail, zaprite, due, word, status):
    zaprite.shown = {"status": word}
    assert rail.charge(due, "pp_1").status == status


def test_what_the_charge_itself_claims_is_not_believed(rail, zaprite, due):
    zaprite.says[CHARGE] = json_reply({"id": due, "status": "PAID"})
    assert rail.charge(due, "pp_1").status == "pending"


def test_an_empty_answer_to_a_charge_is_looked_up(rail, zaprite, due):
    zaprite.says[CHARGE] = reply(204)
    zaprite.shown = {"status": "PAID"}
    assert rail.charge(due, "pp_1").status == "settled"


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (402, "Your card was declined", "card_declined"),
        (402, "the payment profile has no money", "card_declined"),
        (400, "insufficient funds", "card_declined"),
        (409, "no", "card_declined"),
        (400, "the payment profile's card was declined", "card_declined"),
        (404, "Not found", "card_gone"),
        (400, "Payment profile expired", "card_gone"),
        (400, "paymentProfileId is not valid", "card_gone"),
    ],
)
def test_a_refused_charge_says_whether_the_card_is_gone(rail, zaprite, due, status, message, code):
    zaprite.says[CHARGE] = refusal(status, "BAD_REQUEST", message)
    with pytest.raises(RailFailed) as failure:
        rail.charge(due, "pp_1")
    assert failure.value.code == code


def test_a_refused_charge_of_an_order_that_was_paid_meanwhile_is_no_decline(rail, zaprite, due):
    zaprite.says[CHARGE] = refusal(400, "BAD_REQUEST", "order is already paid")
    for word, status in (("PAID", "settled"), ("PROCESSING", "processing")):
        zaprite.shown = {"status": word}
        assert rail.charge(due, "pp_1").status == status


@pytest.mark.parametrize("said", [reply(500), reply(502, b"<html>"), HANG_UP, reply(200, b"<html>"), reply(200, b"{")])
def test_after_a_lost_charge_only_a_look_at_the_order_can_tell(rail, zaprite, due, said):
    zaprite.says[CHARGE] = said
    with pytest.raises(RailOutcomeUnknown):
        rail.charge(due, "pp_1")
    assert len(zaprite.asked("POST", "/v1/orders/charge")) == 1
    zaprite.shown = {"status": "PAID"}
    assert rail.fetch(due).status == "settled"


@pytest.mark.parametrize("said", [reply(502), json_reply([]), refusal(404, "NOT_FOUND", "x"), reply(429)])
def test_an_accepted_charge_that_cannot_be_looked_up_is_unknown(rail, zaprite, due, said):
    zaprite.says[CHARGE] = json_reply({"id": due, "status": "PAID"})
    zaprite.says[f"GET /v1/orders/{due}"] = said
    with pytest.raises(RailOutcomeUnknown):
        rail.charge(due, "pp_1")


def test_a_charge_for_an_order_that_is_not_there_says_nothing_about_the_card(rail, zaprite):
    zaprite.says[CHARGE] = refusal(404, "NOT_FOUND", "Order not found")
    with pytest.raises(RailFailed) as failure:
        rail.charge("od_none", "pp_1")
    assert failure.value.code not in {"card_gone", "card_declined"}


def test_a_charge_that_comes_too_soon_or_with_an_old_key_did_nothing(zaprite, rail_for, rail, due):
    zaprite.says[CHARGE] = json_reply({}, 429, retry_after="9")
    with pytest.raises(RailUnavailable) as failure:
        rail.charge(due, "pp_1")
    assert failure.value.retry_after == 9
    del zaprite.says[CHARGE]
    with pytest.raises(RailUnavailable, match="api_key"):
        rail_for(zaprite.url, api_key="an-old-key-0123456").charge(due, "pp_1")
