"""The reconciler: bounded per tick, oldest due first, each order at its own back-off."""

from datetime import UTC, datetime, timedelta

import pytest

from relay.books import orders
from relay.domain.money import money
from relay.domain.orders import Order
from relay.domain.sweep import MARKED_DAYS, STEPS, next_check
from relay.ports.rails import Snapshot
from relay.services import reconcile
from tests.flows.fake_backend import FakeBackend
from tests.flows.fake_rail import FakeRail
from tests.flows.live import running
from tests.flows.test_money import SHOP

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def order(**fields):
    made = Order("inst:i", "package", "small", "20 credits", 500, "USD", "fake", NOW, "inst:i 2026", credits=20)
    made.monitored_until = NOW + 24 * HOUR
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_an_open_order_is_asked_about_less_and_less_often() -> None:
    pauses = [(next_check(order(checks=n), NOW, 72) - NOW).total_seconds() for n in range(len(STEPS) + 3)]
    assert pauses == [*STEPS, STEPS[-1], STEPS[-1], STEPS[-1]]


def test_it_leaves_the_sweep_only_after_an_answer_later_than_the_window() -> None:
    end = NOW + (24 + 72) * HOUR
    assert next_check(order(), end, 72) is not None
    assert next_check(order(), end + timedelta(seconds=1), 72) is None


def test_a_fulfilled_order_leaves_at_once_unless_a_person_marked_it() -> None:
    assert next_check(order(fulfilled_at=NOW), NOW, 72) is None
    marked = order(fulfilled_at=NOW, marked=True)
    assert next_check(marked, NOW, 72) == NOW + timedelta(days=1)
    assert next_check(marked, NOW + timedelta(days=MARKED_DAYS), 72) is None
    assert next_check(order(fulfilled_at=NOW, marked=True, reversed_at=NOW), NOW, 72) is None


@pytest.fixture
def rail():
    return FakeRail()


@pytest.fixture
def live(tmp_path, rail):
    with running(tmp_path, [FakeBackend()], settings=SHOP, rails=[rail]) as live:
        yield live


def save(live, rail, count, start=0):
    """Open orders with an invoice each, the first due the longest."""

    def put(tx):
        for n in range(start, start + count):
            made = order(invoice=f"fake inv{n}", next_check_at=NOW + timedelta(seconds=n))
            made.monitored_until = NOW + timedelta(days=36_500)
            orders.put(tx, f"ord_{n:06}", made)

    live.core.storage.transact(put)
    for n in range(start, start + count):
        rail.invoices[f"inv{n}"] = Snapshot(
            f"inv{n}", f"ord_{n:06}", "pending", "New", money("5.00", "USD"), rail.store
        )


def test_with_10_000_open_orders_a_tick_asks_its_bound_oldest_due_first(live, rail) -> None:
    for start in range(0, 10_000, 1000):
        save(live, rail, 1000, start)
    report = live.core.till.reconciler.tick()
    assert report.asked == rail.calls["fetch"] == reconcile.PER_TICK
    left = live.core.storage.read(lambda tx: tx.scan("orders", "next_check_at", limit=1))
    assert left[0][0] == f"ord_{reconcile.PER_TICK:06}"


def test_one_pass_asks_all_and_says_what_is_left(live, rail) -> None:
    save(live, rail, 250)
    for n in range(0, 250, 2):
        rail.pay(f"inv{n}")
    report = live.core.till.reconciler.all()
    assert (report.asked, report.granted, report.failed, report.left) == (250, 125, 0, 125)
    reply = live.call("POST", "/admin/reconcile", headers=live.login())
    assert reply.json == {"ok": True, "asked": 125, "granted": 0, "failed": 0, "left": 125}
    live.assert_balanced()


def test_while_one_rail_is_down_the_orders_of_the_other_go_on(tmp_path) -> None:
    down, up = FakeRail("down"), FakeRail("up")
    with running(tmp_path, [FakeBackend()], settings=SHOP, rails=[down, up]) as live:
        save(live, up, 3)
        live.core.storage.transact(
            lambda tx: [
                orders.put(tx, f"ord_{n:06}", order(rail=("down", "up")[n % 2], invoice=f"x inv{n}", next_check_at=NOW))
                for n in range(3)
            ]
        )
        down.fail = OSError("gone")
        up.pay("inv1")
        report = live.core.till.reconciler.all()
        assert (report.asked, report.granted, report.failed) == (3, 1, 2)
        assert live.core.till.checks.is_down("down")
        assert not live.core.till.checks.is_down("up")
