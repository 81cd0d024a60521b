"""The transition table of orders, over every combination of what a rail can say."""

from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.domain.money import Money, digits, money
from relay.domain.orders import STATES, Order, Rules, Seen, decide
from relay.ports.rails import Status

NOW = datetime(2026, 5, 1, tzinfo=UTC)
PRICE = money("5.00", "USD")
DOCUMENT = (Path(__file__).parents[2] / "docs" / "payments.md").read_text(encoding="utf-8")
AMOUNTS = [PRICE, money("4.99", "USD"), money("5.00", "EUR"), None]
RULES = [
    Rules(drift, late, marked) for drift, late, marked in product(("review", "grant"), (False, True), (False, True))
]


def order(state="pending", fulfilled=False, reversed_=False):
    made = Order("user:u", "package", "small", "x", 500, "USD", "r", NOW, "user:u 1", state=state)
    made.invoice, made.store = "r inv", "store"
    made.fulfilled_at = NOW if fulfilled else None
    made.reversed_at = NOW if reversed_ else None
    return made


def seen(status="settled", **fields):
    base = {
        "status": status,
        "word": "Word",
        "invoice_id": "inv",
        "order_id": "ord",
        "store": "store",
        "amount": PRICE,
        "paid": None,
        "marked": False,
        "refunded": False,
    }
    return Seen(**{**base, **fields})


EVERYTHING = list(
    product(
        STATES,
        get_args(Status),
        AMOUNTS,
        (False, True),
        RULES,
        ("inv", "other"),
        ("ord", None, "other"),
        ("store", "x"),
    )
)


def test_only_a_true_settlement_of_this_very_order_grants() -> None:
    for state, status, amount, marked, rules, invoice, ours, store in EVERYTHING:
        what = seen(status, amount=amount, marked=marked, invoice_id=invoice, order_id=ours, store=store)
        decision = decide(order(state), "ord", what, rules)
        may = (
            (status == "settled" or (status == "late" and rules.grant_late))
            and invoice == "inv"
            and ours in {"ord", None}
            and store == "store"
            and amount is not None
            and (amount == PRICE or (rules.on_amount_drift == "grant" and amount.currency == "USD"))
            and (not marked or rules.accept_marked)
        )
        assert (decision.act == "grant") == may
        assert decision.act != "reverse"
        assert decision.state == "settled" or not may
        if decision.reason:
            assert decision.state == "review"
            assert f"`{decision.reason}`" in DOCUMENT


def test_what_was_granted_moves_only_when_it_is_taken_back() -> None:
    for status, amount, marked, rules, invoice in product(
        get_args(Status), AMOUNTS, (False, True), RULES, ("inv", "x")
    ):
        for refunded in (False, True):
            what = seen(status, amount=amount, marked=marked, invoice_id=invoice, refunded=refunded)
            decision = decide(order("settled", fulfilled=True), "ord", what, rules)
            taken = invoice == "inv" and (status == "invalid" or refunded)
            assert decision.act == ("reverse" if taken else "nothing")
            assert decision.state == ("review" if taken else "settled")
            again = decide(order("review", fulfilled=True, reversed_=True), "ord", what, rules)
            assert again.act == "nothing"


def test_an_unknown_word_changes_nothing_and_is_told() -> None:
    for state in STATES:
        decision = decide(order(state), "ord", seen("unknown"), Rules())
        assert (decision.state, decision.act) == (state, "nothing")
        assert "Word" in decision.alert


@pytest.mark.parametrize(
    ("text", "currency", "units", "shown"),
    [
        ("5.00", "USD", 500, "5.00"),
        ("5", "USD", 500, "5.00"),
        ("0.1", "EUR", 10, "0.10"),
        ("700", "JPY", 700, "700"),
        ("21", "SATS", 21, "21"),
        ("0.00000021", "BTC", 21, "0.00000021"),
        ("1.234", "KWD", 1234, "1.234"),
        ("10.00", "SATS", 10, "10"),
    ],
)
def test_money_is_whole_units(text, currency, units, shown) -> None:
    assert money(text, currency) == Money(units, currency)
    assert money(text, currency).amount == shown


@pytest.mark.parametrize("text", ["0.001", "1e999", "NaN", "Infinity", "five", "", True])
def test_what_is_not_exactly_money_is_refused(text) -> None:
    with pytest.raises(ValueError, match=r"."):
        money(text, "USD")


@given(st.integers(0, 10**15), st.sampled_from(["USD", "JPY", "BTC", "SATS", "KWD"]))
def test_money_reads_back_what_it_shows(units, currency) -> None:
    assert money(Money(units, currency).amount, currency).units == units
    assert digits(currency) >= 0
