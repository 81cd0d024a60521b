"""What Zaprite says of an order, in our words."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay_zaprite.orders import checkout_url, read_order, wire_currency
from relay_zaprite.settings import Settings
from relay_zaprite.words import GRACE

from relay.api import Money, money
from relay.domain.money import digits

NOW = datetime(2026, 9, 1, 12, 5, tzinfo=UTC)
END = datetime(2026, 9, 1, 12, 30, tzinfo=UTC)
ORDER = {
    "id": "od_abc",
    "checkoutUrl": "https://pay.zaprite.com/order/od_abc",
    "status": "PENDING",
    "totalAmount": 1000,
    "currency": "USD",
    "orgId": "org_1",
    "externalUniqId": "ord_7Q",
    "expiresAt": "2026-09-01T12:30:00.000Z",
    "createdAt": "2026-09-01T12:00:00.000Z",
    "transactions": [],
}


def read(now=NOW, settings=None, **changes):
    order = {name: value for name, value in {**ORDER, **changes}.items() if value != "absent"}
    return read_order(order, settings or Settings(), now)


def part(units, status="CONFIRMED", **more):
    return {"amount": 1, "status": status, "amountInOrderCurrency": units, "orderCurrency": "USD", **more}


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("PENDING", "pending"),
        ("PROCESSING", "processing"),
        ("PAID", "settled"),
        ("COMPLETE", "settled"),
        ("OVERPAID", "settled"),
        ("UNDERPAID", "pending"),
        ("ABANDONED", "expired"),
        ("EXPIRED", "expired"),
        ("CANCELLED", "invalid"),
        ("CANCELED", "invalid"),
        ("INVALID", "invalid"),
        ("REFUNDED", "unknown"),
        ("REFUNDED_PARTIAL", "unknown"),
        ("paid", "unknown"),
        (" PAID", "unknown"),
    ],
)
def test_every_word_of_zaprite_has_its_meaning(word, status):
    snapshot = read(status=word)
    assert (snapshot.status, snapshot.word) == (status, word)
    assert snapshot.over is (word == "OVERPAID")
    assert not snapshot.marked
    assert not snapshot.refunded


def test_the_fields_of_an_order_are_read():
    snapshot = read(contact={"id": "ct_1", "displayName": "Ann"})
    assert (snapshot.invoice_id, snapshot.order_id, snapshot.store) == ("od_abc", "ord_7Q", "org_1")
    assert snapshot.amount == Money(1000, "USD")
    assert snapshot.checkout_url == ORDER["checkoutUrl"]
    assert snapshot.created_at == END - timedelta(minutes=30)
    assert snapshot.expires_at == snapshot.monitored_until == END
    assert snapshot.contact == "ct_1"
    assert read(contactId="ct_2").contact == "ct_2"


def test_a_part_payment_waits_for_the_rest_until_the_end_and_a_grace():
    assert read(END + GRACE - timedelta(seconds=1), status="UNDERPAID").status == "pending"
    assert read(END + GRACE, status="UNDERPAID").status == "underpaid"


def test_a_part_payment_of_an_order_without_an_end_is_for_a_person_at_once():
    assert read(status="UNDERPAID", expiresAt=None).status == "underpaid"


@pytest.mark.parametrize(
    ("word", "status"), [("PENDING", "pending"), ("PROCESSING", "processing"), ("PAID", "settled")]
)
def test_nothing_else_is_concluded_from_the_time(word, status):
    assert read(END + timedelta(days=90), status=word).status == status


def test_the_operator_can_say_which_words_mean_paid():
    strict = Settings(paid_statuses=("COMPLETE", "PAID_OUT"))
    assert read(settings=strict, status="COMPLETE").status == "settled"
    assert read(settings=strict, status="PAID_OUT").status == "settled"
    assert read(settings=strict, status="PAID").status == "processing"


@pytest.mark.parametrize("word", ["PENDING", "PROCESSING", "UNDERPAID", "EXPIRED", "INVALID"])
def test_a_word_of_unpaid_orders_cannot_be_made_to_mean_paid(word):
    with pytest.raises(ValueError, match=word):
        Settings(paid_statuses=("PAID", word))


@pytest.mark.parametrize(
    ("fields", "units"),
    [
        ({"totalAmount": 1000}, 1000),
        ({"totalAmount": "absent", "amount": 900}, 900),
        ({"totalAmount": None, "amount": 900}, 900),
        ({"totalAmount": 1000, "amount": 900}, 1000),
        ({"totalAmount": 0, "amount": 900}, 0),
        ({"totalAmount": "absent"}, None),
        ({"totalAmount": "1000"}, None),
        ({"totalAmount": True}, None),
        ({"totalAmount": -1}, None),
        ({"totalAmount": 2**70}, None),
        ({"totalAmount": {"value": 1000}, "amount": 900}, None),
        ({"currency": "absent"}, None),
        ({"currency": 7}, None),
    ],
)
def test_what_is_asked_is_a_whole_number_or_not_known(fields, units):
    amount = read(**fields).amount
    assert (amount and amount.units) == units


def test_the_operator_can_say_where_the_amount_is():
    assert read(settings=Settings(amount_fields=("total", "amount")), total=7, amount=8).amount == Money(7, "USD")


@pytest.mark.parametrize("currency", ["JPY", "USD", "BTC", "LBTC"])
@given(units=st.integers(1, 21 * 10**14))
def test_an_amount_comes_back_as_it_was_sent(currency, units):
    """Smallest units both ways, whatever the currency's decimal places."""
    sold = Money(units, currency)
    assert money(sold.amount, currency) == sold
    assert sold.units == int(sold.amount.replace(".", "")), digits(currency)
    snapshot = read(totalAmount=sold.units, currency=wire_currency(currency), metadata={"currency": currency})
    assert snapshot.amount == sold


