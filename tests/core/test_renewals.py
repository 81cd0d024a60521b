"""Renewals on real books with a rail that does what a test tells it, and a clock that tests turn."""

import json
import threading
from datetime import timedelta

import pytest

from relay.books import accounts, orders, subscriptions
from relay.domain.orders import Order, Rules
from relay.domain.subscriptions import BACK_OFF, RenewalRules
from relay.errors import NotFound, RailFailed, RailOutcomeUnknown, RailUnavailable
from relay.services.checks import Checks
from relay.services.discounts import Discounts
from relay.services.events import Events
from relay.services.outbox import Outbox
from relay.services.renewals import Renewals
from relay.services.renewing import Renewing
from relay.services.settle import Settlement
from relay.settings import EventSettings, Settings
from tests.core.books import Books
from tests.flows.fake_rail import FakeRail
from tests.flows.live import at_once

WHO = "user:ann"
SETTINGS = Settings(events=EventSettings(url="http://127.0.0.1:9/events", secret="a-secret-of-16-characters"))
RULES = RenewalRules()


class CardRail(FakeRail):
    """A rail that keeps cards. `card`: what is kept; `outcome`: an exception a charge raises, or "paid",
    "processing", "nothing". `late`: the charge happens although its answer is lost."""

    def __init__(self):
        super().__init__("fake")
        self.card = "pp_1"
        self.outcome = "paid"
        self.late = False
        self.charged = []
        self.hook = lambda: None

    def saved_card(self, contact, order_id):
        self._call("saved_card")
        return self.card if (contact, order_id) == ("ct_1", "ord_first") else None

    def charge(self, invoice_id, card):
        self._call("charge")
        self.charged.append((invoice_id, card))
        self.hook()
        if self.outcome == "paid" or self.late:
            self.pay(invoice_id)
        if self.outcome == "processing":
            self.change(invoice_id, status="processing", word="PROCESSING")
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.invoices[invoice_id]


class Shop(Books):
    """Ann bought pro for 30 days at the start, and kept her card unless `card` is False."""

    def __init__(self, rail, *, card=True):
        super().__init__()
        self.rail = rail
        self.rails = {rail.name: rail}
        self.settings = SETTINGS
        self.checks = None
        self.boot()
        order = Order(WHO, "tier", "pro", "tier pro", 500, "USD", "fake", self.now, "user:ann 1")
        order.tier, order.period_days, order.email = "pro", 30, "ann@example.com"
        order.contact = "ct_1" if card else ""
        self.storage.transact(lambda tx: orders.put(tx, "ord_first", order))
        self.buy("ord_first", order)

    def boot(self):
        """A new process on the same books."""
        if self.checks is not None:
            self.checks.close()
        clock = lambda: self.now  # noqa: E731
        discounts = Discounts(self.storage, self.settings, clock)
        events = Events(self.storage, Outbox(self.storage, clock=clock), self.settings.events, clock)
        self.settlement = Settlement(self.storage, self.policy, Rules(), 72, discounts, events, clock)
        self.checks = Checks(self.storage, self.rails, self.settlement)
        renewing = Renewing(
            self.storage, self.rails, self.checks, self.settlement, events, RULES, "https://relay.example", clock
        )
        self.renewals = Renewals(self.storage, self.settings, self.rails, renewing, events, RULES, clock)

    def buy(self, order_id, order):
        """A tier that is paid, and what the settlement does about its subscription then."""
        end = self.end() or self.now
        extend = self.credits.extend_tier if self.end() else self.credits.set_tier
        extend(WHO, order.tier, order.period_days, actor="rail:fake")
        assert self.end() == end + timedelta(days=order.period_days)
        self.storage.transact(lambda tx: self.renewals.paid(tx, order_id, order))

    def end(self):
        row = self.storage.read(lambda tx: accounts.get(tx, WHO))
        return row.subscription_expires_at if row else None

    @property
    def sub(self):
        return self.storage.read(lambda tx: subscriptions.get(tx, WHO))

    def renewal_orders(self):
        rows = self.storage.read(lambda tx: tx.scan("orders", limit=1000))
        return [key for key, doc in rows if doc["kind"] == "renewal"]

    def events(self):
        rows = self.storage.read(lambda tx: tx.scan("outbox", limit=1000))
        told = [json.loads(doc["body"]) for _, doc in rows]
        return [event for event in told if event["event"].startswith("subscription.")]

    def pay_link(self):
        """The buyer pays with the link, and the sweep finds it."""
        order_id = self.sub.order or self.renewal_orders()[-1]
        order = self.storage.read(lambda tx: orders.get(tx, order_id))
        self.rail.pay(order.invoice_id)
        settled = self.checks.now(order_id)
        self.storage.transact(lambda tx: self.renewals.paid(tx, order_id, order))
        return settled

    def run(self, **time):
        """Time passes with a look every five minutes."""
        until = self.now + timedelta(**time)
        while self.now < until:
            self.later(minutes=5)
            self.renewals.tick()


