"""What the operator does to accounts keeps the books balanced; the table of them is exact in every order."""

from datetime import timedelta
from itertools import pairwise, product

import pytest

from relay.books import accounts, audit, jobs, orders
from relay.domain.orders import Order
from relay.domain.tiers import DERIVED
from relay.errors import Conflict, Invalid, NotFound
from relay.services import account_table
from relay.services.account_admin import AccountAdmin, By
from relay.services.account_table import SORTS, AccountTable, Wish
from relay.services.erasing import Erasing
from relay.services.verify import adopt_outside_changes
from relay.settings import TierSettings
from tests.core.books import Books

TIERS = {
    "core": TierSettings(lifetime_credits=5, lifetime_gemini=2),
    "pro": TierSettings(monthly_credits=5),
    "all": TierSettings(),
}
BY = By("admin", "a reason")


def nothing(_tx, *_more):
    pass


class House(Books):
    def __init__(self, **more):
        super().__init__(TIERS, **more)
        self.admin = AccountAdmin(self.storage, self.policy, lambda: self.now)
        self.erasing = Erasing(self.storage, self.policy, (), lambda: self.now)

    def give(self, key, amount):
        self.credits.grant(key, amount, reason="", actor="t", make_row=True)

    def row(self, key):
        return self.storage.read(lambda tx: tx.get("credits", key))

    def entries(self, key):
        return list(reversed(self.admin.history(key, limit=500, before=None)))

    def log(self):
        return [change for _, change in self.storage.read(lambda tx: audit.page(tx, limit=50))]


@pytest.fixture
def house():
    return House()


# Debit, tier, block.


def test_a_debit_is_an_entry_and_a_line_in_the_audit_log(house):
    house.give("user:a", 7)
    house.admin.debit("user:a", 3, BY, nothing)
    assert house.read("user:a")["purchased"] == 4
    entry = house.entries("user:a")[-1]
    assert (entry.kind, entry.bucket, entry.amount, entry.reason, entry.actor) == (
        "adjust",
        "purchased",
        -3,
        "a reason",
        "admin",
    )
    line = house.log()[0]
    assert (line.action, line.target, line.actor, line.reason) == ("credits.debit", "user:a", "admin", "a reason")
    assert (line.before, line.after) == ({"purchased": 7}, {"purchased": 4})
    house.verified()


def test_a_debit_takes_no_more_than_there_is_and_says_how_much_that_is(house):
    house.give("user:a", 2)
    house.begin("user:a")
    with pytest.raises(Conflict) as refusal:
        house.admin.debit("user:a", 3, BY, nothing)
    assert (refusal.value.code, refusal.value.details) == ("not_enough", {"purchased": 2})
    assert house.log() == []
    assert house.kinds("user:a") == ["grant"]
    house.verified()


def test_a_tier_is_set_with_its_reason_and_core_is_taken_over_once(house):
    house.answer("user:a")
    house.admin.set_tier("user:a", "pro", 10, BY, nothing)
    assert house.row("user:a")["paid_tier"] == "pro"
    assert house.read("user:a")["purchased"] == 4
    assert [entry.reason for entry in house.entries("user:a") if entry.kind == "tier"] == ["a reason"]
    assert house.log()[0].after["tier"] == "pro"
    house.admin.set_tier("user:a", "core", None, BY, nothing)
    assert house.row("user:a")["paid_tier"] is None
    house.verified()


def test_tiers_that_make_no_sense_are_refused(house):
    house.give("user:a", 1)
    for name, days in (("gold", None), ("", None), ("core", 30)):
        with pytest.raises(Invalid):
            house.admin.set_tier("user:a", name, days, BY, nothing)
    with pytest.raises(NotFound):
        house.admin.set_tier("user:none", "pro", None, BY, nothing)
    assert house.row("user:none") is None


def test_a_block_is_known_since_when_and_ends(house):
    house.give("user:a", 1)
    house.admin.block("user:a", BY, nothing, blocked=True)
    since = house.row("user:a")["blocked_at"]
    house.later(days=1)
    house.admin.block("user:a", BY, nothing, blocked=True)
    assert house.row("user:a")["blocked_at"] == since == "2026-01-01T00:00:00Z"
    house.admin.block("user:a", BY, nothing, blocked=False)
    assert house.row("user:a")["blocked_at"] is None
    assert [line.action for line in house.log()] == ["credits.unblock", "credits.block", "credits.block"]


# Moving.


def test_moved_credits_are_two_entries_with_one_reference_that_name_nobody_else(house):
    house.give("user:a", 7)
    house.give("inst:b", 1)
    house.admin.move("user:a", "inst:b", 5, BY, nothing)
    gave, got = house.entries("user:a")[-1], house.entries("inst:b")[-1]
    assert (gave.amount, got.amount) == (-5, 5)
    assert gave.reference == got.reference
    assert gave.reference.startswith("move_")
    assert "inst:b" not in repr(gave), "an install id is a secret"
    assert house.log()[0].target == "user:a -> inst:b"
    house.verified()


