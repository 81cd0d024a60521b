"""What every payment rail must pass. Inherit the class in a test and give its fixtures, with the service at work.

The fixtures that need a service which misbehaves on demand are optional; without one its cases are skipped.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from relay.domain.money import money
from relay.errors import CallerError, RailError, RailFailed, RailOutcomeUnknown, RailUnavailable
from relay.ports.rails import Connectable, Delivery, Purchase, Rail, SavedCards, Snapshot

PRICES = (("5.00", "USD"), ("0.01", "EUR"), ("500", "JPY"), ("21000", "SATS"), ("0.00012345", "BTC"))
ODD_IDS = ("", ".", "..", "../api-keys", "a/b", "a?b=c", "a b", "é", "\x00", "x" * 10_000)
ODD_BODIES = (b"", b"null", b"[]", b"{}", b'"text"', b"{", b"\xff\xfe", b'{"type": 7, "id": {}}', b"[" * 100_000)
Settle = Callable[[str], object]
"""Given an invoice's id: the buyer pays, and the payment is final."""
Tell = Callable[[str], Delivery]
"""Given an invoice's id: the webhook by which the service tells of its payment."""
Broken = Callable[[], AbstractContextManager[object]]
"""Inside the context the service misbehaves."""


def purchase(price: str = "5.00", currency: str = "USD") -> Purchase:
    order_id = f"ord_{secrets.token_hex(16)}"
    return Purchase(order_id, money(price, currency), "20 credits", "https://relay.example/pay/token", minutes=30)


