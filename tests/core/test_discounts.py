"""Using codes: one use for one order, however many race, come back, come late or are told twice."""

import threading
from datetime import timedelta

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule
from relay_jsonfile import Plugin as JSONFile

from relay.books import orders
from relay.domain.money import money
from relay.domain.orders import Order
from relay.errors import Conflict, Invalid, NotFound
from relay.ports.storage import COLLECTIONS, STREAMS, AlreadyExists
from relay.services.codes import Change, Codes, NewCode
from relay.services.discounts import Discounts
from relay.settings import Package, Settings
from relay.testing.memory import MemoryStorage
from tests.core.books import START

SETTINGS = Settings(packages=(Package("small", 20, "5.00"), Package("euro", 20, "5.00", "EUR")))
FIVE = money("5.00", "USD")


class Shop:
    """Codes and orders with a clock that tests turn."""

    def __init__(self, storage) -> None:
        self.now = START
        self.storage = storage
        self.codes = Codes(storage, SETTINGS, lambda: self.now)
        self.discounts = Discounts(storage, SETTINGS, lambda: self.now)

    def create(self, code="SPRING", kind="percent", value=2500, **more):
        return self.codes.create(NewCode(code, kind, value, **more), actor="test")

    def reserve(self, order, code="spring", product="package:small", price=FIVE):
        return self.storage.transact(lambda tx: self.discounts.reserve(tx, code, order, product, price))

    def redeem(self, order):
        return self.storage.transact(lambda tx: self.discounts.redeem(tx, order))

    def cancel(self, order):
        return self.storage.transact(lambda tx: self.discounts.cancel(tx, order))

    def order(self, order_id, state="pending"):
        order = Order("user:u", "package", "small", "20", 375, "USD", "r", self.now, "user:u x", state, code="SPRING")
        self.storage.transact(lambda tx: orders.put(tx, order_id, order))

    def change(self, **more):
        return self.codes.change("spring", Change(**more), actor="test")

    def counts(self, code="SPRING"):
        row = next(row for row in self.codes.page(100)[1] if row["code"] == code)
        return row["used"], row["reserved"], row["over_used"]


@pytest.fixture(params=["memory", "jsonfile"])
def storage(request, tmp_path):
    storage = MemoryStorage(run_twice=True) if request.param == "memory" else JSONFile({}).relay_storages()[0]
    storage.open(tmp_path, COLLECTIONS, STREAMS)
    yield storage
    storage.close()


@pytest.fixture
def shop(storage):
    return Shop(storage)


def refused(shop, *args, **more) -> str:
    with pytest.raises(Invalid) as error:
        shop.reserve(*args, **more)
    assert error.value.details["path"] == "code"
    return error.value.details["reason"]


def test_a_use_is_reserved_then_redeemed_and_told_twice_counts_once(shop):
    shop.create(max_uses=2)
    assert shop.reserve("o1") == money("3.75", "USD")
    assert shop.counts() == (0, 1, 0)
    assert [shop.redeem("o1"), shop.redeem("o1")] == ["", ""]
    assert shop.counts() == (1, 0, 0)
    assert not shop.cancel("o1")
    assert shop.counts() == (1, 0, 0)


def test_an_expiry_told_twice_gives_the_use_back_once(shop):
    shop.create(max_uses=1)
    shop.reserve("o1")
    assert refused(shop, "o2") == "exhausted"
    assert [shop.cancel("o1"), shop.cancel("o1")] == [True, False]
    assert shop.counts() == (0, 0, 0)
    assert shop.reserve("o2") == money("3.75", "USD")
    assert not shop.cancel("o1")
    assert shop.counts() == (0, 1, 0)


def test_a_checkout_that_is_not_saved_reserves_nothing(shop):
    shop.create(max_uses=1)

    def torn(tx):
        shop.discounts.reserve(tx, "spring", "o1", "package:small", FIVE)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        shop.storage.transact(torn)
    assert shop.counts() == (0, 0, 0)


