"""A webhook is an unsigned hint: which order to look at, and no more."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay_zaprite.webhook import MAX_BODY_BYTES, read_webhook

from relay.api import BadRequest, Delivery, NotFound, Notice

TOKEN = "3q2-7wvZk1TnYh0uPa_sLg"


def read(body, token="", wanted=None):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_webhook(Delivery(raw, {"content-type": "application/json"}, token), wanted)


@pytest.mark.parametrize(
    ("body", "invoice", "event"),
    [
        ({"eventType": "order.change", "orderId": "od_abc", "orgId": "org_1"}, "od_abc", "order.change"),
        ({"event": "order.change", "data": {"id": "od_abc", "status": "PAID"}}, "od_abc", "order.change"),
        ({"type": "order.paid", "data": {"orderId": "odp_abc"}}, "odp_abc", "order.paid"),
        ({"name": "anything.else", "data": {"object": {"id": "od_abc"}}}, "od_abc", "anything.else"),
        ({"id": "od_abc"}, "od_abc", ""),
        ({"id": "evt_1", "data": {"object": {"id": "od_abc"}}}, "od_abc", ""),
        ({"orderId": "od_first", "data": {"id": "od_second"}, "id": "od_third"}, "od_first", ""),
        (
            {"event": 7, "eventType": "", "type": ["x"], "name": "order.change", "id": "od_abc"},
            "od_abc",
            "order.change",
        ),
        ({"data": {"id": "od_1", "orderId": "od_2", "object": {"id": "od_3"}}, "id": "od_4"}, "od_1", ""),
        ({"data": {"orderId": "od_2", "object": {"id": "od_3"}}, "id": "od_4"}, "od_2", ""),
        ({"orderId": 7, "data": [], "id": "od_abc"}, "od_abc", ""),
        ({"orderId": "a/b", "data": {"id": "..", "orderId": " "}, "id": "od_abc"}, "od_abc", ""),
        ({"orderId": "x" * 129, "id": "y" * 128}, "y" * 128, ""),
        ({"event": "order.change"}, None, "order.change"),
        ({"event": "order.change", "data": None, "orderId": None, "id": {}}, None, "order.change"),
        ({}, None, ""),
    ],
)
def test_the_first_thing_that_can_be_an_id_is_the_order_to_look_at(body, invoice, event):
    assert read(body) == Notice(event, invoice)


def test_our_own_id_in_a_body_is_a_hint_that_nobody_signed():
    notice = read({"event": "order.change", "data": {"id": "od_1", "externalUniqId": "ord_1", "status": "PAID"}})
    assert (notice.order_id, notice.signed, notice.delivery) == ("ord_1", False, "")


def test_a_long_event_name_is_cut():
    assert read({"event": "x" * 500, "id": "od_1"}).event == "x" * 64


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "ключ", "\udc80"])
def test_a_wrong_or_missing_token_finds_nothing_there(token):
    with pytest.raises(NotFound) as refusal:
        read({"id": "od_1"}, token, TOKEN)
    assert TOKEN not in refusal.value.message


def test_the_right_token_is_let_in_and_without_one_set_any_path_is():
    assert read({"id": "od_1"}, TOKEN, TOKEN).invoice_id == "od_1"
    assert read({"id": "od_1"}, "anything").invoice_id == "od_1"


def test_the_token_is_looked_at_before_the_body():
    with pytest.raises(NotFound):
        read(b"{", "wrong", TOKEN)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b"7", b'"od_1"', b"<html>", b"\xff\xfe", b'{"id": "\xff"}', b"[" * 60_000]
)
def test_a_body_that_is_no_object_cannot_be_read(body):
    with pytest.raises(BadRequest):
        read(body)


def test_a_body_may_have_64_kib_and_not_a_byte_more():
    body = json.dumps({"id": "od_1"}).encode()
    assert read(body.ljust(MAX_BODY_BYTES)).invoice_id == "od_1"
    with pytest.raises(BadRequest, match="64 KiB"):
        read(body.ljust(MAX_BODY_BYTES + 1))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=200),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["id", "data", "orderId", "object", "event"]), inner)
    ),
)


@given(st.dictionaries(st.sampled_from(["id", "data", "orderId", "object", "event", "externalUniqId"]), JSON))
def test_no_body_makes_it_raise_or_name_what_is_no_id(body):
    notice = read(body)
    for found in (notice.invoice_id, notice.order_id):
        assert found is None or (0 < len(found) <= 128 and "/" not in found and found.isprintable())
