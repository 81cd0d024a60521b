"""One credit for one answer, once."""

import threading

import pytest

from relay.errors import Conflict, Forbidden, PaymentRequired
from relay.ports.storage import Tx
from relay.settings import JobSettings, Package, TierSettings
from tests.core.books import Books

CORE_3 = {"core": TierSettings(lifetime_credits=3), "pro": TierSettings(monthly_credits=2, period_days=30)}


@pytest.fixture
def books():
    return Books(CORE_3)


def test_an_answer_costs_one_credit_and_writes_one_entry(books):
    receipt = books.answer()
    assert receipt.charged == 1
    assert receipt.credits == {
        "charged": 1,
        "remaining": 2,
        "purchased": 0,
        "total": 2,
        "gemini_remaining": None,
        "held": 0,
        "capped": "lifetime",
        "tier": "core",
    }
    assert books.kinds() == ["charge"]
    books.verified()


def test_an_open_hold_is_off_the_balance_and_comes_back(books):
    call = books.begin()
    assert (books.read()["total"], books.read()["held"]) == (2, 1)
    books.meter.release(call)
    assert (books.read()["total"], books.read()["held"]) == (3, 0)
    assert books.kinds() == []
    books.verified()


def test_reading_makes_no_row(books):
    assert books.read("user:nobody")["total"] == 3
    assert books.storage.read(lambda tx: tx.count("credits")) == 0


def test_a_refused_call_makes_no_row_and_says_what_to_buy():
    books = Books({"core": TierSettings(lifetime_credits=0)}, packages=(Package("small", 20, "5.00"),))
    with pytest.raises(PaymentRequired) as refused:
        books.begin()
    assert refused.value.details == {
        "needed": 1,
        "available": 0,
        "packages": ["small"],
        "checkout_path": "/relay/credits/checkout",
    }
    assert books.storage.read(lambda tx: tx.count("credits")) == 0


def test_the_allowance_is_spent_before_purchased_credit(books):
    books.credits.grant("user:u", 2, reason="", actor="t", make_row=True)
    spent = [(r.credits["remaining"], r.credits["purchased"]) for r in (books.answer() for _ in range(5))]
    assert spent == [(2, 2), (1, 2), (0, 2), (0, 1), (0, 0)]
    with pytest.raises(PaymentRequired):
        books.begin()
    books.verified()


