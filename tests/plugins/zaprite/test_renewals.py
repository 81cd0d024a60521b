"""A tier bought through the sandbox's Zaprite with a card that is kept, and renewed with it."""

from datetime import timedelta

import pytest

from relay.books import accounts, orders, subscriptions
from relay.domain.instants import utcnow
from relay.domain.orders import Rules
from relay.domain.subscriptions import RenewalRules
from relay.ports.auth import Identity
from relay.services.checkout import Checkout, Wish
from relay.services.checks import Checks
from relay.services.discounts import Discounts
from relay.services.events import Events
from relay.services.outbox import Outbox
from relay.services.policy import Policy
from relay.services.renewals import Renewals
from relay.services.renewing import Renewing
from relay.services.settle import Settlement
from relay.settings import Settings
from relay.testing.sandbox.zaprite import KEY

WHO = "user:ann"


class Shop:
    """The books, the rail and the sandbox on one clock that is turned with `later`."""

    def __init__(self, rail, storage, zaprite):
        self.zaprite, self.storage = zaprite, storage
        self.skew = timedelta(0)
        settings, rails = Settings(), {rail.name: rail}
        rail._clock = self.clock
        discounts = Discounts(storage, settings, self.clock)
        events = Events(storage, Outbox(storage, clock=self.clock), settings.events, self.clock)
        settlement = Settlement(storage, Policy.of(settings), Rules(), 72, discounts, events, self.clock)
        self.checks = Checks(storage, rails, settlement)
        self.checkout = Checkout(storage, Policy.of(settings), settings, rails, discounts, self.clock)
        rules = RenewalRules()
        renewing = Renewing(storage, rails, self.checks, settlement, events, rules, "https://relay.example", self.clock)
        self.renewals = Renewals(storage, settings, rails, renewing, events, rules, self.clock)

    def clock(self):
        return utcnow() + self.skew

    def later(self, **time):
        self.skew += timedelta(**time)
        self.zaprite.forward(timedelta(**time).total_seconds())

    def buy(self, method):
        wish = Wish("tier", "pro", "zaprite", email="ann@example.com")
        order_id = self.checkout.start(Identity(WHO, "test"), wish)["id"]
        order = self.storage.read(lambda tx: orders.get(tx, order_id))
        self.zaprite.pay(order.invoice_id, method=method)
        assert self.checks.now(order_id).fulfilled
        order = self.storage.read(lambda tx: orders.get(tx, order_id))
        self.storage.transact(lambda tx: self.renewals.paid(tx, order_id, order))

    @property
    def sub(self):
        return self.storage.read(lambda tx: subscriptions.get(tx, WHO))

    @property
    def end(self):
        return self.storage.read(lambda tx: accounts.get(tx, WHO)).subscription_expires_at


@pytest.fixture
def shop(rail_for, box):
    rail = rail_for(f"{box.url}/zaprite", api_key=KEY)
    shop = Shop(rail, rail._contacts.space._storage, box["zaprite"])
    yield shop
    shop.checks.close()


def charges(box):
    return len(box.requests("zaprite", "charge"))


def test_a_kept_card_renews_the_tier_from_its_present_end(shop, box):
    shop.zaprite.configure({"profile_reads": 0})
    shop.buy("CARD")
    end = shop.end
    shop.later(days=27, minutes=1)
    shop.renewals.tick()
    assert charges(box) == 1
    assert shop.end == end + timedelta(days=30)
    shop.renewals.tick()
    assert (shop.sub.state, shop.sub.through) == ("active", shop.end)
    assert len(shop.zaprite.orders) == 2


def test_a_card_that_shows_up_late_is_charged_when_it_is_there(shop, box):
    shop.zaprite.configure({"profile_reads": 1})
    shop.buy("CARD")
    end = shop.end
    shop.later(days=27, minutes=1)
    shop.renewals.tick()
    assert (charges(box), shop.end) == (0, end)
    shop.later(hours=7)
    shop.renewals.tick()
    assert (charges(box), shop.end) == (1, end + timedelta(days=30))


def test_lightning_leaves_no_card_and_the_link_renews(shop, box):
    shop.buy("LIGHTNING")
    end = shop.end
    shop.later(days=27, minutes=1)
    shop.renewals.tick()
    assert charges(box) == 0
    order = shop.storage.read(lambda tx: orders.get(tx, shop.sub.order))
    shop.later(days=2)
    shop.zaprite.pay(order.invoice_id)
    shop.later(days=0, hours=6)
    shop.renewals.tick()
    assert shop.end == end + timedelta(days=30)


@pytest.mark.parametrize(
    ("fault", "state", "renewed"),
    [("declined", "past_due", False), ("charge_processing", "active", False), ("lost_answer", "active", True)],
)
def test_what_a_charge_leads_to(shop, box, fault, state, renewed):
    shop.buy("CARD")
    end = shop.end
    box.faults.add("zaprite", fault, route="charge", times=1)
    shop.later(days=27, minutes=1)
    shop.renewals.tick()
    assert (shop.end, shop.sub.state) == (end, state)
    shop.later(minutes=6)
    shop.renewals.tick()
    shop.renewals.tick()
    tried_again = fault == "declined"
    assert charges(box) == 1 + tried_again
    assert shop.end == end + timedelta(days=30 * (renewed or tried_again))
    assert len(shop.zaprite.orders) == 2


def test_a_card_that_vanished_is_not_charged(shop, box):
    shop.buy("CARD")
    ((profile,),) = [contact.profiles for contact in shop.zaprite.contacts.values()]
    shop.zaprite.forget_card(profile.id)
    shop.later(days=27, minutes=1)
    shop.renewals.tick()
    assert charges(box) == 0
    assert shop.sub.offered