def test_an_order_uses_one_code_once(shop):
    shop.create()
    shop.reserve("o1")
    with pytest.raises(AlreadyExists):
        shop.reserve("o1")
    assert shop.counts() == (0, 1, 0)


def test_orders_without_a_code_are_left_alone(shop):
    assert shop.redeem("o1") == ""
    assert not shop.cancel("o1")


def test_paid_after_its_time_its_price_is_honoured_and_the_operator_is_told_when_no_use_was_left(shop):
    shop.create(max_uses=1)
    shop.reserve("late")
    shop.now += timedelta(minutes=61)
    assert shop.discounts.sweep() == 1
    shop.reserve("quick")
    assert shop.redeem("quick") == ""
    alert = shop.redeem("late")
    assert "SPRING" in alert
    assert "paid after its time" in alert
    assert shop.redeem("late") == ""
    assert shop.counts() == (2, 0, 1)
    assert refused(shop, "another") == "exhausted"


def test_paid_after_its_time_it_takes_a_free_use_when_there_is_one(shop):
    shop.create(max_uses=1)
    shop.reserve("late")
    shop.cancel("late")
    assert shop.redeem("late") == ""
    assert shop.counts() == (1, 0, 0)


def test_what_was_reserved_is_honoured_whatever_became_of_the_code(shop):
    shop.create()
    shop.reserve("o1")
    shop.reserve("o2")
    shop.change(active=False, expires_at=START)
    assert shop.redeem("o1") == ""
    shop.cancel("o2")
    assert shop.counts() == (1, 0, 0)


def test_a_late_payment_for_a_deleted_code_is_told(shop):
    shop.create()
    shop.reserve("o1")
    shop.cancel("o1")
    shop.codes.delete("spring", actor="test")
    assert "deleted" in shop.redeem("o1")
    assert shop.redeem("o1") == ""


def test_unpaid_orders_give_back_after_an_hour_but_not_where_money_is_on_its_way(shop):
    shop.create(max_uses=4)
    for order, state in [("open", "pending"), ("coming", "processing"), ("odd", "review"), ("dead", "expired")]:
        shop.order(order, state)
        shop.reserve(order)
    assert shop.discounts.sweep() == 0
    shop.now += timedelta(minutes=60)
    assert shop.discounts.sweep() == 2
    assert shop.counts() == (0, 2, 0)
    assert shop.discounts.sweep() == 0
    shop.order("coming", "invalid")
    shop.now += timedelta(minutes=60)
    assert shop.discounts.sweep() == 1
    assert shop.counts() == (0, 1, 0)


def test_a_sweep_goes_through_more_than_one_batch(shop):
    shop.create()

    def reserve(tx):
        for n in range(450):
            shop.discounts.reserve(tx, "spring", f"o{n}", "package:small", FIVE)

    shop.storage.transact(reserve)
    shop.now += timedelta(hours=2)
    assert shop.discounts.sweep() == 450
    assert shop.counts() == (0, 0, 0)


def test_a_free_order_is_taken_and_fulfilled_once(shop):
    shop.create(kind="free", value=0, max_uses=1)
    given = []

    def checkout(order):
        def give(tx):
            price = shop.discounts.reserve(tx, "spring", order, "package:small", FIVE)
            assert price.units == 0
            tx.insert("processed-webhooks", order, {"value": "2026-01-01T00:00:00Z"})
            shop.discounts.redeem(tx, order)

        try:
            shop.storage.transact(give)
        except (Invalid, AlreadyExists):
            return
        given.append(order)

    race(20, lambda n: checkout("o1" if n % 2 else f"o{n}"))
    assert len(given) == 1
    assert shop.counts() == (1, 0, 0)


def race(n, act):
    barrier = threading.Barrier(n)

    def one(i):
        barrier.wait(20)
        act(i)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_fifty_buyers_race_for_one_use_and_one_gets_it(shop):
    shop.create(max_uses=1)
    got = []

    def buy(n):
        try:
            shop.reserve(f"o{n}")
        except Invalid as error:
            got.append(error.details["reason"])
        else:
            got.append("reserved")

    race(50, buy)
    assert sorted(got) == ["exhausted"] * 49 + ["reserved"]
    assert shop.counts() == (0, 1, 0)


