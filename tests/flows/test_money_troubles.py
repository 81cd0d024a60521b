"""Rails that vanish, hang or talk nonsense: they harm no other, and nothing that was answered 200 is forgotten."""

import threading
import time
from datetime import UTC, datetime

import pytest

from relay.errors import RailUnavailable
from tests.flows.fake_backend import FakeBackend
from tests.flows.fake_rail import FakeRail
from tests.flows.live import assert_error, eventually, install, running, user
from tests.flows.test_money import SHOP, age, bought, buy, deliver, invoice


@pytest.fixture
def rail():
    return FakeRail()


@pytest.fixture
def shop(tmp_path, rail):
    with running(tmp_path, [FakeBackend()], settings=SHOP, rails=[rail]) as live:
        yield live
        live.assert_balanced()


def test_orders_of_a_rail_that_is_gone_do_not_stop_the_sweep(tmp_path) -> None:
    gone, here = FakeRail("gone"), FakeRail("here")
    with running(tmp_path, [FakeBackend()], settings=SHOP, rails=[gone, here]) as live:
        for n in range(120):
            bought(live, install(f"g{n}"), rail="gone")
        sold = bought(live, install("h"), rail="here")
    here.pay("inv1")
    with running(tmp_path, [FakeBackend()], settings=SHOP, rails=[here]) as live:
        for order in live.core.storage.read(lambda tx: [key for key, _ in tx.scan("orders", limit=200)]):
            age(live, order, next_check_at="2020-01-01T00:00:00Z" if order != sold["id"] else "2020-01-02T00:00:00Z")
        live.core.till.reconciler.tick()
        live.core.till.reconciler.tick()
        assert invoice(live, sold["id"], install("h"))["fulfilled"] is True


def test_a_hint_for_an_order_that_left_the_sweep_is_not_lost_while_the_rail_is_down(shop, rail) -> None:
    sold = bought(shop)
    age(shop, sold["id"], next_check_at=None, state="expired")
    rail.pay("inv1")
    rail.fail = RailUnavailable("down")
    assert deliver(shop).json["ignored"] == "checking"
    rail.fail = None
    shop.core.till.reconciler.all()
    assert shop.credits("i")["purchased"] == 20


def test_stopping_while_a_rail_hangs_ends(tmp_path, rail) -> None:
    with running(tmp_path, [FakeBackend()], settings=SHOP, rails=[rail]) as live:
        orders = [bought(live, install(f"i{n}"))["id"] for n in range(12)]
        rail.gate = threading.Event()
        for order in orders * 2:
            live.core.till.checks.soon(order)
        closing = threading.Thread(target=live.core.till.checks.close)
        closing.start()
        time.sleep(0.2)
        rail.gate.set()
        closing.join(20)
        assert not closing.is_alive()


def test_a_time_that_no_calendar_holds_breaks_no_sweep(shop, rail) -> None:
    first, second = bought(shop, install("a")), bought(shop, install("b"))
    rail.change("inv1", monitored_until=datetime(9999, 12, 31, tzinfo=UTC))
    rail.pay("inv2")
    report = shop.core.till.reconciler.all()
    assert report.asked == 2
    assert invoice(shop, second["id"], install("b"))["fulfilled"] is True
    assert invoice(shop, first["id"], install("a"))["status"] == "pending"


def test_checkouts_at_a_hanging_rail_leave_threads_for_everybody_else(shop, rail) -> None:
    rail.gate = threading.Event()
    waiting = [threading.Thread(target=buy, args=(shop, install(f"i{n}"))) for n in range(30)]
    for thread in waiting:
        thread.start()
    eventually(lambda: rail.calls["create"] >= 8)
    assert shop.get("/relay/health").status == 200
    assert_error(buy(shop, install("late")), 503, "upstream_unavailable", "rail")
    assert rail.calls["create"] == 8
    rail.gate.set()
    for thread in waiting:
        thread.join(20)


def test_a_flood_of_nudges_fills_no_inbox(tmp_path) -> None:
    rail = FakeRail(signed=False)
    with running(tmp_path, [FakeBackend()], settings=SHOP, rails=[rail]) as live:
        bought(live)
        for n in range(60):
            deliver(live, f"foreign-{n}")
            deliver(live)
        assert live.core.storage.read(lambda tx: tx.count("inbox")) <= 6


def test_what_a_person_credited_is_not_taken_back_by_the_rail(shop, rail) -> None:
    sold = bought(shop)
    admin = shop.login()
    shop.call("POST", f"/admin/payments/{sold['id']}/credit", headers=admin, json={"reason": "paid in cash"})
    rail.change("inv1", status="invalid", word="Invalid/Marked", marked=True)
    deliver(shop)
    shop.core.till.checks.now(sold["id"])
    assert shop.credits("i")["purchased"] == 20


def test_one_hanging_rail_does_not_hold_up_another(tmp_path) -> None:
    slow, good = FakeRail("slow"), FakeRail("good")
    with running(tmp_path, [FakeBackend()], settings=SHOP, rails=[slow, good]) as live:
        stuck = [bought(live, install(f"s{n}"), rail="slow")["id"] for n in range(20)]
        bought(live, install("g"), rail="good")
        good.pay("inv1")
        slow.gate = threading.Event()
        for order in stuck:
            live.core.till.checks.soon(order)
        assert deliver(live, rail="good").json == {"ok": True, "invoiceId": "inv1"}
        slow.gate.set()


def test_a_store_that_is_not_connected_any_more_is_for_a_person(shop, rail) -> None:
    sold = bought(shop)
    rail.store = "another-store"
    rail.invoices.clear()
    shop.core.till.checks.now(sold["id"])
    (row,) = shop.get("/admin/payments?state=review", shop.login()).json["payments"]
    assert row["review"]["reason"] == "another_store"


@pytest.mark.parametrize("price", ["0", "0.00", "0.001"])
def test_a_price_that_cannot_be_is_refused_at_the_start(tmp_path, price) -> None:
    with (
        pytest.raises(Exception, match="price"),
        running(tmp_path, settings=SHOP.replace('"5.00"', f'"{price}"')),
    ):
        pass


def test_a_reversed_purchase_of_an_endless_tier_leaves_it(shop, rail) -> None:
    who = user("u")
    shop.core.credits.set_tier("user:u", "pro", None, actor="test")
    shop.call("POST", "/relay/tier/checkout", headers=who, json={"tier": "pro"})
    rail.pay("inv1")
    rail.change("inv1", marked=True)
    deliver(shop)
    rail.change("inv1", status="invalid", word="Invalid/Marked")
    deliver(shop)
    eventually(lambda: bool(shop.get("/admin/payments?state=review", shop.login()).json["payments"]))
    assert shop.get("/relay/credits", who).json["credits"]["tier"] == "pro"