@pytest.fixture
def rail():
    return CardRail()


@pytest.fixture
def shop_for(rail):
    made = []

    def make(**more):
        made.append(Shop(rail, **more))
        return made[-1]

    yield make
    for shop in made:
        shop.verified()
        shop.checks.close()


@pytest.fixture
def shop(shop_for):
    return shop_for()


def test_three_days_before_the_end_the_card_is_charged_and_the_end_moves_on(shop, rail):
    end = shop.end()
    shop.later(days=26, hours=23)
    shop.renewals.tick()
    assert rail.charged == []
    shop.later(hours=1)
    shop.renewals.tick()
    assert rail.charged == [("inv1", "pp_1")]
    assert shop.end() == end + timedelta(days=30)
    shop.renewals.tick()
    assert (shop.sub.state, shop.sub.through, shop.sub.order) == ("active", end + timedelta(days=30), "")
    assert shop.events() == []


def test_a_year_of_renewals_is_one_order_and_one_charge_per_period(shop, rail):
    end = shop.end()
    shop.run(days=365)
    periods = len(rail.charged)
    assert periods == len(shop.renewal_orders()) == 12
    assert shop.end() == end + timedelta(days=30 * periods)


def test_a_renewal_never_refills_the_running_month(shop):
    for _ in range(3):
        shop.answer(WHO)
    shop.later(days=27)
    before = shop.storage.read(lambda tx: accounts.get(tx, WHO)).monthly_consumed
    shop.renewals.tick()
    assert shop.storage.read(lambda tx: accounts.get(tx, WHO)).monthly_consumed == before == 3


def test_without_a_card_the_link_is_offered_once_and_paying_it_extends(shop_for, rail):
    shop = shop_for(card=False)
    end = shop.end()
    shop.run(days=28)
    assert rail.charged == []
    (told,) = shop.events()
    assert told["event"] == "subscription.renewal_due"
    assert told["data"]["checkout_url"] == "https://pay.example/inv1"
    assert (told["data"]["amount"], told["data"]["currency"], told["data"]["account"]) == ("5.00", "USD", WHO)
    assert shop.pay_link().granted
    assert shop.end() == end + timedelta(days=30)
    assert (shop.sub.state, shop.sub.through) == ("active", end + timedelta(days=30))


def test_a_rail_without_cards_gets_the_link_too(shop, rail):
    shop.rails["fake"] = plain = FakeRail("fake")
    shop.later(days=27)
    shop.renewals.tick()
    assert len(shop.events()) == 1
    assert plain.calls["create"] == 1


def test_the_order_can_be_paid_until_the_grace_is_over(shop_for, rail):
    shop_for(card=False).run(days=28)
    assert 9 * 24 * 60 < rail.sold[0].minutes <= 10 * 24 * 60
    assert rail.sold[0].return_url.startswith("https://relay.example/pay/")
    assert rail.sold[0].save_card is False


def test_an_accepted_charge_that_is_not_final_renews_nothing_until_it_is_paid(shop, rail):
    rail.outcome = "processing"
    end = shop.end()
    shop.run(days=40)
    assert (len(rail.charged), len(shop.renewal_orders())) == (1, 1)
    assert shop.sub.state == "past_due", "it does not lapse while a payment is under way"
    assert shop.pay_link().granted
    assert shop.end() > end
    assert shop.sub.state == "active"


def test_an_accepted_charge_that_changed_nothing_is_tried_again_on_the_same_order(shop, rail):
    rail.outcome = "nothing"
    shop.run(days=28)
    assert {invoice for invoice, _ in rail.charged} == {"inv1"}
    assert len(rail.charged) == 1 + len(BACK_OFF)


