"""Discount codes: how a name is read, what is left to pay, and when a code may be used."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.domain.discounts import MAX_TYPED, NAME, Code, normalised, price_after, refusal
from relay.domain.money import Money, money

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIVE = money("5.00", "USD")
KINDS = ("percent", "fixed", "set_price", "free")


def code(kind="percent", value=2500, **more) -> Code:
    return Code(kind, NOW, value, **more)


@pytest.mark.parametrize(
    "typed",
    [
        "SPRING-26",
        "spring-26",
        "  Spring-26\n",
        "\u2003spring-26\u00a0",
        "".join(chr(ord(c) + 0xFEE0) for c in "spring-26"),
    ],
)
def test_letter_case_spaces_around_and_the_width_of_letters_do_not_matter(typed):
    assert normalised(typed) == "SPRING-26"


@pytest.mark.parametrize(
    "typed",
    [
        "SPR\u0406NG",  # a Cyrillic letter that looks like I
        "spr\u0131ng",  # the dotless i, whose upper case is our I
        "\u0391BC",  # a Greek alpha
        "STRA\u00dfE",  # whose upper case is SS
        "AB",
        "A" * 41,
        "A B C",
        "AB\u200bC",
        "SPRING!",
        "",
        "-\u0301--",
        "A" * MAX_TYPED + "BCD",
        "\ufdfa" * MAX_TYPED,  # one character that unfolds into eighteen
    ],
)
def test_look_alikes_and_what_cannot_be_a_code_are_refused(typed):
    assert normalised(typed) is None


@given(st.text(max_size=60))
def test_whatever_is_typed_becomes_a_plain_name_or_nothing_and_stays_so(typed):
    name = normalised(typed)
    assert name is None or (NAME.fullmatch(name) and name.isascii() and name == name.upper() == normalised(name))


@pytest.mark.parametrize(
    ("used", "left"),
    [
        (code("percent", 2500), "3.75"),
        (code("percent", 1), "5.00"),  # a twentieth of a cent off: rounded down to nothing
        (code("percent", 3333), "3.34"),  # 166.65 cents off: 166
        (code("percent", 10_000), "0.00"),
        (code("fixed", 150, currency="USD"), "3.50"),
        (code("fixed", 700, currency="USD"), "0.00"),
        (code("set_price", 300, currency="USD"), "3.00"),
        (code("set_price", 900, currency="USD"), "5.00"),  # a discount never makes it dearer
        (code("free", 0), "0.00"),
    ],
)
def test_what_is_left_to_pay(used, left):
    assert price_after(used, FIVE) == money(left, "USD")


def test_currencies_without_and_with_many_digits_are_whole_numbers_too():
    assert price_after(code("percent", 5000), Money(501, "JPY")) == Money(251, "JPY")
    assert price_after(code("percent", 1250), Money(100_000_001, "BTC")) == Money(87_500_001, "BTC")


@given(st.sampled_from(KINDS), st.integers(0, 10_000), st.integers(0, 2**60))
def test_a_price_never_rises_and_never_falls_below_nothing(kind, value, units):
    left = price_after(code(kind, value, currency="USD"), Money(units, "USD"))
    assert type(left.units) is int
    assert 0 <= left.units <= units
    assert left.currency == "USD"


@given(st.integers(1, 10_000), st.integers(0, 2**60))
def test_percent_is_exact_to_the_unit(value, units):
    off = units - price_after(code("percent", value), Money(units, "USD")).units
    assert off * 10_000 <= units * value < (off + 1) * 10_000


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("used", "product", "reason"),
    [
        (code(), "package:small", None),
        (code(active=False), "package:small", "disabled"),
        (code(active=False, expires_at=NOW - DAY), "package:small", "disabled"),
        (code(expires_at=NOW), "package:small", "expired"),
        (code(expires_at=NOW + DAY), "package:small", None),
        (code(starts_at=NOW + DAY), "package:small", "not_yet"),
        (code(starts_at=NOW), "package:small", None),
        (code(products=("big",)), "package:small", "wrong_product"),
        (code(products=("small",)), "package:small", None),
        (code(products=("small",)), "tier:small", "wrong_product"),
        (code(tiers=("pro",)), "tier:pro", None),
        (code(tiers=("pro",)), "renewal:pro", None),
        (code(tiers=("pro",)), "package:pro", "wrong_product"),
        (code(products=("small",), tiers=("pro",)), "tier:pro", None),
        (code("fixed", 100, currency="EUR"), "package:small", "wrong_currency"),
        (code("percent", 100, currency="EUR"), "package:small", "wrong_currency"),
        (code(max_uses=3, used=1, reserved=1), "package:small", None),
        (code(max_uses=3, used=2, reserved=1), "package:small", "exhausted"),
        (code(max_uses=3, used=4, over_used=1), "package:small", "exhausted"),
    ],
)
def test_when_a_code_may_be_used(used, product, reason):
    assert refusal(used, product, FIVE, NOW) == reason
