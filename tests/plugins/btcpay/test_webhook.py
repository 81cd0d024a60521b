"""Webhooks: who signed them, and what they say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay_btcpay.events import ACTS, check_signature, read_event, sign
from relay_btcpay.events import LATER_EVENTS as LATER

from relay.api import BadRequest, Delivery, Unauthenticated
from relay.testing.sandbox.btcpay import STORE
from tests.plugins.btcpay.conftest import SECRET

VECTOR = b'{"type":"InvoiceSettled"}'
DIGEST = "85bf69eececbeb4819c3ddf879f8bd6d46faf64d784b383cb7eb2dcfa5713064"
EVENT = {
    "deliveryId": "D2",
    "webhookId": "W1",
    "originalDeliveryId": "D1",
    "isRedelivery": True,
    "type": "InvoiceSettled",
    "timestamp": 1750000420,
    "storeId": STORE,
    "invoiceId": "8pTa1Jd4fQxB2",
    "metadata": {"orderId": "ord_7Q"},
    "manuallyMarked": False,
    "overPaid": False,
}


def signed(event, secret=SECRET):
    body = event if isinstance(event, bytes) else json.dumps(event, indent=2).encode()
    return Delivery(body, {"btcpay-sig": f"sha256={sign(secret, body).decode()}"})


def without(*names, **more):
    return {name: value for name, value in {**EVENT, **more}.items() if name not in names}


def test_the_known_vector_is_right():
    assert sign("s3cr3t", VECTOR).decode() == DIGEST
    check_signature(Delivery(VECTOR, {"btcpay-sig": f"sha256={DIGEST}"}), ["s3cr3t"])


@pytest.mark.parametrize("prefix", ["sha256", "SHA256", "Sha256"])
def test_the_prefix_may_be_in_any_case(prefix):
    check_signature(Delivery(VECTOR, {"btcpay-sig": f" {prefix}={DIGEST} "}), ["s3cr3t"])


@pytest.mark.parametrize(
    "header",
    [
        "",
        "sha256",
        "sha256=",
        DIGEST,
        f"sha1={DIGEST}",
        f"sha256={DIGEST.upper()}",
        f"sha256={DIGEST[:-1]}",
        f"sha256={DIGEST}0",
        f"sha256={DIGEST},sha256={DIGEST}",
        "sha256=é",
        "sha256=\udcff",
        f"sha256={'0' * 64}",
        f"sha256 {DIGEST}",
    ],
)
def test_any_other_signature_is_refused(header):
    with pytest.raises(Unauthenticated):
        check_signature(Delivery(VECTOR, {"btcpay-sig": header}), ["s3cr3t"])


def test_a_missing_signature_is_refused():
    with pytest.raises(Unauthenticated):
        check_signature(Delivery(VECTOR, {}), ["s3cr3t"])


@pytest.mark.parametrize("secrets", [[], [""], ["", ""]])
def test_without_a_secret_every_webhook_is_refused(secrets):
    with pytest.raises(Unauthenticated):
        check_signature(Delivery(VECTOR, {"btcpay-sig": f"sha256={sign('', VECTOR).decode()}"}), secrets)


def test_a_rail_without_a_secret_refuses_every_webhook(rail_for):
    rail = rail_for(url="http://127.0.0.1:9")
    for secret in ("", SECRET):
        with pytest.raises(Unauthenticated):
            rail.read_webhook(signed(EVENT, secret))


def test_the_bytes_count_and_not_what_they_mean(rail):
    delivery = signed(EVENT)
    assert rail.read_webhook(delivery).invoice_id == EVENT["invoiceId"]
    for body in (json.dumps(EVENT).encode(), delivery.body + b"\n", delivery.body.replace(b"  ", b" ")):
        assert json.loads(body) == EVENT
        with pytest.raises(Unauthenticated):
            rail.read_webhook(Delivery(body, delivery.headers))


def test_any_of_several_secrets_will_do():
    for secret in ("new", "old"):
        check_signature(signed(EVENT, secret), ["new", "old"])
    with pytest.raises(Unauthenticated):
        check_signature(signed(EVENT, "older"), ["new", "old"])


def test_what_an_event_says(rail):
    notice = rail.read_webhook(signed(EVENT))
    assert (notice.event, notice.invoice_id, notice.order_id) == ("InvoiceSettled", "8pTa1Jd4fQxB2", "ord_7Q")
    assert (notice.delivery, notice.acts, notice.signed) == ("D1", True, True)


@pytest.mark.parametrize(
    ("event", "delivery"),
    [
        (without("originalDeliveryId", orignalDeliveryId="D0"), "D0"),
        (without("originalDeliveryId"), "D2"),
        (without("originalDeliveryId", "deliveryId"), ""),
        (without(originalDeliveryId=None), "D2"),
    ],
)
def test_a_redelivery_has_the_name_of_the_first(rail, event, delivery):
    assert rail.read_webhook(signed(event)).delivery == delivery


@pytest.mark.parametrize("event", sorted(ACTS))
def test_what_tells_of_money_leads_to_a_look(rail, event):
    assert rail.read_webhook(signed(without(type=event))).acts


@pytest.mark.parametrize(
    "event", ["InvoiceCreated", "PayoutCreated", "SubscriberCreated", "", None, 7, "invoicesettled"]
)
def test_other_events_do_not_act(rail, event):
    assert not rail.read_webhook(signed(without(type=event))).acts


def test_old_and_new_shapes_are_read(rail):
    bare = without("metadata", "manuallyMarked", "overPaid", "isRedelivery", "storeId", "timestamp")
    notice = rail.read_webhook(signed(bare))
    assert (notice.invoice_id, notice.order_id, notice.acts) == ("8pTa1Jd4fQxB2", None, True)
    extra = rail.read_webhook(signed(without(metadata={"orderId": 7, "x": [1]}, unheard=[{"of": None}])))
    assert (extra.invoice_id, extra.order_id) == ("8pTa1Jd4fQxB2", None)


@pytest.mark.parametrize("invoice", [None, 7, "", "../x", "a b", "x" * 65, {"id": "x"}])
def test_an_odd_id_is_none(rail, invoice):
    assert rail.read_webhook(signed(without(invoiceId=invoice))).invoice_id is None


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'"x"', b"\xff", b"[" * 100_000])
def test_a_signed_body_that_is_no_object_is_unreadable(rail, body):
    with pytest.raises(BadRequest):
        rail.read_webhook(signed(body))


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))


@given(st.dictionaries(st.sampled_from([*EVENT, "orignalDeliveryId", "x"]), JSON))
def test_no_signed_object_makes_it_stumble(event):
    notice, _ = read_event(signed(event), [SECRET])
    assert notice.signed
    assert isinstance(notice.event, str)


def test_a_refund_is_remembered_because_only_its_event_tells(rail, btcpay):
    made = btcpay.create("5", "USD", {"orderId": "ord_1"})
    btcpay.pay(made["id"])
    assert not rail.fetch(made["id"]).refunded
    rail.read_webhook(signed(without(type="InvoiceRefund", invoiceId=made["id"], pullPaymentId="p")))
    for found in (rail.fetch(made["id"]), rail.find("ord_1")):
        assert (found.status, found.refunded) == ("settled", True)


def test_a_refund_of_another_store_is_not_ours(rail, btcpay):
    made = btcpay.create()
    rail.read_webhook(signed(without(type="InvoiceRefund", invoiceId=made["id"], storeId="Other")))
    assert not rail.fetch(made["id"]).refunded


def test_every_later_event_acts():
    assert set(LATER) <= ACTS
