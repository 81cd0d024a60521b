"""Wipe all: callers and what they did are gone, the books and money on its way stay."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from relay.books import accounts
from tests.flows.fake_rail import FakeRail
from tests.flows.house import MORE, SHOP, bought, deliver, give, last_audit
from tests.flows.live import (
    FakeBackend,
    Live,
    Reply,
    assert_error,
    at_once,
    eventually,
    install,
    running,
    user,
)

GONE = ("credits", "jobs", "work", "pieces", "outputs", "idempotency", "subscriptions", "inbox", "usage")


@pytest.fixture
def rail() -> FakeRail:
    return FakeRail()


@pytest.fixture
def house(tmp_path, backend, rail) -> Any:
    with running(tmp_path, [backend], settings=SHOP, plugins=MORE, rails=[rail]) as live:
        live.session = live.login()
        yield live
        live.assert_balanced()


def wipe(live: Live, confirm: Any = "wipe all", **body: Any) -> Reply:
    return live.call("POST", "/admin/wipe-all", headers=live.session, json={"confirm": confirm} | body)


def count(live: Live, coll: str) -> int:
    return live.core.storage.read(lambda tx: tx.count(coll))


def test_callers_are_gone_and_the_house_stays(house, rail) -> None:
    session = house.session
    give(house, "ann")
    secret = house.call("POST", "/relay/keys", headers=user("ann"), json={"label": "phone"}).json["key"]
    idle = house.call("POST", "/relay/keys", headers=user("idle"), json={"label": "x"}).json["key"]
    house.call("POST", "/admin/keys", headers=session, json={"role": "support", "label": "desk"})
    code = {"code": "SPRING", "kind": "percent", "value": 10}
    assert house.call("POST", "/admin/codes", headers=session, json=code).status in {200, 201}
    for n in range(3):
        assert house.analyze(user("ann") | {"Idempotency-Key": f"k-{n}"}).status == 200
    reply = house.call("POST", "/relay/jobs", headers=user("ann"), json={"task": "analyze", "prompt": "x"})
    assert reply.status == 202
    rail.pay(bought(house, rail, user("ann")))
    deliver(house, "inv1")
    waiting = bought(house, rail, user("ann"), email="buyer@example.com")
    eventually(lambda: house.holds() == 0)
    kept = {name: count(house, name) for name in ("admin-keys", "codes", "processed-webhooks", "settings")}

    reply = wipe(house)
    assert reply.status == 200, reply.body
    wiped = reply.json["wiped"]
    assert (wiped["accounts"], wiped["jobs"], wiped["orders"], wiped["keys"]) == (1, 4, 1, 2)
    assert {name: count(house, name) for name in GONE if name != "usage"} == dict.fromkeys(
        (name for name in GONE if name != "usage"), 0
    )
    assert {name: count(house, name) for name in kept} == kept
    assert house.get("/admin/credits", session).json["count"] == 0, "the session is as it was"
    for key in (secret, idle):
        assert_error(house.get("/relay/credits", {"Authorization": f"Bearer {key}"}), 401, "bad_key")
    line = last_audit(house, "house.wipe")
    assert (line["actor"], line["after"]) == ("admin", wiped)
    house.assert_balanced()

    # Money that was on its way arrives once; what was credited before is not credited again.
    orders = house.core.storage.read(lambda tx: tx.scan("orders", limit=10))
    assert "buyer@example.com" not in repr(orders)
    rail.pay(waiting)
    for number in (waiting, "inv1", waiting):
        assert deliver(house, number).status == 200
    assert house.credits(user("ann"))["purchased"] == 20
    assert house.analyze(user("ann")).json["credits"]["remaining"] == 9
    house.assert_balanced()


@pytest.mark.parametrize("confirm", ["", "wipe", "WIPE ALL", "wipe all ", "wipe  all", None, True, ["wipe all"]])
def test_only_the_exact_words_wipe(house, confirm) -> None:
    give(house, "ann")
    reply = wipe(house, confirm)
    assert_error(reply, 422, "invalid")
    assert reply.error["details"] == {"path": "confirm"}
    assert_error(house.call("POST", "/admin/wipe-all", headers=house.session, json={}), 422, "invalid")
    assert count(house, "credits") == 1


def test_only_the_password_wipes(house) -> None:
    reply = house.call("POST", "/admin/keys", headers=house.session, json={"role": "full-admin", "label": "all"})
    key = {"Authorization": f"Bearer {reply.json['key']}"}
    give(house, "ann")
    assert_error(house.call("POST", "/admin/wipe-all", headers=key, json={"confirm": "wipe all"}), 403, "forbidden")
    assert_error(house.call("POST", "/admin/wipe-all", json={"confirm": "wipe all"}), 401, "unauthenticated")
    assert count(house, "credits") == 1


def test_while_calls_run_it_is_refused_and_with_force_they_end_uncharged(house, backend) -> None:
    backend.gate = threading.Event()
    answers: list[Reply] = []
    call = threading.Thread(target=lambda: answers.append(house.analyze("caller", job="one")))
    call.start()
    job = house.call("POST", "/relay/jobs", headers=install("other"), json={"task": "analyze", "prompt": "x"})
    assert job.status == 202
    eventually(lambda: house.holds() == 2 and backend.running == 2)
    reply = wipe(house)
    assert_error(reply, 409, "busy")
    assert reply.error["details"]["running"] >= 2
    assert count(house, "credits") == 2
    assert wipe(house, force=True).status == 200
    assert (count(house, "credits"), house.holds(), count(house, "work")) == (0, 0, 0)
    backend.gate.set()
    call.join(20)
    assert (answers[0].status, answers[0].charged) == (200, 0)
    assert house.row("inst:caller") is None
    house.assert_balanced()
    assert house.analyze("caller", job="one").charged == 1


def test_a_wipe_that_was_cut_off_is_finished_by_the_next(house, monkeypatch) -> None:
    for n in range(8):
        give(house, f"user-{n}")
        house.analyze(user(f"user-{n}"))
    delete, gone = accounts.delete, []

    def breaks(tx, key):
        gone.append(key)
        if len(gone) == 5:
            raise RuntimeError("the power is out")
        delete(tx, key)

    monkeypatch.setattr("relay.services.wipe.BATCH", 2)
    monkeypatch.setattr("relay.books.accounts.delete", breaks)
    assert wipe(house).status == 500
    house.assert_balanced()
    assert count(house, "credits") == 4
    monkeypatch.undo()
    assert wipe(house).json["wiped"]["accounts"] == 4
    assert count(house, "jobs") == 0
    house.assert_balanced()


def test_a_second_wipe_beside_the_first_is_refused_or_finds_nothing(house) -> None:
    for n in range(5):
        give(house, f"user-{n}")
    replies = at_once(4, lambda _: wipe(house))
    assert {reply.status for reply in replies} <= {200, 409}
    assert sum(reply.json["wiped"]["accounts"] for reply in replies if reply.status == 200) == 5
    house.assert_balanced()


def test_no_saved_card_is_charged_after_a_wipe(house) -> None:
    """A subscription is what a renewal comes from."""
    key = give(house, "ann")
    due = {
        "tier": "pro",
        "rail": "fake",
        "period_days": 30,
        "through": "2026-01-01T00:00:00Z",
        "contact": "c",
        "card_order": "o",
        "next_at": "2026-01-01T00:00:00Z",
    }
    house.core.storage.transact(lambda tx: tx.put("subscriptions", key, due))
    assert wipe(house).json["wiped"]["subscriptions"] == 1
    assert house.core.till.renewals.tick() == 0


LIMITED = """
[tiers.core]
lifetime_credits = 10
lifetime_gemini = 5
"""


@pytest.fixture
def cut_off(start) -> Any:
    """A relay with a dear backend, and a wipe of it that stops when the accounts are gone."""
    own, dear = FakeBackend("own"), FakeBackend("dear", cost_class="gemini")
    with start(own, dear, settings=LIMITED) as live:
        live.session = live.login()

        def stop() -> None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("relay.services.wipe._closed_pieces", None)
                patch.setattr("relay.services.wipe.Wipe._drop_outputs", None)
                live.core.storage.transact(lambda tx: tx.put("pieces", "job_x/1", {}))
                assert wipe(live).status == 500
            assert count(live, "credits") == 0

        live.cut_off = stop
        yield live
        live.core.storage.transact(lambda tx: tx.delete("pieces", "job_x/1"))
        live.assert_balanced()


def test_a_further_call_of_a_job_from_before_the_wipe_does_not_break_the_chain(cut_off) -> None:
    assert cut_off.analyze("caller", job="one", backend="own").charged == 1
    cut_off.cut_off()
    assert cut_off.analyze("caller", job="one", backend="dear").charged == 1
    cut_off.assert_balanced()


def test_a_job_from_before_the_wipe_is_not_refunded_to_the_row_that_came_after_it(cut_off) -> None:
    job = cut_off.analyze("caller", backend="dear").json["meta"]["server_job_id"]
    cut_off.cut_off()
    assert cut_off.analyze("caller", backend="own").charged == 1
    reply = cut_off.call("POST", f"/admin/job/{job}/refund", headers=cut_off.session, json={"reason": "x"})
    assert_error(reply, 404, "not_found")
    left = cut_off.credits("caller")
    assert (left["total"], left["gemini_remaining"]) == (9, 5)


def test_answers_that_come_in_during_a_wipe_still_count_in_the_store(house, monkeypatch) -> None:
    """Else the store would hold more than it says, and more than it may."""
    house.analyze("before")
    walk = type(house.core.wipe)._walk

    def walks(self, coll, act):
        if coll == "idempotency":
            assert house.analyze("meanwhile").status == 200
        return walk(self, coll, act)

    monkeypatch.setattr(type(house.core.wipe), "_walk", walks)
    assert wipe(house).status == 200
    assert count(house, "outputs") == 1
    stats = house.get("/admin/output-store-stats", house.session).json
    assert stats["bytes"] > 0
