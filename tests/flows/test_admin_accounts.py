"""What an operator does to accounts over HTTP: the table, one account, its history; debit, tier, block, move."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flows.fake_rail import FakeRail
from tests.flows.house import MORE, NUMBERS, SHOP, WHY, account, give, last_audit, post
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


# Looking.


def test_one_account_is_a_row_of_the_table(house, name) -> None:
    key = give(house, name)
    row = account(house, key)
    assert (row["credit_key"], row["type"], row["purchased"], row["used"], row["blocked"], row["owed"]) == (
        key,
        "cloud",
        5,
        0,
        False,
        0,
    )
    assert row["created_at"].endswith("Z")
    table = house.get(f"/admin/credits?q={name}", house.session).json
    assert table["rows"] == [row]
    assert (table["count"], table["count_capped"]) == (1, False)


def test_a_key_in_a_path_may_be_written_either_way(house, name) -> None:
    key = give(house, name)
    for spelling in (
        key,
        key.replace(":", "%3A"),
        key.replace("@", "%40"),
        key.replace(":", "%3a").replace("@", "%40"),
    ):
        assert account(house, spelling)["credit_key"] == key


@pytest.mark.parametrize(
    "key",
    [
        "user:none",
        "none",
        "user:",
        "..",
        "%2e%2e",
        "..%2f..%2fetc",
        "user:a%2Fb",
        "x" * 200,
        "%FF",
        "%F0%9F%92%A9",
        "'%20OR%201",
    ],
)
def test_an_account_that_is_not_there_is_404_whatever_its_name(house, key) -> None:
    count = house.core.storage.read(lambda tx: tx.count("credits"))
    for reply in (
        house.get(f"/admin/credits/{key}", house.session),
        house.get(f"/admin/credits/{key}/history", house.session),
        post(house, key, "debit", amount=1),
        post(house, key, "tier", tier="pro"),
        post(house, key, "block"),
        post(house, key, "move", to="user:x"),
    ):
        assert_error(reply, 404, "not_found")
        assert len(reply.body) < 1000
    assert house.core.storage.read(lambda tx: tx.count("credits")) == count


def test_no_name_at_all_is_refused_cleanly(house) -> None:
    assert_error(house.get("/admin/credits/%00", house.session), 400, "bad_request")
    for path in ("/admin/credits/", "/admin/credits//history", "/admin/credits//debit"):
        assert house.get(path, house.session).status in {404, 405}, path


def test_the_history_is_paged_newest_first(house, name) -> None:
    key = give(house, name)
    for amount in (1, 2, 3):
        post(house, key, "debit", amount=amount) if amount < 3 else give(house, name, 9)
    first = house.get(f"/admin/credits/{key}/history?limit=3", house.session).json
    assert [entry["kind"] for entry in first["entries"]] == ["grant", "adjust", "adjust"]
    rest = house.get(f"/admin/credits/{key}/history?limit=3&before={first['next']}", house.session).json
    assert ([entry["kind"] for entry in rest["entries"]], rest["next"]) == (["grant"], None)
    entry = first["entries"][1]
    assert (entry["actor"], entry["reason"], entry["amount"]) == ("admin", WHY["reason"], -2)
    for wrong in ("limit=0", "limit=501", "before=x", "before=-1", "limit=1e2"):
        assert_error(house.get(f"/admin/credits/{key}/history?{wrong}", house.session), 400, "bad_request")


def test_the_table_is_filtered_by_type_tier_and_block_in_any_order(house) -> None:
    for n in range(3):
        give(house, f"table-{n}", n + 1)
    house.analyze("table-install")
    post(house, "user:table-1", "tier", tier="pro")
    post(house, "user:table-2", "block")

    def keys(query: str) -> list[str]:
        reply = house.get(f"/admin/credits?q=table&{query}", house.session)
        assert reply.status == 200, reply.body
        return [row["credit_key"] for row in reply.json["rows"]]

    everybody = {"user:table-0", "user:table-1", "user:table-2", "inst:table-install"}
    for sort in ("credit_key", "type", "tier", "remaining", "purchased", "total", "used", "last_active_at"):
        for order in ("asc", "desc"):
            assert set(keys(f"sort={sort}&order={order}")) == everybody, "nobody is left out"
    assert keys("type=install") == ["inst:table-install"]
    assert keys("tier=pro") == ["user:table-1"]
    assert keys("tier=core&type=cloud&sort=purchased&order=desc") == ["user:table-2", "user:table-0"]
    assert keys("blocked=true&sort=total") == ["user:table-2"]
    assert keys("blocked=true&tier=pro") == []
    assert "user:table-2" not in keys("blocked=false&limit=1000")
    assert set(keys("blocked=false&limit=1000")) | {"user:table-2"} == set(keys("limit=1000"))
    assert keys("sort=tier&order=desc")[0] == "user:table-1"
    assert keys("sort=used&order=desc")[0] == "inst:table-install"
    assert keys("tier=%3Cscript%3E") == []
    for wrong in ("type=robot", "blocked=maybe", "sort=head", "order=up", f"q={'x' * 201}", "offset=99999999999"):
        assert_error(house.get(f"/admin/credits?{wrong}", house.session), 400, "bad_request")


# Changing.


def test_a_debit_answers_the_account_as_it_left_it_and_is_made_once(house, name) -> None:
    key = give(house, name)
    headers = {"Idempotency-Key": f"debit {name}".replace(" ", "-")}
    replies = [post(house, key, "debit", headers, amount=2) for _ in range(3)]
    assert [reply.status for reply in replies] == [200] * 3
    assert {reply.body for reply in replies} == {replies[0].body}
    assert (replies[0].json["debited"], replies[0].json["account"]["purchased"]) == (2, 3)
    assert account(house, key)["purchased"] == 3
    line = last_audit(house, "credits.debit")
    assert (line["actor"], line["target"], line["reason"]) == ("admin", key, WHY["reason"])
    assert (line["before"], line["after"]) == ({"purchased": 5}, {"purchased": 3})
    assert_error(post(house, key, "debit", headers, amount=1), 422, "idempotency_mismatch")
    reply = post(house, key, "debit", amount=4)
    assert_error(reply, 409, "not_enough")
    assert reply.error["details"] == {"purchased": 3}


def test_two_debits_at_once_never_take_more_than_there_is(house, name) -> None:
    key = give(house, name, 5)
    replies = at_once(8, lambda _: post(house, key, "debit", amount=2).status)
    assert sorted(replies) == [200] * 2 + [409] * 6
    assert account(house, key)["purchased"] == 1


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("debit", {}),
        *(("debit", {"amount": wrong}) for wrong in (0, -1, 1.5, "7", True, None, [1], 10**7, 2**80)),
        ("debit", {"amount": 1, "reason": None}),
        ("debit", {"amount": 1, "reason": ""}),
        ("debit", {"amount": 1, "reason": "  "}),
        ("debit", {"amount": 1, "reason": "x" * 501}),
        ("tier", {}),
        ("tier", {"tier": "gold"}),
        ("tier", {"tier": "core", "period_days": 3}),
        *(("tier", {"tier": "pro", "period_days": wrong}) for wrong in (0, -1, True, "30", 10**9, 1.5)),
        ("block", {"reason": 7}),
        ("unblock", {"reason": ""}),
        ("move", {}),
        *(("move", {"to": wrong}) for wrong in (None, 7, "", "nobody", "user:a/b", "user:..", "x" * 400)),
        *(("move", {"to": "user:x", "amount": wrong}) for wrong in (0, -1, True, "1", 2**60)),
        *(("erase", {"confirm": wrong}) for wrong in ("", "yes", None, True, "user:somebody else")),
        ("erase", {}),
    ],
)
def test_a_wrong_body_is_422_and_changes_nothing(house, action, body) -> None:
    key = give(house, "never-changed", 1) if house.row("user:never-changed") is None else "user:never-changed"
    before = house.row(key)
    reply = post(house, key, action, **body)
    assert_error(reply, 422, "invalid")
    assert "path" in reply.error["details"]
    assert house.row(key) == before


def test_a_body_that_is_no_json_object_is_refused(house, name) -> None:
    key = give(house, name)
    headers = house.session | {"Content-Type": "application/json"}
    for raw, status in ((b"", 400), (b"{", 400), (b"[]", 422), (b"null", 422), (b"7", 422)):
        assert house.call("POST", f"/admin/credits/{key}/debit", raw, headers).status == status


def test_nothing_changes_without_the_csrf_token_or_a_session(house, name) -> None:
    key = give(house, name)
    cookie = {"Cookie": house.session["Cookie"]}
    body = WHY | {"amount": 1, "tier": "pro", "to": "user:x", "confirm": key}
    for action in ("debit", "tier", "block", "unblock", "move", "erase"):
        path = f"/admin/credits/{key}/{action}"
        assert_error(house.call("POST", path, headers=cookie, json=body), 403, "forbidden")
        assert_error(house.call("POST", path, headers=cookie | {"X-CSRF-Token": "x"}, json=body), 403, "forbidden")
        assert_error(house.call("POST", path, json=body), 401, "unauthenticated")
    assert account(house, key)["purchased"] == 5


def test_a_scoped_key_acts_in_its_own_name_and_only_as_it_may(house, name) -> None:
    key = give(house, name)

    def scoped(role: str) -> tuple[str, dict[str, str]]:
        reply = house.call("POST", "/admin/keys", headers=house.session, json={"role": role, "label": name})
        assert reply.status == 201, reply.body
        return reply.json["id"], {"Authorization": f"Bearer {reply.json['key']}"}

    key_id, support = scoped("support")
    reply = house.call("POST", f"/admin/credits/{key}/debit", headers=support, json=WHY | {"amount": 1})
    assert reply.status == 200, reply.body
    reply = house.call("POST", "/admin/credits/grant", headers=support, json={"credit_key": key, "amount": 2})
    assert reply.status == 200, reply.body
    entries = house.get(f"/admin/credits/{key}/history", support).json["entries"]
    assert [entry["actor"] for entry in entries[:2]] == [f"key:{key_id}"] * 2
    assert last_audit(house, "credits.grant")["actor"] == f"key:{key_id}"
    _, reader = scoped("read-only")
    assert house.get(f"/admin/credits/{key}", reader).status == 200
    for action in ("debit", "tier", "block", "unblock", "move", "erase"):
        path = f"/admin/credits/{key}/{action}"
        assert_error(house.call("POST", path, headers=reader, json=WHY | {"amount": 1}), 403, "forbidden")


def test_a_grant_is_in_the_audit_log_with_its_reason(house, name) -> None:
    key = give(house, name)
    body = {"credit_key": key, "amount": 2, "reason": "a gift"}
    assert house.call("POST", "/admin/credits/grant", headers=house.session, json=body).status == 200
    line = last_audit(house, "credits.grant")
    assert (line["actor"], line["target"], line["reason"]) == ("admin", key, "a gift")
    assert (line["before"], line["after"]) == ({"purchased": 5}, {"purchased": 7})


def test_a_tier_counts_from_the_next_call_on(house, name) -> None:
    key = give(house, name)
    row = post(house, key, "tier", tier="pro", period_days=30).json["account"]
    assert (row["tier_snapshot"], row["remaining"], row["subscription_expires_at"] is None) == ("pro", 50, False)
    assert house.credits(user(name))["tier"] == "pro"
    assert last_audit(house, "credits.tier")["after"]["tier"] == "pro"


def test_who_is_blocked_buys_calls_and_makes_nothing_until_unblocked(house, name) -> None:
    key, who = give(house, name), user(name)
    assert house.analyze(who, job="free").status == 200
    assert post(house, key, "block").json["account"]["blocked"] is True

    def tries() -> list[Reply]:
        return [
            house.analyze(who),
            house.analyze(who, job="free"),
            house.transcribe(who),
            house.call("POST", "/relay/jobs", headers=who, json={"task": "analyze", "prompt": "x"}),
            house.call("POST", "/relay/credits/checkout", headers=who, json={"package": "small"}),
            house.call("POST", "/relay/tier/checkout", headers=who, json={"tier": "pro"}),
            house.call("POST", "/relay/keys", headers=who, json={"label": "x"}),
        ]

    for reply in tries():
        assert_error(reply, 403, "blocked")
    assert house.credits(who)["purchased"] == 5, "the account can still be looked at"
    assert post(house, key, "unblock").json["account"]["blocked"] is False
    assert {reply.status for reply in tries()} <= {200, 201, 202}
    eventually(lambda: house.holds() == 0)


def test_credits_move_to_another_account_even_one_that_is_new(house, name) -> None:
    key, to = give(house, name, 5), f"inst:{name}"
    reply = post(house, key, "move", to=to, amount=2)
    assert reply.status == 200, reply.body
    assert (reply.json["moved"], reply.json["account"]["purchased"], reply.json["to"]["purchased"]) == (2, 3, 2)
    assert post(house, key, "move", to=to).json["moved"] == 3
    assert_error(post(house, key, "move", to=to), 409, "not_enough")
    assert house.credits(install(name))["purchased"] == 5
    history = house.get("/relay/credits/history", user(name)).json["entries"]
    assert to not in repr(history)
    assert last_audit(house, "credits.move")["after"] == {key: 0, to: 5}