def test_a_declined_card_is_past_due_told_once_and_tried_five_times_more(shop, rail):
    rail.outcome = RailFailed("declined", code="card_declined")
    shop.later(days=27)
    shop.renewals.tick()
    assert shop.sub.state == "past_due"
    assert len(shop.events()) == 1
    shop.run(days=3)
    assert len(rail.charged) == 1 + len(BACK_OFF)
    assert len(shop.renewal_orders()) == len(shop.events()) == 1
    rail.outcome, asked = "paid", rail.calls["saved_card"]
    shop.run(days=1)
    assert len(rail.charged) == 1 + len(BACK_OFF), "it was enough"
    assert rail.calls["saved_card"] == asked
    assert shop.pay_link().granted


def test_a_card_that_works_again_renews(shop, rail):
    rail.outcome = RailFailed("declined", code="card_declined")
    shop.later(days=27)
    shop.renewals.tick()
    rail.outcome = "paid"
    shop.run(minutes=10)
    assert len(rail.charged) == 2
    assert shop.sub.state == "active"


def test_a_card_that_is_gone_is_forgotten_and_the_link_offered(shop, rail):
    rail.outcome = RailFailed("gone", code="card_gone")
    shop.run(days=29)
    assert len(rail.charged) == 1
    assert shop.sub.card_order == ""
    assert len(shop.events()) == 1


def test_a_card_that_is_not_kept_any_more_is_the_link(shop, rail):
    rail.card = None
    shop.run(days=29)
    assert rail.charged == []
    assert len(shop.events()) == 1


def test_a_card_that_appears_late_is_charged_then(shop, rail):
    rail.card = None
    shop.run(days=28)
    rail.card = "pp_1"
    shop.run(hours=7)
    assert len(rail.charged) == 1
    assert shop.sub.state == "active"


def test_a_lost_answer_to_a_charge_is_looked_up_before_anything_is_charged_again(shop, rail):
    rail.outcome, rail.late = RailOutcomeUnknown("lost"), True
    end = shop.end()
    shop.run(days=29)
    assert len(rail.charged) == 1
    assert shop.end() == end + timedelta(days=30)
    assert shop.sub.state == "active"


def test_a_charge_that_never_left_does_not_use_up_a_try(shop, rail):
    rail.outcome = RailUnavailable("busy", retry_after=900)
    shop.run(days=27, hours=20)
    assert len(rail.charged) > 1 + len(BACK_OFF)
    assert shop.sub.attempts == 0
    rail.outcome = "paid"
    shop.run(hours=1)
    assert shop.sub.state == "active"


def test_the_relay_was_down_for_three_days_and_makes_one_order(shop, rail):
    shop.later(days=29, hours=23)
    for _ in range(5):
        shop.boot()
        shop.renewals.tick()
    assert len(shop.renewal_orders()) == len(rail.charged) == rail.calls["create"] == 1


def test_unpaid_it_lapses_when_the_grace_that_began_at_the_end_is_over(shop_for):
    shop = shop_for(card=False)
    end = shop.end()
    shop.run(days=36, hours=23)
    assert shop.sub.state == "past_due"
    shop.run(hours=2)
    assert (shop.sub.state, shop.sub.next_at) == ("lapsed", None)
    lapsed = [event for event in shop.events() if event["event"] == "subscription.lapsed"]
    assert [event["data"]["ended"] for event in lapsed] == [f"{end:%Y-%m-%dT%H:%M:%SZ}"]
    assert len(shop.renewal_orders()) == 1


def test_the_tier_itself_ends_at_its_end_and_a_payment_in_the_grace_gives_it_again(shop_for):
    shop = shop_for(card=False)
    shop.run(days=33)
    assert shop.sub.state == "past_due"
    assert shop.credits.user(WHO)["tier"] == "core"
    assert shop.pay_link().granted
    assert shop.credits.user(WHO)["tier"] == "pro"
    assert shop.end() == shop.now + timedelta(days=30)
    assert shop.sub.state == "active"


def test_a_relay_that_was_down_beyond_the_grace_charges_nobody(shop, rail):
    shop.later(days=40)
    shop.renewals.tick()
    assert shop.sub.state == "lapsed"
    assert rail.charged == []