class RailConformance:
    @pytest.fixture
    def rail(self) -> Rail:
        raise NotImplementedError("give a fixture `rail`: the object under test, connected to its service")

    @pytest.fixture
    def settle(self) -> Settle:
        raise NotImplementedError("give a fixture `settle`: pays an invoice at the service, given its id")

    @pytest.fixture
    def tell(self) -> Tell:
        raise NotImplementedError("give a fixture `tell`: the service's webhook for a paid invoice, given its id")

    @pytest.fixture
    def down(self) -> Broken:
        pytest.skip("this service cannot be switched off")

    @pytest.fixture
    def losing_answers(self) -> Broken:
        """Inside, the service does what it is asked and hangs up without a word."""
        pytest.skip("this service cannot lose answers")

    @pytest.fixture
    def refusing_the_key(self) -> Broken:
        pytest.skip("this service cannot refuse the key")

    @pytest.fixture
    def credentials(self) -> tuple[str, ...]:
        """What no log and no message may hold."""
        return ()

    @pytest.fixture
    def sold(self, rail: Rail) -> Snapshot:
        return rail.create_checkout(purchase(*price_of(rail)))

    def test_it_says_what_it_is(self, rail: Rail) -> None:
        assert rail.name.islower()
        assert rail.currencies is None or all(currency.isupper() for currency in rail.currencies)
        assert rail.id_field
        assert isinstance(rail.store, str)
        assert rail.off() is None
        for kind in (SavedCards, Connectable):
            assert isinstance(rail, kind) in {True, False}

    def test_it_is_healthy_while_its_service_works(self, rail: Rail) -> None:
        health = rail.health()
        assert health.ok, health.detail

    def test_a_checkout_is_ours_unpaid_and_has_a_page_for_the_buyer(self, rail: Rail) -> None:
        wish = purchase(*price_of(rail))
        made = rail.create_checkout(wish)
        assert made.invoice_id
        assert made.order_id == wish.order_id
        assert made.amount == wish.amount
        assert made.status == "pending"
        assert made.checkout_url.startswith(("http://", "https://"))
        assert made.store == rail.store or not rail.store
        assert made.expires_at is None or made.expires_at.tzinfo is not None

    @pytest.mark.parametrize(("price", "currency"), PRICES)
    def test_the_amount_arrives_to_the_last_unit(self, rail: Rail, price: str, currency: str) -> None:
        if rail.currencies is not None and currency not in rail.currencies:
            pytest.skip(f"this rail does not sell in {currency}")
        wish = purchase(price, currency)
        made = rail.create_checkout(wish)
        assert made.amount == wish.amount
        again = rail.fetch(made.invoice_id)
        assert again is not None
        assert again.amount == wish.amount

    @pytest.mark.parametrize("price", ["0", "-1"])
    def test_nothing_is_sold_for_nothing(self, rail: Rail, price: str) -> None:
        wish = purchase(price, price_of(rail)[1])
        with pytest.raises(RailFailed):
            rail.create_checkout(wish)
        assert rail.find(wish.order_id) is None

    def test_an_invoice_is_found_by_its_id_and_by_ours(self, rail: Rail, sold: Snapshot) -> None:
        assert sold.order_id is not None
        for found in (rail.fetch(sold.invoice_id), rail.find(sold.order_id)):
            assert found is not None
            assert (found.invoice_id, found.order_id, found.amount) == (sold.invoice_id, sold.order_id, sold.amount)
            assert found.status == "pending"

    def test_what_is_not_there_is_none(self, rail: Rail) -> None:
        assert rail.fetch("NoSuchInvoice0000000000") is None
        assert rail.find(f"ord_{secrets.token_hex(16)}") is None

    @pytest.mark.parametrize("odd", ODD_IDS)
    @pytest.mark.usefixtures("sold")
    def test_an_odd_id_reaches_nothing_else(self, rail: Rail, odd: str) -> None:
        with suppress(RailError):
            assert rail.fetch(odd) is None
        with suppress(RailError):
            assert rail.find(odd) is None

    def test_a_payment_is_seen_however_one_looks(self, rail: Rail, sold: Snapshot, settle: Settle) -> None:
        settle(sold.invoice_id)
        assert sold.order_id is not None
        recent = list(rail.list_recent(datetime.now(UTC) - timedelta(days=1)))
        listed = next((found for found in recent if found.invoice_id == sold.invoice_id), None)
        for found in (rail.fetch(sold.invoice_id), rail.find(sold.order_id), listed):
            assert found is not None
            assert (found.status, found.order_id, found.amount) == ("settled", sold.order_id, sold.amount)
            assert not found.marked
            assert found.store == sold.store
        assert rail.dedup_key(sold.invoice_id) == rail.dedup_key(sold.invoice_id)

    def test_every_invoice_has_a_key_of_its_own(self, rail: Rail) -> None:
        assert len({rail.dedup_key(f"invoice{n}") for n in range(10)}) == 10

    def test_only_what_is_paid_is_listed_as_recent(self, rail: Rail, sold: Snapshot) -> None:
        recent = list(rail.list_recent(datetime.now(UTC) - timedelta(days=1)))
        assert sold.invoice_id not in [found.invoice_id for found in recent]
        assert all(found.status == "settled" for found in recent)

    def test_nothing_is_more_recent_than_tomorrow(self, rail: Rail, sold: Snapshot, settle: Settle) -> None:
        settle(sold.invoice_id)
        assert list(rail.list_recent(datetime.now(UTC) + timedelta(days=1))) == []

    def test_the_services_webhook_leads_to_the_invoice(
        self, rail: Rail, sold: Snapshot, settle: Settle, tell: Tell
    ) -> None:
        settle(sold.invoice_id)
        notice = rail.read_webhook(tell(sold.invoice_id))
        assert notice.acts
        assert notice.invoice_id == sold.invoice_id or notice.order_id == sold.order_id
        assert rail.read_webhook(tell(sold.invoice_id)).invoice_id == notice.invoice_id, "once more is no harm"

    def test_a_forged_webhook_is_refused_or_known_as_unsigned(self, rail: Rail, sold: Snapshot, tell: Tell) -> None:
        genuine = tell(sold.invoice_id)
        for body, headers, token in (
            (genuine.body + b" ", genuine.headers, ""),
            (genuine.body, {}, "guess"),
            (genuine.body, dict.fromkeys(genuine.headers, "é"), genuine.token[:-1]),
        ):
            with suppress(CallerError):
                assert not rail.read_webhook(Delivery(body, headers, token)).signed

    @pytest.mark.parametrize("body", ODD_BODIES)
    def test_an_unreadable_webhook_is_the_senders_mistake(
        self, rail: Rail, sold: Snapshot, tell: Tell, body: bytes
    ) -> None:
        genuine = tell(sold.invoice_id)
        with suppress(CallerError):
            rail.read_webhook(Delivery(body, genuine.headers, genuine.token))

    def test_nothing_happens_while_the_service_is_down(self, rail: Rail, sold: Snapshot, down: Broken) -> None:
        with down():
            assert not rail.health().ok
            for ask in (
                lambda: rail.create_checkout(purchase(*price_of(rail))),
                lambda: rail.fetch(sold.invoice_id),
                lambda: rail.find("ord_1"),
                lambda: list(rail.list_recent(datetime.now(UTC))),
            ):
                with pytest.raises(RailUnavailable):
                    ask()
        assert rail.fetch(sold.invoice_id) is not None

    def test_an_invoice_whose_answer_was_lost_is_found_by_our_id(self, rail: Rail, losing_answers: Broken) -> None:
        wish = purchase(*price_of(rail))
        with losing_answers(), pytest.raises(RailOutcomeUnknown):
            rail.create_checkout(wish)
        found = rail.find(wish.order_id)
        assert found is not None
        assert (found.order_id, found.amount, found.status) == (wish.order_id, wish.amount, "pending")

    def test_a_read_whose_answer_was_lost_is_no_answer(
        self, rail: Rail, sold: Snapshot, losing_answers: Broken
    ) -> None:
        with losing_answers(), pytest.raises(RailUnavailable):
            rail.fetch(sold.invoice_id)

    def test_a_refused_key_is_never_taken_for_an_answer(
        self, rail: Rail, sold: Snapshot, refusing_the_key: Broken, credentials: tuple[str, ...]
    ) -> None:
        assert sold.order_id is not None
        order_id = sold.order_id
        with refusing_the_key(), capture_logs() as logs:
            health = rail.health()
            messages = [
                health.detail,
                raised(RailUnavailable, lambda: rail.fetch(sold.invoice_id)),
                raised(RailUnavailable, lambda: rail.find(order_id)),
                raised((RailUnavailable, RailFailed), lambda: rail.create_checkout(purchase(*price_of(rail)))),
            ]
        assert not health.ok
        assert not [secret for secret in credentials if secret in f"{logs}{messages}"]

    def test_it_closes_twice(self, rail: Rail) -> None:
        rail.close()
        rail.close()
        assert isinstance(rail.health().ok, bool)


def raised(kinds: type[RailError] | tuple[type[RailError], ...], ask: Callable[[], object]) -> str:
    """The message of the error that must come."""
    with pytest.raises(kinds) as failure:
        ask()
    return str(failure.value.message)


def price_of(rail: Rail) -> tuple[str, str]:
    """A price the rail can be asked for."""
    prices: Mapping[str, str] = {currency: price for price, currency in PRICES}
    currency = next((c for c in prices if rail.currencies is None or c in rail.currencies), None)
    if currency is None:
        pytest.skip(f"this rail sells in none of {', '.join(prices)}")
    return prices[currency], currency