def test_expiry_and_payment_at_the_same_instant_count_once(shop):
    shop.create(max_uses=1)
    shop.reserve("o1")
    race(20, lambda n: shop.redeem("o1") if n % 2 else shop.cancel("o1"))
    assert shop.counts() == (1, 0, 0)


@pytest.mark.parametrize(
    ("more", "typed", "reason"),
    [
        ({}, "summer", "unknown_code"),
        ({}, "spr\u0131ng", "unknown_code"),
        ({}, "", "unknown_code"),
        ({"active": False}, "spring", "unknown_code"),
        ({"expires_at": START}, "spring", "expired"),
        ({"starts_at": START + timedelta(days=1)}, "spring", "not_yet"),
        ({"tiers": ("pro",)}, "spring", "wrong_product"),
        ({"currency": "EUR"}, "spring", "wrong_currency"),
    ],
)
def test_why_a_code_is_refused(shop, more, typed, reason):
    shop.create(**more)
    assert refused(shop, "o1", typed) == reason
    assert shop.counts() == (0, 0, 0)


def test_a_disabled_code_cannot_be_told_from_one_that_never_was(shop):
    shop.create(active=False)
    errors = []
    for typed in ("spring", "summer"):
        with pytest.raises(Invalid) as error:
            shop.discounts.preview(typed, "package", "small")
        errors.append((error.value.message, error.value.details))
    assert errors[0] == errors[1]


def test_a_preview_reserves_nothing(shop):
    shop.create(max_uses=1)
    for _ in range(3):
        assert shop.discounts.preview("Spring", "package", "small") == (FIVE, money("3.75", "USD"))
    assert shop.discounts.preview("spring", "tier", "max")[1] == money("11.25", "USD")
    assert shop.counts() == (0, 0, 0)
    for kind, product in [("package", "none"), ("tier", "none"), ("tier", "core")]:
        with pytest.raises(NotFound):
            shop.discounts.preview("spring", kind, product)


class TestOperator:
    @pytest.mark.parametrize(
        ("new", "path"),
        [
            (NewCode("ab", "percent", 100), "code"),
            (NewCode("spr\u0131ng", "percent", 100), "code"),
            (NewCode("GOOD", "percent", 0), "value"),
            (NewCode("GOOD", "percent", 10_001), "value"),
            (NewCode("GOOD", "fixed", 100), "currency"),
            (NewCode("GOOD", "fixed", 0, "USD"), "value"),
            (NewCode("GOOD", "set_price", 100), "currency"),
            (NewCode("GOOD", "free", 1, max_uses=1), "value"),
            (NewCode("GOOD", "free"), "max_uses"),
            (NewCode("GOOD", "percent", 10_000), "max_uses"),
            (NewCode("GOOD", "set_price", 0, "USD"), "max_uses"),
            (NewCode("GOOD", "percent", 1, products=("small", "none")), "products.1"),
            (NewCode("GOOD", "percent", 1, tiers=("core",)), "tiers.0"),
            (NewCode("GOOD", "percent", 1, starts_at=START, expires_at=START), "expires_at"),
        ],
    )
    def test_a_code_that_makes_no_sense_is_refused_with_the_field(self, shop, new, path):
        with pytest.raises(Invalid) as error:
            shop.codes.create(new, actor="test")
        assert error.value.details["path"] == path
        assert shop.codes.page(10) == (0, [])

    def test_a_name_is_taken_once_however_it_is_written(self, shop):
        shop.create("Spring")
        with pytest.raises(Conflict):
            shop.create(" SPRING ")

    def test_the_newest_come_first(self, shop):
        for n in range(3):
            shop.create(f"CODE-{n}")
            shop.now += timedelta(seconds=1)
        count, rows = shop.codes.page(2)
        assert (count, [row["code"] for row in rows]) == (3, ["CODE-2", "CODE-1"])
        assert [row["code"] for row in shop.codes.page(2, 2)[1]] == ["CODE-0"]

    def test_only_what_is_said_changes(self, shop):
        shop.create(max_uses=5, label="a", expires_at=START + timedelta(days=1))
        row = shop.change(label="b", expires_at=None)
        assert (row["label"], row["expires_at"], row["max_uses"], row["active"]) == ("b", None, 5, True)
        with pytest.raises(NotFound):
            shop.codes.change("none", Change(active=False), actor="test")
        with pytest.raises(Invalid):
            shop.change(tiers=("none",))

    def test_a_code_for_a_product_that_is_gone_can_still_be_disabled(self, shop):
        shop.create(products=("small",))
        codes = Codes(shop.storage, Settings(), lambda: shop.now)
        assert codes.change("spring", Change(active=False), actor="test")["active"] is False

    def test_fewer_uses_than_there_were_end_it(self, shop):
        shop.create(max_uses=5)
        for n in range(3):
            shop.reserve(f"o{n}")
        shop.change(max_uses=2)
        assert refused(shop, "o9") == "exhausted"
        assert shop.redeem("o0") == ""

    @pytest.mark.parametrize("paid", [False, True])
    def test_a_code_in_use_is_not_deleted(self, shop, paid):
        shop.create()
        shop.reserve("o1")
        if paid:
            shop.redeem("o1")
        with pytest.raises(Conflict, match="disable"):
            shop.codes.delete("spring", actor="test")

    def test_an_unused_code_is_deleted(self, shop):
        shop.create()
        assert shop.codes.delete("spring", actor="test") == "SPRING"
        with pytest.raises(NotFound):
            shop.codes.delete("spring", actor="test")


