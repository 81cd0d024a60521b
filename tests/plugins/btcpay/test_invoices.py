"""What an invoice asks for, and how BTCPay's words read."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay_btcpay.invoices import best, checkout_url, read_invoice, status_of, wish
from relay_btcpay.settings import Settings

from relay.api import Money, Purchase, RailFailed, money

SETTINGS = Settings(url="http://btcpay.internal:23000", public_url="https://pay.example")
INVOICE = {
    "id": "8pTa1Jd4fQxB2",
    "storeId": "9CiN",
    "amount": "5000",
    "paidAmount": "0",
    "currency": "SATS",
    "type": "Standard",
    "checkoutLink": "http://btcpay.internal:23000/i/8pTa1Jd4fQxB2",
    "createdTime": 1750000000,
    "expirationTime": 1750001800,
    "monitoringExpiration": 1750088200,
    "status": "New",
    "additionalStatus": "None",
    "metadata": {"orderId": "ord_7Q"},
}


def read(**changes):
    return read_invoice({**INVOICE, **changes}, "asked", SETTINGS)


def sell(amount, **more):
    return wish(Purchase("ord_1", amount, "20 credits", "https://relay.example/pay/t", 30, **more), SETTINGS)


def test_an_invoice_is_read_whole():
    found = read()
    assert (found.invoice_id, found.order_id, found.store) == ("8pTa1Jd4fQxB2", "ord_7Q", "9CiN")
    assert (found.amount, found.paid) == (Money(5000, "SATS"), Money(0, "SATS"))
    assert (found.status, found.word, found.marked, found.over) == ("pending", "New", False, False)
    assert found.checkout_url == "https://pay.example/i/8pTa1Jd4fQxB2"
    assert found.created_at == datetime(2025, 6, 15, 15, 6, 40, tzinfo=UTC)
    assert (found.expires_at - found.created_at).total_seconds() == 1800
    assert (found.monitored_until - found.expires_at).total_seconds() == 86400


@pytest.mark.parametrize(
    ("word", "more", "status"),
    [
        ("New", "None", "pending"),
        ("New", "PaidPartial", "pending"),
        ("New", "", "pending"),
        ("Processing", "None", "processing"),
        ("Processing", "PaidOver", "processing"),
        ("Paid", "None", "processing"),
        ("Settled", "None", "settled"),
        ("Settled", "PaidOver", "settled"),
        ("Settled", "Marked", "settled"),
        ("Settled", "", "settled"),
        ("Complete", "None", "settled"),
        ("Confirmed", "None", "settled"),
        ("Expired", "None", "expired"),
        ("Expired", "", "expired"),
        ("Expired", "PaidPartial", "underpaid"),
        ("Expired", "PaidLate", "late"),
        ("Expired", "PaidOver", "late"),
        ("Invalid", "None", "invalid"),
        ("Invalid", "Marked", "invalid"),
        ("Settled", "Refunded", "unknown"),
        ("Settled", "PaidPartial", "unknown"),
        ("Expired", "Frozen", "unknown"),
        ("Frozen", "None", "unknown"),
        ("settled", "None", "unknown"),
        ("", "", "unknown"),
    ],
)
def test_every_word_has_one_meaning(word, more, status):
    assert status_of(word, more) == status
    found = read(status=word, additionalStatus=more)
    assert found.status == status
    assert found.marked == (more == "Marked")
    assert found.over == (more == "PaidOver")
    assert found.word == (word if more in {"", "None"} else f"{word}/{more}")


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_other_word_grants(word, more):
    if status_of(word, more) in {"settled", "late"}:
        assert word in {"Settled", "Complete", "Confirmed", "Expired"}


@pytest.mark.parametrize(
    "said",
    [None, [], "x", 7, {}, {**INVOICE, "id": None}, {**INVOICE, "id": "a/b"}, {**INVOICE, "status": 1}, {"id": "a"}],
)
def test_what_is_no_invoice_is_none(said):
    assert read_invoice(said, "asked", SETTINGS) is None


def test_an_old_server_leaves_fields_out():
    bare = {"id": "a", "status": "New", "amount": 5, "currency": "usd"}
    found = read_invoice(bare, "asked", SETTINGS)
    assert (found.amount, found.paid, found.order_id, found.store) == (money("5", "USD"), None, None, "asked")
    assert found.checkout_url == "https://pay.example/i/a"
    assert (found.created_at, found.expires_at, found.monitored_until) == (None, None, None)


@pytest.mark.parametrize("amount", ["10", "10.0", "10.00", "10.000000", 10])
def test_one_amount_has_many_spellings(amount):
    assert read(amount=amount, currency="USD").amount == Money(1000, "USD")


@pytest.mark.parametrize(
    "amount",
    [None, True, "", "x", "-1", "1e3", "NaN", "Infinity", "0x1", "1_000", " 1", "1.001", "٣", "9" * 40, [], {"a": 1}],
)
def test_what_is_no_amount_cannot_be_granted(amount):
    assert read(amount=amount, currency="USD").amount is None


@pytest.mark.parametrize("instant", [None, True, "1750000000", 0, -1, 10**12, 1.5, []])
def test_what_is_no_instant_is_none(instant):
    assert read(expirationTime=instant).expires_at is None


CURRENCIES = st.sampled_from(["USD", "EUR", "JPY", "SATS", "BTC", "KWD", "LBTC"])


@given(st.integers(1, 10**13), CURRENCIES, st.sampled_from(["", "0", "000"]))
def test_an_amount_comes_back_as_it_went_out(units, currency, zeros):
    sent = sell(Money(units, currency))
    assert isinstance(sent["amount"], str)
    said = sent["amount"] + (zeros if "." in sent["amount"] else f".{zeros}" if zeros else "")
    assert read(amount=said, paidAmount=said, currency=sent["currency"]).amount == Money(units, currency)


@pytest.mark.parametrize("units", [0, -1, -500])
def test_an_amount_of_nothing_is_never_asked_for(units):
    with pytest.raises(RailFailed):
        sell(Money(units, "USD"))


def test_what_is_asked_leaves_nothing_to_the_stores_defaults():
    body = sell(Money(500, "USD"), email="b@example.com")
    assert (body["amount"], body["currency"]) == ("5.00", "USD")
    assert body["metadata"] == {"orderId": "ord_1", "itemDesc": "20 credits", "buyerEmail": "b@example.com"}
    assert body["checkout"] == {
        "speedPolicy": "MediumSpeed",
        "expirationMinutes": 30,
        "monitoringMinutes": 1440,
        "paymentTolerance": 0,
        "redirectURL": "https://relay.example/pay/t",
        "redirectAutomatically": True,
    }
    assert "buyerEmail" not in sell(Money(500, "USD"))["metadata"]


@pytest.mark.parametrize(
    ("url", "public_url", "link", "shown"),
    [
        ("http://in:1", "https://pay.example", "http://in:1/i/A", "https://pay.example/i/A"),
        ("http://in:1", "https://pay.example/", "http://other:9/i/A", "https://pay.example/i/A"),
        ("http://in:1", "https://pay.example/btcpay/", "http://in:1/i/A", "https://pay.example/btcpay/i/A"),
        ("http://in:1/btcpay", "https://pay.example/btcpay", "http://in/btcpay/i/A", "https://pay.example/btcpay/i/A"),
        ("http://in:1/btcpay/", "https://pay.example", "http://in/btcpay/i/A", "https://pay.example/i/A"),
        ("http://in:1/a", "https://pay.example/b", "http://in/a/i/A", "https://pay.example/b/i/A"),
        ("http://in:1/btcpay", "", "http://in:1/btcpay/i/A", "http://in:1/btcpay/i/A"),
        ("http://in:1", "http://abc.onion", "http://in:1/i/A?lang=en", "http://abc.onion/i/A?lang=en"),
        ("http://in:1", "https://pay.example", None, "https://pay.example/i/A"),
        ("http://in:1", "https://pay.example", "javascript:alert(1)", "https://pay.example/i/A"),
        ("http://in:1", "https://pay.example", "http://[broken", "https://pay.example/i/A"),
        ("http://in:1", "https://pay.example", "https://evil.example", "https://pay.example/i/A"),
        ("http://in:1", "https://pay.example", 7, "https://pay.example/i/A"),
    ],
)
def test_buyers_get_the_public_address(url, public_url, link, shown):
    assert checkout_url(link, "A", Settings(url=url, public_url=public_url)) == shown


def test_of_several_invoices_the_one_with_money_counts():
    dead, open_, paid = read(id="a", status="Expired"), read(id="b"), read(id="c", status="Settled")
    assert best([]) is None
    assert best([dead]).invoice_id == "a"
    assert best([dead, open_]).invoice_id == "b"
    assert best([dead, open_, paid]).invoice_id == "c"
    assert best([read(id="newer"), open_]).invoice_id == "newer", "BTCPay lists the newest first"