def test_all_credits_move_and_a_new_row_is_made_for_a_well_formed_key(house):
    house.give("user:a", 7)
    house.admin.move("user:a", " lic:0123456789abcdef ", None, BY, nothing)
    assert house.read("user:a")["purchased"] == 0
    assert house.read("lic:0123456789abcdef")["purchased"] == 7
    house.verified()


@pytest.mark.parametrize(
    "to", ["user:", "user:..", "nobody", "", "user:a b", "user:a/b", "ghost:x", "inst:" + "x" * 129]
)
def test_credits_move_to_no_key_that_nobody_can_have(house, to):
    house.give("user:a", 7)
    with pytest.raises(Invalid):
        house.admin.move("user:a", to, 1, BY, nothing)
    assert house.read("user:a")["purchased"] == 7


def test_a_move_to_itself_of_nothing_or_of_too_much_is_refused(house):
    house.give("user:a", 1)
    with pytest.raises(Invalid):
        house.admin.move("user:a", "user:a", 1, BY, nothing)
    with pytest.raises(Conflict):
        house.admin.move("user:a", "user:b", 2, BY, nothing)
    house.admin.debit("user:a", 1, BY, nothing)
    with pytest.raises(Conflict):
        house.admin.move("user:a", "user:b", None, BY, nothing)
    with pytest.raises(NotFound):
        house.admin.move("user:none", "user:b", None, BY, nothing)
    assert house.row("user:b") is None


# Erasing.


def order(account, **more):
    return Order(
        account, "package", "small", "20 credits", 500, "USD", "fake", Books().now, f"{account} 2026 o", **more
    )


def test_an_erased_account_leaves_its_entries_and_nothing_else(house):
    house.give("user:a", 7)
    house.admin.set_tier("user:a", "pro", 10, BY, nothing)
    house.answer("user:a", job="one")
    house.storage.transact(lambda tx: orders.put(tx, "o", order("user:a", email="a@example.com", contact="c")))
    house.erasing.erase("user:a", BY, nothing)
    assert house.row("user:a") is None
    assert house.storage.read(lambda tx: tx.count(jobs.COLL)) == 0
    kept = house.storage.read(lambda tx: orders.get(tx, "o"))
    assert (kept.email, kept.contact, kept.account) == ("", "", "user:a")
    assert house.kinds("user:a")[-1] == "adjust"
    assert house.log()[0].action == "credits.erase"
    house.verified()


def test_an_erased_account_that_comes_back_goes_on_with_its_chain(house):
    house.give("user:a", 7)
    for _ in range(2):
        house.admin.set_tier("user:a", "pro", 10, BY, nothing)
        house.answer("user:a")
        house.erasing.erase("user:a", BY, nothing)
        house.verified()
        house.answer("user:a")
        house.verified()
    assert (house.read("user:a")["remaining"], house.read("user:a")["purchased"]) == (4, 0)
    entries = house.entries("user:a")
    assert [entry.n for entry in entries] == list(range(1, len(entries) + 1))
    assert all(after.prev == before.hash for before, after in pairwise(entries))


@pytest.mark.parametrize("way", ["grant", "tier", "move"])
def test_every_way_back_goes_on_with_the_chain(house, way):
    house.give("user:a", 7)
    house.erasing.erase("user:a", BY, nothing)
    if way == "grant":
        house.give("user:a", 1)
    elif way == "tier":
        house.credits.set_tier("user:a", "pro", None, actor="t")
    else:
        house.give("user:b", 1)
        house.admin.move("user:b", "user:a", None, BY, nothing)
    house.verified()
    assert len(house.entries("user:a")) == 3


def test_an_account_with_a_call_or_a_job_running_is_not_erased(house):
    house.give("user:a", 7)
    call = house.begin("user:a")
    with pytest.raises(Conflict) as refusal:
        house.erasing.erase("user:a", BY, nothing)
    assert refusal.value.code == "busy"
    house.settle(call)
    house.erasing.erase("user:a", BY, nothing)
    house.verified()


def test_nobody_is_erased_who_never_was(house):
    with pytest.raises(NotFound):
        house.erasing.erase("user:none", BY, nothing)
    assert house.log() == []