class Uses(RuleBasedStateMachine):
    """Against a model of what happened to each order."""

    made = Bundle("orders")

    def __init__(self) -> None:
        super().__init__()
        storage = MemoryStorage(run_twice=True)
        storage.open(None, COLLECTIONS, STREAMS)
        self.shop = Shop(storage)
        self.max_uses = 2
        self.shop.create(max_uses=self.max_uses)
        self.model = {}
        self.due = {}
        self.used = self.over = self.count = 0

    @property
    def reserved(self) -> int:
        return list(self.model.values()).count("reserved")

    @rule(target=made)
    def buy(self):
        self.count += 1
        order = f"o{self.count}"
        if self.used + self.reserved < self.max_uses:
            self.shop.reserve(order)
            self.model[order], self.due[order] = "reserved", self.shop.now + timedelta(hours=1)
        else:
            assert refused(self.shop, order) == "exhausted"
        return order

    @rule(order=made)
    def pay(self, order):
        alert = self.shop.redeem(order)
        state, over = self.model.get(order), False
        if state in {"reserved", "cancelled"}:
            over = state == "cancelled" and self.used + self.reserved >= self.max_uses
            self.model[order] = "redeemed"
            self.used += 1
            self.over += over
        assert bool(alert) == over

    @rule(order=made)
    def expire(self, order):
        assert self.shop.cancel(order) == (self.model.get(order) == "reserved")
        if self.model.get(order) == "reserved":
            self.model[order] = "cancelled"

    @rule(minutes=st.integers(1, 90))
    def later(self, minutes):
        self.shop.now += timedelta(minutes=minutes)
        due = [order for order, at in self.due.items() if self.model[order] == "reserved" and at <= self.shop.now]
        assert self.shop.discounts.sweep() == len(due)
        self.model.update(dict.fromkeys(due, "cancelled"))

    @precondition(lambda self: self.max_uses < 6)
    @rule()
    def more_uses(self):
        self.max_uses += 1
        self.shop.change(max_uses=self.max_uses)

    @invariant()
    def the_counters_are_what_happened(self):
        assert self.shop.counts() == (self.used, self.reserved, self.over)
        assert self.used + self.reserved <= self.max_uses + self.over


TestUses = Uses.TestCase
TestUses.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)