def test_who_cancels_keeps_the_tier_to_its_end_and_is_asked_for_nothing(shop, rail):
    end = shop.end()
    assert shop.renewals.cancel(WHO)["state"] == "cancelled"
    shop.run(days=29)
    assert (shop.end(), shop.credits.user(WHO)["tier"]) == (end, "pro")
    shop.run(days=20)
    assert rail.charged == shop.renewal_orders() == shop.events() == []


def test_a_renewal_that_is_paid_after_cancelling_gives_the_period_and_revives_nothing(shop_for):
    shop = shop_for(card=False)
    shop.run(days=28)
    end = shop.end()
    shop.renewals.cancel(WHO)
    assert shop.pay_link().granted
    assert shop.end() == end + timedelta(days=30)
    assert (shop.sub.state, shop.sub.next_at) == ("cancelled", None)
    shop.run(days=60)
    assert len(shop.renewal_orders()) == 1


def test_cancelling_while_the_rail_is_looked_at_stops_the_charge(shop, rail):
    rail.saved_card = lambda *_: shop.renewals.cancel(WHO) and "pp_1"
    shop.later(days=27)
    shop.renewals.tick()
    assert rail.charged == []
    assert shop.sub.state == "cancelled"


def test_the_link_and_the_card_at_once_are_two_paid_things_and_none_is_lost(shop, rail):
    """The buyer buys the tier anew while the card is being charged."""
    end = shop.end()
    again = Order(WHO, "tier", "pro", "tier pro", 500, "USD", "fake", shop.now, "user:ann 2")
    again.tier, again.period_days = "pro", 30
    rail.hook = lambda: shop.buy("ord_again", again)
    shop.later(days=27)
    shop.renewals.tick()
    assert shop.end() == end + timedelta(days=60)
    rail.hook = lambda: None
    shop.run(days=1)
    assert len(rail.charged) == 1


def test_buying_the_tier_early_by_hand_moves_the_next_renewal(shop, rail):
    again = Order(WHO, "tier", "pro", "tier pro", 500, "USD", "fake", shop.now, "user:ann 2")
    again.tier, again.period_days = "pro", 30
    shop.later(days=10)
    shop.buy("ord_again", again)
    shop.run(days=40)
    assert rail.charged == []
    assert shop.sub.card_order == "ord_first", "the card that was kept stays"


def test_a_tier_that_an_operator_extends_is_asked_for_at_its_new_end(shop, rail):
    shop.credits.extend_tier(WHO, "pro", 30, actor="operator")
    shop.run(days=56)
    assert rail.charged == []
    shop.run(days=2)
    assert len(rail.charged) == 1


def test_a_tier_that_an_operator_changes_is_not_renewed(shop, rail):
    shop.credits.set_tier(WHO, "max", 90, actor="operator")
    shop.run(days=40)
    assert shop.sub.state == "cancelled"
    assert rail.charged == []


def test_a_price_that_changes_counts_from_the_next_period(shop, rail):
    rail.outcome = RailFailed("declined", code="card_declined")
    shop.later(days=27)
    shop.renewals.tick()
    dearer = dict(SETTINGS.tiers)
    dearer["pro"] = type(dearer["pro"])(monthly_credits=50, price="9.00")
    shop.settings = type(SETTINGS)(tiers=dearer, events=SETTINGS.events)
    shop.boot()
    rail.change("inv1", status="expired", word="EXPIRED")
    rail.outcome = "paid"
    shop.run(days=1)
    assert [sold.amount.units for sold in rail.sold] == [500, 500]
    shop.run(days=31)
    assert [sold.amount.units for sold in rail.sold] == [500, 500, 900]


def test_a_tier_without_a_price_is_not_asked_for(shop, rail):
    shop.settings = type(SETTINGS)(tiers={"core": SETTINGS.tiers["core"], "pro": type(SETTINGS.tiers["pro"])()})
    shop.boot()
    shop.run(days=29)
    assert shop.renewal_orders() == rail.charged == []
    assert shop.sub.state == "active"


def test_a_blocked_account_is_not_charged(shop, rail):
    row = shop.storage.read(lambda tx: accounts.get(tx, WHO))
    row.blocked = True
    shop.storage.transact(lambda tx: accounts.save(tx, WHO, row, shop.policy.tiers, shop.now))
    shop.run(days=29)
    assert shop.renewal_orders() == rail.charged == []