def test_an_erasure_that_was_cut_off_is_finished_by_the_next(house, monkeypatch):
    house.give("user:a", 7)
    for n in range(120):
        house.answer("user:a", job=f"free-{n}") if n < 12 else None
    monkeypatch.setattr(house.erasing, "_end", lambda *_a, **_k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        house.erasing.erase("user:a", BY, nothing)
    house.verified()
    monkeypatch.undo()
    house.erasing.erase("user:a", BY, nothing)
    assert house.row("user:a") is None
    house.verified()


def test_an_edited_file_brings_no_erased_account_back(house):
    house.give("user:a", 7)
    house.give("user:b", 7)
    house.erasing.erase("user:a", BY, nothing)
    house.storage.transact(
        lambda tx: tx.put("credits", "user:b", tx.get("credits", "user:b") | {"purchased_balance": 9})
    )
    house.storage.outside_changes = lambda: {"credits": "/data/credits.json"}
    assert adopt_outside_changes(house.storage, house.policy, lambda: house.now) == 1
    assert house.row("user:a") is None
    house.verified()


# The table.


@pytest.fixture(scope="module")
def many():
    house = House()
    for n in range(60):
        key = f"{('user', 'inst', 'lic')[n % 3]}:{'Ann' if n % 4 else 'bob'}-{n * 7 % 60:02}"
        house.give(key, n % 5 + 1)
        if n % 5 == 0:
            house.admin.set_tier(key, "pro" if n % 2 else "all", 40 + n, BY, nothing)
        if n % 7 == 0:
            house.admin.block(key, BY, nothing, blocked=True)
        for _ in range(n % 3):
            house.answer(key) if n % 7 else None
        house.later(minutes=n % 3)
    house.storage.transact(
        lambda tx: accounts.save(tx, "stranger", accounts.new(tx, "stranger", house.now), house.policy.tiers, house.now)
    )
    return house


def place(row, sort):
    if sort == "tier":
        return "" if row["tier_snapshot"] == "core" else row["tier_snapshot"]
    if sort in {"credit_key", "type"}:
        return ""
    value = row[sort]
    return 2**53 if value is None else value


@pytest.mark.parametrize("few", [0, 5000])
@pytest.mark.parametrize("sort", list(SORTS))
def test_every_filter_with_every_order_gives_exactly_the_rows_that_fit(many, monkeypatch, few, sort):
    """The same as looking at every row, whether the rows are few enough to be sorted here or not."""
    monkeypatch.setattr(account_table, "FEW", few)
    table = AccountTable(many.storage, many.policy, lambda: many.now)
    keys = [key for key, _ in many.storage.read(lambda tx: tx.scan("credits", limit=100))]
    rows = [many.admin.one(key) for key in keys]
    choices = product(
        [None, "ANN", "a"], [None, "cloud", "license", "install"], [None, "core", "pro"], [None, False, True]
    )
    for search, kind, tier, blocked in choices:
        fit = [
            row
            for row in rows
            if (search or "").lower() in row["credit_key"].lower()
            and kind in {None, row["type"]}
            and tier in {None, row["tier_snapshot"]}
            and blocked in {None, row["blocked"]}
        ]
        for descending in (False, True):
            fit.sort(key=lambda row: (place(row, sort), row["credit_key"]), reverse=descending)
            wish = Wish(sort, descending, search, kind, tier, blocked)
            for offset, limit in ((0, 100), (3, 4), (50, 7), (1000, 5)):
                count, capped, page = table.page(wish, limit=limit, offset=offset)
                assert page == fit[offset : offset + limit], wish
                assert capped or count == len(fit), wish


def test_a_row_without_a_known_prefix_is_an_install_like_any_other(many):
    table = AccountTable(many.storage, many.policy, lambda: many.now)
    _, _, rows = table.page(Wish(type="install"), limit=100, offset=0)
    assert "stranger" in {row["credit_key"] for row in rows}


def test_rows_of_an_older_relay_are_in_every_order_after_the_reindex(house):
    """Such a row has none of the fields that were added, and may never have been active."""
    from tests.core.test_housekeeping import keeper

    assert DERIVED >= 2
    old = {"tier_snapshot": "pro", "purchased_balance": 3, "created_at": "2025-01-01T00:00:00Z", "blocked": True}
    house.storage.transact(lambda tx: tx.put("credits", "user:old", old))
    house.give("user:new", 1)
    keeper(house).reindex()
    table = AccountTable(house.storage, house.policy, lambda: house.now)
    for sort in SORTS:
        assert len(table.page(Wish(sort), limit=10, offset=0)[2]) == 2, sort
    assert table.page(Wish(blocked=True), limit=10, offset=0)[0] == 1
    assert table.page(Wish(tier="pro"), limit=10, offset=0)[0] == 1


def test_used_is_what_the_present_allowance_has_given(house):
    house.answer("user:a")
    house.admin.set_tier("user:a", "pro", None, BY, nothing)
    house.answer("user:a")
    house.answer("user:a")
    assert house.admin.one("user:a")["used"] == 2
    assert house.row("user:a")["sort_used"] == 2
    house.now += timedelta(days=31)
    assert house.admin.one("user:a")["used"] == 0