@given(units=st.integers(1, 21 * 10**14))
def test_sats_are_sold_as_the_smallest_unit_of_btc(units):
    assert wire_currency("SATS") == "BTC"
    for metadata in ({"currency": "SATS"}, {}, None, "absent", [], {"currency": "EUR"}):
        assert read(totalAmount=units, currency="BTC", metadata=metadata).amount == Money(units, "SATS")


def test_what_we_gave_along_changes_no_other_currency():
    assert read(currency="USD", metadata={"currency": "BTC"}).amount == Money(1000, "USD")


def test_what_has_arrived_is_the_sum_of_what_is_confirmed():
    parts = [part(600), part(700), part(5000, "CANCELED"), part(5000, "PENDING")]
    assert read(status="OVERPAID", transactions=parts).paid == Money(1300, "USD")


@pytest.mark.parametrize(
    "transactions",
    [
        "absent",
        None,
        [],
        {},
        [part(None)],
        [part("600")],
        [part(600), part(10.5)],
        [part(600, orderCurrency="EUR")],
        [{"status": "CONFIRMED", "amount": 600, "currency": "BTC"}],
    ],
)
def test_what_has_arrived_is_not_guessed(transactions):
    assert read(status="PAID", transactions=transactions).paid is None


def test_transactions_that_are_no_objects_count_for_nothing():
    assert read(transactions=[None, 7, "x", part(600)]).paid == Money(600, "USD")


def test_the_organisation_is_the_answers_own_and_else_the_one_that_is_set():
    ours = Settings(org_id="org_ours")
    assert read(settings=ours).store == "org_1"
    assert read(settings=ours, orgId="absent").store == "org_ours"
    assert read(orgId=None).store == ""


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"id": "od_1"},
        {"status": "PAID"},
        {"id": 7, "status": "PAID"},
        {"id": "a/b", "status": "PAID"},
        {"id": "od_1", "status": 7},
    ],
)
def test_what_has_no_id_or_no_status_is_no_order(order):
    assert read_order(order, Settings(), NOW) is None


@pytest.mark.parametrize("instant", ["yesterday", "", 7, None, "9999-99-99", "0001-01-01T00:00:00+14:00"])
def test_an_instant_that_cannot_be_read_is_none(instant):
    assert read(expiresAt=instant).expires_at is None


def test_an_instant_may_have_any_zone_or_none():
    for text in (
        "2026-09-01T12:30:00Z",
        "2026-09-01T14:30:00+02:00",
        "2026-09-01T12:30:00",
        "2026-09-01T12:30:00.999Z",
    ):
        assert read(expiresAt=text).expires_at == END


@pytest.mark.parametrize(
    "url",
    [
        "https://pay.zaprite.com/order/od_1",
        "https://pay.zaprite.com/order/odp_1?access=s3cret&x=1",
        "https://zaprite.com/o/1",
        "https://PAY.Zaprite.COM/order/od_1",
    ],
)
def test_a_buyer_is_sent_to_zaprite_with_the_link_whole(url):
    assert checkout_url(url, "https://api.zaprite.com") == url


@pytest.mark.parametrize(
    "url",
    [
        "http://pay.zaprite.com/order/od_1",
        "https://zaprite.com.evil.example/od_1",
        "https://evilzaprite.com/od_1",
        "https://zaprite.com@evil.example/od_1",
        "https://user:pw@pay.zaprite.com/od_1",
        "https://evil.example/zaprite.com",
        "https://evil.example#.zaprite.com",
        "https://evil.example\\.zaprite.com",
        "https://pay.zaprite.com\n.evil.example",
        "https://pay.zaprite.com/a b",
        "https://pay.zapr\u0131te.com/od_1",
        "https://[::1/od_1",
        "https://pay.zaprite.com:99999/od_1",
        "javascript:alert(1)//zaprite.com",
        "//pay.zaprite.com/od_1",
        "/order/od_1",
        "",
        None,
        7,
    ],
)
def test_a_buyer_is_sent_nowhere_else(url):
    assert checkout_url(url, "https://api.zaprite.com") == ""


def test_another_server_that_is_set_may_send_buyers_to_itself_alone():
    base = "http://127.0.0.1:9000/zaprite"
    assert checkout_url("http://127.0.0.1:9000/zaprite/pay/1", base)
    for url in ("http://127.0.0.1:9001/pay/1", "https://127.0.0.1:9000/pay/1", "http://localhost:9000/pay/1"):
        assert checkout_url(url, base) == ""


GARBAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.fixed_dictionaries(dict.fromkeys((*ORDER, "contact", "metadata", "amount"), GARBAGE)))
def test_no_answer_makes_it_raise(order):
    read_order(order, Settings(), NOW)
    snapshot = read_order({**order, "id": "od_1", "status": "PAID"}, Settings(), NOW)
    assert snapshot.amount is None or type(snapshot.amount.units) is int
