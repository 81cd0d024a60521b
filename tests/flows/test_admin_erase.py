"""An account is erased, and the books are checked: what is left, and what happens to whoever comes back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from relay.services.account_admin import By
from relay.services.erasing import Erasing
from relay.services.idempotency import own_prefix
from tests.flows.background import submit
from tests.flows.fake_rail import FakeRail
from tests.flows.house import MORE, NUMBERS, SHOP, account, bought, deliver, give, last_audit, post
from tests.flows.live import (
    FakeBackend,
    Live,
    assert_error,
    at_once,
    eventually,
    running,
    user,
)


@pytest.fixture(scope="module")
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture(scope="module")
def rail() -> FakeRail:
    return FakeRail()


@pytest.fixture(scope="module")
def house(tmp_path_factory, backend, rail) -> Iterator[Live]:
    """One relay for all tests here: each has accounts of its own."""
    folder = tmp_path_factory.mktemp("house")
    with running(folder, [backend], settings=SHOP, plugins=MORE, rails=[rail]) as live:
        live.session = live.login()
        yield live
        live.assert_balanced()


@pytest.fixture
def name() -> str:
    return f"someone-{next(NUMBERS)}@example.com"


def everything(live: Live) -> str:
    """All documents but the ledger, the audit log and orders, as text."""
    kept = {"audit", "orders"}
    names = [table for table in live.core.storage._memory.tables if table not in kept]
    return repr(live.core.storage.read(lambda tx: {name: tx.scan(name, limit=10_000) for name in names}))


def test_nothing_is_kept_about_an_erased_account_but_its_entries(house, name) -> None:
    key, who = give(house, name), user(name)
    secret = house.call("POST", "/relay/keys", headers=who, json={"label": "phone"}).json["key"]
    assert house.analyze(who | {"Idempotency-Key": "k-1"}, job="one").status == 200
    reply = house.call("POST", "/relay/jobs", headers=who, json={"task": "analyze", "prompt": f"of {name}"})
    job = reply.json["job"]["id"]
    eventually(lambda: house.get(f"/relay/jobs/{job}", who).json["job"]["state"] == "completed")
    eventually(lambda: house.holds() == 0)
    own = own_prefix(key)

    def stored_answers() -> int:
        return house.core.storage.read(lambda tx: tx.count("idempotency", prefix=own))

    assert stored_answers() == 1
    reply = post(house, key, "erase", confirm=key)
    assert (reply.status, reply.json) == (200, {"ok": True, "erased": True})
    assert stored_answers() == 0
    assert name not in everything(house)
    assert_error(house.get(f"/admin/credits/{key}", house.session), 404, "not_found")
    assert_error(house.get("/relay/credits", {"Authorization": f"Bearer {secret}"}), 401, "bad_key")
    assert_error(house.get(f"/relay/jobs/{job}", who), 404, "not_found")
    entries = house.get(f"/admin/credits/{key}/history", house.session).json["entries"]
    assert (entries[0]["kind"], entries[0]["reference"]) == ("adjust", "erased")
    assert last_audit(house, "credits.erase")["before"]["purchased"] == 5
    assert_error(post(house, key, "erase", confirm=key), 404, "not_found")


def test_an_erased_caller_who_calls_again_starts_anew_and_the_chain_goes_on(house, name) -> None:
    key, who = give(house, name), user(name)
    house.analyze(who, job="one")
    assert post(house, key, "erase", confirm=key).status == 200
    reply = house.analyze(who, job="one")
    assert (reply.status, reply.charged, reply.json["credits"]["purchased"]) == (200, 1, 0)
    assert [entry["n"] for entry in house.entries(key)] == [1, 2, 3, 4]
    house.assert_balanced()


def test_an_account_with_a_call_or_a_job_running_is_busy(house, backend, name) -> None:
    key, who = give(house, name), user(name)
    backend.gate = threading.Event()
    try:
        reply = house.call("POST", "/relay/jobs", headers=who, json={"task": "analyze", "prompt": "x"})
        assert reply.status == 202, reply.body
        assert_error(post(house, key, "erase", confirm=key), 409, "busy")
        assert account(house, key)["held"] == 1
    finally:
        backend.gate.set()
        backend.gate = None
    eventually(lambda: account(house, key)["held"] == 0)
    assert post(house, key, "erase", confirm=key).status == 200


def test_a_payment_for_an_erased_account_is_credited_exactly_once(house, rail, name) -> None:
    key, who = give(house, name), user(name)
    number = bought(house, rail, who, email="buyer@example.com")
    assert post(house, key, "erase", confirm=key).status == 200
    orders = house.core.storage.read(lambda tx: tx.scan("orders", limit=1000))
    assert "buyer@example.com" not in repr(orders)
    rail.pay(number)
    assert [deliver(house, number).status for _ in range(3)] == [200] * 3
    assert account(house, key)["purchased"] == 20
    assert post(house, key, "erase", confirm=key).status == 200
    deliver(house, number)
    assert house.row(key) is None, "the payment was credited before"
    house.assert_balanced()


def test_an_erasure_is_answered_again_under_its_idempotency_key(house, name) -> None:
    key = give(house, name)
    headers = {"Idempotency-Key": f"erase-{name}"}
    replies = [post(house, key, "erase", headers, confirm=key) for _ in range(2)]
    assert [reply.status for reply in replies] == [200, 200]
    assert replies[1].headers["idempotent-replayed"] == "true"


def test_callers_who_call_during_the_erasure_neither_break_the_books_nor_see_a_500(house, name) -> None:
    key, who = give(house, name, 50), user(name)

    def act(n: int) -> int:
        if n % 4 == 0:
            return post(house, key, "erase", confirm=key).status
        return [house.analyze(who, job=f"j{n}").status for _ in range(4)][-1]

    assert set(at_once(12, act)) <= {200, 402, 404, 409}
    house.assert_balanced()


# The books.


def test_the_books_are_told_to_be_balanced_and_a_difference_is_named(house, name) -> None:
    key = give(house, name)
    house.core.books_check.start_pass()
    eventually(lambda: house.get("/admin/books", house.session).json["books"]["balanced"] is True)
    house.edit(key, purchased_balance=500)
    reply = house.call("POST", "/admin/books/verify", b"", house.session)
    assert reply.status == 200, reply.body
    eventually(lambda: house.get("/admin/books", house.session).json["books"]["balanced"] is False)
    books = house.get("/admin/books", house.session).json["books"]
    assert books["differing"] == [{"credit_key": key, "difference": "purchased_balance is 500, ledger says 5"}]
    house.edit(key, purchased_balance=5)
    house.core.books_check.start_pass()
    eventually(lambda: house.get("/admin/books", house.session).json["books"]["balanced"] is True)


def test_a_job_submitted_for_an_erased_account_is_its_own_again(house, name) -> None:
    """A job's id is made of the account and the caller's name for it: the old one must not be in the way."""
    assert submit(house, name, job="again").status == 202
    eventually(lambda: house.holds() == 0)
    assert post(house, f"inst:{name}", "erase", confirm=f"inst:{name}").status == 200
    assert submit(house, name, job="again").status == 202
    eventually(lambda: house.holds() == 0)


@pytest.mark.parametrize("stream", [False, True])
def test_a_free_call_of_a_paid_job_that_runs_is_a_running_call_too(house, backend, name, stream) -> None:
    """It holds nothing any more, yet its answer would be kept after the erasure."""
    assert house.analyze(user(name), job="one").charged == 1
    backend.gate = threading.Event()
    answers: list[Any] = []
    call = threading.Thread(target=lambda: answers.append(house.analyze(user(name), job="one", stream=stream)))
    call.start()
    eventually(lambda: backend.running == 1)
    key = f"user:{name}"
    assert_error(post(house, key, "erase", confirm=key), 409, "busy")
    backend.gate.set()
    backend.gate = None
    call.join(20)
    assert answers[0].status == 200
    eventually(lambda: post(house, key, "erase", confirm=key).status == 200)


def test_an_answer_that_comes_after_the_erasure_is_not_kept(house, backend, name) -> None:
    """As from another process, whose running calls are not seen here."""
    key = f"user:{name}"
    job = house.analyze(user(name), job="one").json["meta"]["server_job_id"]
    backend.gate = threading.Event()
    call = threading.Thread(target=lambda: house.analyze(user(name), job="one"))
    call.start()
    eventually(lambda: backend.running == 1)
    unseen = Erasing(house.core.storage, house.core.policy, ())
    unseen.erase(key, By("somebody"), lambda _tx: None)
    backend.gate.set()
    backend.gate = None
    call.join(20)
    assert_error(house.get(f"/admin/job-output/{job}", house.session), 404, "not_found")
