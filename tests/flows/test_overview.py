"""`GET /admin/dashboard`: the house at a glance, and what to look into first."""

import os
from typing import Any

import pytest

from relay.errors import StorageFull, Unavailable
from relay.services import overview_alerts
from tests.flows.fake_rail import FakeRail
from tests.flows.live import FakeBackend, Live, assert_error, eventually, running, user
from tests.flows.test_money import SHOP, age, bought, deliver


@pytest.fixture
def rail() -> FakeRail:
    return FakeRail()


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def live(tmp_path: Any, backend: FakeBackend, rail: FakeRail) -> Any:
    with running(tmp_path, [backend], settings=SHOP, rails=[rail]) as relay:
        yield relay


def seen(live: Live, admin: dict[str, str]) -> dict[str, Any]:
    reply = live.get("/admin/dashboard", admin)
    assert reply.status == 200, reply.body
    return reply.json


def alerts(live: Live, admin: dict[str, str]) -> dict[str, dict[str, Any]]:
    return {alert["id"]: alert for alert in seen(live, admin)["alerts"]}


def test_a_house_in_order_shows_figures_and_no_alert(live: Live) -> None:
    assert_error(live.get("/admin/dashboard"), 401, "unauthenticated")
    admin = live.login()
    live.analyze("inst-1")
    live.analyze(user("ann"))
    whole = seen(live, admin)
    assert whole["alerts"] == []
    assert (len(whole["hours"]), len(whole["days"])) == (48, 30)
    for span in ("today", "last_24h", "last_30d"):
        assert (whole["totals"][span]["calls"], whole["totals"][span]["charged"]) == (2, 2)
    assert whole["hours"][-1]["calls"] + whole["hours"][-2]["calls"] == 2
    assert whole["accounts"] == {"count": 2, "paid": 0, "blocked": 0}
    assert whole["money"] == {"open_orders": 0, "review": 0, "settled_30d": {}, "owed": 0}
    assert whole["queue"] == {"running": 0, "queued": 0, "jobs_queued": 0, "jobs_running": 0}
    assert [(backend["name"], backend["health"]["state"]) for backend in whole["backends"]] == [("fake", "closed")]
    assert whole["rails"] == [{"name": "fake", "state": "ok", "problem": None}]
    assert whole["books"].keys() >= {"balanced", "checked_at", "accounts", "progress", "differing"}
    assert whole["uptime_seconds"] >= 0
    assert whole["now"].startswith("20")


def test_money_that_came_in_is_shown_and_a_webhook_that_never_came_is_told(live: Live, rail: FakeRail) -> None:
    admin, order = live.login(), bought(live)
    assert seen(live, admin)["money"]["open_orders"] == 1
    rail.pay("inv1")
    live.call("POST", f"/admin/payments/{order['id']}/recheck", b"", admin)
    assert seen(live, admin)["money"]["settled_30d"] == {"USD": "5.00"}
    told = alerts(live, admin)["webhook:fake"]
    assert (told["level"], told["tab"]) == ("warning", "Payments")
    assert deliver(live).status == 200
    assert "webhook:fake" not in alerts(live, admin)


def test_a_payment_for_a_person_to_decide_and_credits_owed_are_told(live: Live, rail: FakeRail) -> None:
    admin, order = live.login(), bought(live)
    rail.pay("inv1")
    deliver(live)
    eventually(lambda: (live.row("inst:i") or {}).get("purchased_balance") == 20)
    live.edit("inst:i", purchased_balance=5)
    rail.change("inv1", status="invalid", word="Invalid")
    age(live, order["id"], next_check_at="2020-01-01T00:00:00Z")
    live.call("POST", f"/admin/payments/{order['id']}/recheck", b"", admin)
    whole = seen(live, admin)
    assert (whole["money"]["review"], whole["money"]["owed"]) == (1, 15)
    assert whole["days"][-1]["money_taken_back"] == {"USD": "5.00"}
    told = {alert["id"]: alert for alert in whole["alerts"]}
    assert told["review"]["text"] == "1 payment waits for your decision"
    assert told["owed"]["tab"] == "Users"
    live.call("POST", f"/admin/payments/{order['id']}/credit", headers=admin, json={"reason": "it was paid"})
    whole = seen(live, admin)
    assert (whole["money"]["review"], whole["money"]["owed"]) == (0, 0)


def test_a_backend_that_keeps_failing_comes_first(live: Live, backend: FakeBackend) -> None:
    admin = live.login()
    live.core.storage.transact(lambda tx: tx.put("outbox", "d1", {"dead_at": "2026-01-01T00:00:00Z"}))
    backend.fail = Unavailable("down")
    for _ in range(5):
        live.analyze("inst-1")
    found = seen(live, admin)["alerts"]
    assert [(alert["id"], alert["level"]) for alert in found] == [("backend:fake", "error"), ("callbacks", "warning")]
    assert found[1]["at"] == "2026-01-01T00:00:00Z"
    assert seen(live, admin)["totals"]["today"]["errors"] == {"upstream_unavailable": 5}


def test_a_payment_service_that_is_down_or_off_is_told_without_asking_it(live: Live, rail: FakeRail) -> None:
    admin = live.login()
    rail.why_off = "no store is connected"
    whole = seen(live, admin)
    assert whole["rails"] == [{"name": "fake", "state": "off", "problem": "no store is connected"}]
    assert whole["alerts"][0]["text"] == "Nothing is sold through fake: no store is connected"
    rail.why_off = None
    live.core.till.checks._down.add("fake")
    assert alerts(live, admin)["rail:fake"]["level"] == "error"
    assert rail.calls.total() == 0


def test_a_disk_without_room_is_told(live: Live, monkeypatch: Any) -> None:
    admin = live.login()
    monkeypatch.setattr(overview_alerts, "LOW_DISK_BYTES", 2**70)
    monkeypatch.setattr(overview_alerts, "LOW_DISK_SHARE", 1.1)
    assert "nearly full" in alerts(live, admin)["disk"]["text"]
    monkeypatch.undo()

    def full() -> None:
        raise StorageFull("the disk is full")

    monkeypatch.setattr(live.core.storage, "check", full)
    assert alerts(live, admin)["storage"]["level"] == "error"
    assert os.fspath(live.core.data_dir) not in str(alerts(live, admin))