def test_sixty_four_racing_calls_never_spend_more_than_there_is(books):
    answers, barrier = [], threading.Barrier(64)

    def run():
        barrier.wait()
        try:
            answers.append(books.answer().charged)
        except PaymentRequired:
            answers.append(0)

    threads = [threading.Thread(target=run) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(answers) == 3
    assert books.read()["total"] == 0
    books.verified()


def test_two_first_calls_of_a_job_charge_once(books):
    one, two = books.begin(job="j"), books.begin(job="j")
    assert books.read()["held"] == 1
    assert (books.settle(two).charged, books.settle(one).charged) == (1, 0)
    assert books.read()["total"] == 2
    books.verified()


def test_the_hold_stays_while_another_call_of_the_job_runs(books):
    one, two = books.begin(job="j"), books.begin(job="j")
    books.meter.release(one)
    assert books.read()["held"] == 1
    assert books.settle(two).charged == 1
    books.verified()


def test_the_last_call_without_an_answer_gives_the_hold_back(books):
    one, two = books.begin(job="j"), books.begin(job="j")
    books.meter.release(one)
    books.meter.release(two)
    assert (books.read()["held"], books.read()["total"]) == (0, 3)


def test_settling_or_releasing_again_books_nothing(books):
    call = books.begin()
    assert books.settle(call).charged == 1
    assert books.settle(call).charged == 0
    books.meter.release(call)
    assert books.read()["total"] == 2
    books.verified()


def test_a_settle_after_the_hold_was_given_back_books_nothing(books):
    call = books.begin(job="j")
    books.restart()
    assert books.settle(call).charged == 0
    assert (books.read()["total"], books.kinds()) == (3, [])
    books.verified()


def test_a_late_settle_does_not_take_the_hold_of_a_newer_call(books):
    late = books.begin(job="j")
    books.restart()
    newer = books.begin(job="j")
    assert books.settle(late).charged == 0
    assert books.read()["held"] == 1
    books.meter.release(late)
    assert books.read()["held"] == 1
    assert books.settle(newer).charged == 1
    books.verified()


def test_follow_up_calls_of_a_paid_job_are_free_until_the_window_ends():
    books = Books(CORE_3, jobs=JobSettings(free_window_hours=24, max_calls=500))
    books.answer(job="j")
    books.later(hours=23)
    assert books.answer(job="j").charged == 0
    books.later(hours=1)
    with pytest.raises(Conflict) as closed:
        books.begin(job="j")
    assert closed.value.code == "job_closed"


def test_a_job_is_closed_after_its_number_of_calls():
    books = Books(CORE_3, jobs=JobSettings(max_calls=3))
    assert [books.answer(job="j").charged for _ in range(3)] == [1, 0, 0]
    with pytest.raises(Conflict):
        books.begin(job="j")


def test_a_failed_follow_up_does_not_use_up_a_call():
    books = Books(CORE_3, jobs=JobSettings(max_calls=2))
    books.answer(job="j")
    for _ in range(5):
        books.meter.release(books.begin(job="j"))
    assert books.answer(job="j").charged == 0


def test_the_same_name_in_another_account_is_another_job(books):
    assert [books.answer(a, job="j").charged for a in ("user:a", "user:b")] == [1, 1]


def test_a_job_can_be_named_by_the_servers_id_within_its_account_only(books):
    first = books.begin()
    books.settle(first)
    assert first.job_name == first.job_id
    assert books.answer(job=first.job_id).charged == 0
    assert books.answer("user:other", job=first.job_id).charged == 1


def test_the_servers_id_joins_a_job_that_is_still_running(books):
    first = books.begin()
    second = books.begin(job=first.job_id)
    assert second.job_id == first.job_id
    assert (books.settle(second).charged, books.settle(first).charged) == (1, 0)


def test_a_blocked_account_is_refused(books):
    books.answer()

    def block(tx: Tx) -> None:
        tx.put("credits", "user:u", tx.get("credits", "user:u") | {"blocked": True})

    books.storage.transact(block)
    with pytest.raises(Forbidden) as refused:
        books.begin()
    assert refused.value.code == "blocked"


def test_an_expired_licence_spends_purchased_credit_only(books):
    licence = {"tier": "pro", "allowance": False}
    with pytest.raises(PaymentRequired):
        books.begin("lic:x", **licence)
    assert books.read("lic:x", **licence)["remaining"] == 0
    books.credits.grant("lic:x", 1, reason="", actor="t", make_row=True)
    receipt = books.answer("lic:x", **licence)
    assert (receipt.credits["purchased"], receipt.credits["remaining"]) == (0, 0)
    books.verified()


def test_a_licence_brings_its_tier(books):
    receipt = books.answer("lic:x", tier="pro")
    assert (receipt.credits["tier"], receipt.credits["remaining"], receipt.credits["capped"]) == ("pro", 1, "monthly")
    books.verified()


def test_a_crash_gives_back_every_hold_of_the_dead_process_and_no_other(books):
    books.begin("user:a")
    other = books.new_process()
    mine = other.begin(books.begin("user:b").identity, "mine", "analyze")
    other.sweep(lambda owner: owner == books.meter.owner)
    assert books.read("user:a")["held"] == 0
    assert books.read("user:b")["held"] == 1
    assert other.settle(mine, backend="b", model="m", cost_class="x").charged == 1
    books.verified()


def test_the_sweep_leaves_running_calls_alone_and_frees_forgotten_ones(books):
    running, forgotten = books.begin("user:a"), books.begin("user:b")
    books.meter._running.discard(forgotten.id)
    assert books.meter.sweep(lambda _owner: False) == 1
    assert (books.read("user:a")["held"], books.read("user:b")["held"]) == (1, 0)
    assert books.settle(running).charged == 1


def test_a_failed_job_keeps_its_reason(books):
    call = books.begin(job="j")
    books.meter.release(call, Conflict("no", code="why"))
    job = books.storage.read(lambda tx: tx.get("jobs", call.job_id))
    assert (job["name"], job["task"], job["error"]["code"]) == ("j", "analyze", "why")
    assert books.answer(job="j").charged == 1