def test_an_order_that_expired_is_followed_by_another_in_the_same_period(shop_for, rail):
    shop = shop_for(card=False)
    shop.run(days=28)
    rail.change("inv1", status="expired", word="EXPIRED")
    shop.run(hours=7)
    assert len(shop.renewal_orders()) == 2
    assert len(shop.events()) == 2, "its link is told too"


def test_an_order_whose_answer_was_lost_is_found_and_no_second_one_made(shop, rail):
    rail.lose = RailOutcomeUnknown("lost")
    shop.later(days=27)
    shop.renewals.tick()
    assert rail.charged == []
    rail.lose = None
    shop.boot()
    shop.run(minutes=10)
    assert rail.calls["create"] == len(shop.renewal_orders()) == len(rail.charged) == 1


@pytest.mark.parametrize("failure", [RailUnavailable("down"), RailFailed("no currency")])
def test_a_rail_that_cannot_sell_is_asked_again_under_the_same_order(shop, rail, failure):
    rail.fail = failure
    shop.run(days=27, hours=3)
    assert len(shop.renewal_orders()) == 1
    rail.fail = None
    shop.run(hours=7)
    assert len(shop.renewal_orders()) == len(rail.charged) == 1
    assert shop.sub.state == "active"


def test_a_rail_that_is_off_or_gone_is_waited_for(shop, rail):
    rail.why_off = "not connected"
    shop.run(days=28)
    assert rail.calls["create"] == 0
    shop.rails.clear()
    shop.run(hours=2)
    rail.why_off = None
    shop.rails["fake"] = rail
    shop.run(hours=7)
    assert len(rail.charged) == 1


@pytest.mark.parametrize("point", ["planned", "sold", "claimed"])
def test_a_crash_between_any_two_steps_makes_no_second_order_and_no_second_payment(shop, rail, monkeypatch, point):
    def crash(where):
        if where == f"renewals.{point}":
            raise SystemExit

    for module in ("renewals", "renewing"):
        monkeypatch.setattr(f"relay.services.{module}.crash_point", crash)
    shop.later(days=27)
    end = shop.end()
    with pytest.raises(SystemExit):
        shop.renewals.tick()
    monkeypatch.undo()
    shop.boot()
    shop.run(hours=1)
    assert rail.calls["create"] == len(shop.renewal_orders()) == len(rail.charged) == 1
    assert shop.end() == end + timedelta(days=30)


def test_who_has_the_card_forgotten_is_offered_the_link(shop, rail):
    assert shop.renewals.forget_card(WHO)["card"] is False
    shop.run(days=28)
    assert rail.charged == []
    assert len(shop.events()) == 1


def test_a_package_and_a_tier_without_an_end_begin_no_subscription(shop):
    order = Order("user:ben", "package", "small", "20 credits", 500, "USD", "fake", shop.now, "user:ben 1")
    shop.storage.transact(lambda tx: shop.renewals.paid(tx, "ord_p", order))
    shop.credits.set_tier("user:ben", "pro", None, actor="operator")
    order.kind, order.tier = "tier", "pro"
    shop.storage.transact(lambda tx: shop.renewals.paid(tx, "ord_t", order))
    with pytest.raises(NotFound):
        shop.renewals.of("user:ben")


def test_a_renewal_that_is_paid_when_all_is_forgotten_begins_no_subscription(shop):
    order = Order(WHO, "renewal", "pro", "tier pro", 500, "USD", "fake", shop.now, "user:ann 9")
    shop.storage.transact(lambda tx: tx.delete("subscriptions", WHO))
    shop.storage.transact(lambda tx: shop.renewals.paid(tx, "ord_r", order))
    assert shop.sub is None


def test_eight_that_look_at_one_subscription_at_once_make_one_order_and_one_charge(shop, rail):
    shop.later(days=27)
    rail.gate = threading.Event()
    threading.Timer(0.3, rail.gate.set).start()
    at_once(8, lambda _: shop.renewals.tick())
    assert rail.calls["create"] == len(shop.renewal_orders()) == len(rail.charged) == 1


def test_what_is_shown_never_holds_where_the_card_is(shop):
    shown = shop.renewals.of(WHO)
    assert shown["card"] is True
    assert shown["state"] == "active"
    assert "ct_1" not in str(shown)
    assert "ord_first" not in str(shown)


def test_a_subscription_that_sleeps_is_not_looked_at(shop):
    shop.later(days=1)
    assert shop.renewals.tick() == 0
