"""The operator's door: login, sessions, CSRF; and the table of accounts behind it."""

import http.cookies
import threading
from typing import Any

import pytest

from tests.flows.fake_rail import FakeRail
from tests.flows.live import OPERATOR, PASSWORD, FakeBackend, Live, Reply, assert_error, at_once, running

LOGIN = "/admin/login"


def login(live: Live, password: Any = PASSWORD, **headers: str) -> Reply:
    return live.call("POST", LOGIN, headers=headers, json={"password": password})


def cookie_of(reply: Reply) -> http.cookies.Morsel:
    return http.cookies.SimpleCookie(reply.headers["set-cookie"])["relay_session"]


def test_login_opens_a_session_that_status_knows_and_logout_ends(live: Live) -> None:
    assert live.get("/admin/status").json["authenticated"] is False
    assert "csrf_token" not in live.get("/admin/status").json
    reply = login(live)
    assert reply.status == 200
    session = {"Cookie": f"relay_session={cookie_of(reply).value}"}
    status = live.get("/admin/status", session).json
    assert status["authenticated"] is True
    assert status["csrf_token"] == reply.json["csrf_token"]
    assert live.get("/admin/credits", session).status == 200
    changing = session | {"X-CSRF-Token": status["csrf_token"]}
    out = live.call("POST", "/admin/logout", b"", changing)
    assert (out.status, out.json["authenticated"]) == (200, False)
    assert live.get("/admin/status", session).json["authenticated"] is False
    assert_error(live.get("/admin/credits", session), 401, "unauthenticated")
    assert_error(grant(live, changing, "user:ann", 5), 401, "unauthenticated")


def test_the_cookie_is_for_this_site_only_and_no_script_reads_it(live: Live) -> None:
    cookie = cookie_of(login(live))
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "Strict"
    assert cookie["path"] == "/"
    assert not cookie["secure"], "this relay is reached by http"
    assert not cookie["domain"]
    assert len(cookie.value) >= 40


def test_on_https_the_cookie_is_secure(tmp_path) -> None:
    with running(tmp_path, [FakeBackend()], relay='public_url = "https://relay.example"\n') as live:
        assert cookie_of(login(live))["secure"] is True
    with running(tmp_path, [FakeBackend()], relay='trusted_proxies = ["127.0.0.1"]\n') as live:
        assert cookie_of(login(live, **{"X-Forwarded-Proto": "https"}))["secure"] is True
        assert not cookie_of(login(live))["secure"]
    with running(tmp_path, [FakeBackend()]) as live:
        assert not cookie_of(login(live, **{"X-Forwarded-Proto": "https"}))["secure"], "nobody trusted said so"


def test_a_wrong_password_is_401_and_sets_nothing(live: Live) -> None:
    for password in ("", "wrong", PASSWORD + " ", PASSWORD.upper(), "ä" * 5000):
        reply = login(live, password)
        assert_error(reply, 401, "bad_password")
        assert "set-cookie" not in reply.headers


def test_a_login_that_cannot_be_read(live: Live) -> None:
    for password in (None, 7, True, ["x"]):
        assert_error(login(live, password), 422, "invalid")
    assert_error(live.call("POST", LOGIN, b"{", {"Content-Type": "application/json"}), 400, "bad_json")
    assert_error(live.call("POST", LOGIN, b"password=x"), 415, "unsupported_media")
    assert_error(live.get(LOGIN), 405, "method_not_allowed")


def test_wrong_passwords_are_limited_per_address_and_sessions_go_on(tmp_path) -> None:
    with running(tmp_path, [FakeBackend()], relay='trusted_proxies = ["127.0.0.1"]\n') as live:
        session = live.login()
        seen = [login(live, "wrong", **{"X-Forwarded-For": "198.51.100.1"}).status for _ in range(12)]
        assert seen == [401] * 10 + [429] * 2
        right = login(live, **{"X-Forwarded-For": "198.51.100.1"})
        assert_error(right, 429, "rate_limited")
        assert live.get("/admin/credits", session | {"X-Forwarded-For": "198.51.100.1"}).status == 200
        assert login(live, **{"X-Forwarded-For": "198.51.100.2"}).status == 200
        assert login(live, **{"X-Forwarded-For": "203.0.113.5, 198.51.100.1"}).status == 429


def test_one_password_is_checked_at_a_time_four_wait_and_the_next_is_refused_before_hashing(live: Live) -> None:
    admin, go, hashing = live.core.admin.passwords, threading.Event(), threading.Semaphore(0)
    verify, at_work, most = admin._verify, [], []

    def slow(password: str) -> str | None:
        at_work.append(password)
        most.append(len(at_work))
        hashing.release()
        go.wait(20)
        at_work.remove(password)
        return verify(password)

    admin._verify = slow
    threading.Timer(1.0, go.set).start()
    replies = at_once(12, lambda _n: login(live))
    assert sorted(reply.status for reply in replies) == [200] * 5 + [429] * 7
    for reply in replies:
        if reply.status == 429:
            assert_error(reply, 429, "rate_limited")
    assert max(most) == 1
    assert len(most) == 5
    assert login(live).status == 200, "the room is empty again"


@pytest.mark.parametrize(
    "path",
    ["/admin/credits", "/admin/usage", "/admin/settings", "/admin/nothing", "/admin/", "/admin/login/", "/admin/Login"],
)
def test_everything_else_under_admin_is_closed(live: Live, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
        for headers in ({}, {"Cookie": "relay_session=guessed"}, OPERATOR, {"X-Recap-Install-Id": "a"}):
            reply = live.call(method, path, headers=headers)
            assert reply.status == 401, (method, headers)
            if method != "HEAD":
                assert_error(reply, 401, "unauthenticated")


def test_with_a_session_an_unknown_path_is_404(live: Live) -> None:
    assert_error(live.get("/admin/nothing", live.login()), 404, "not_found")


def test_a_change_needs_the_sessions_own_csrf_token(live: Live) -> None:
    give(live, "ann", 1)
    one, other = live.login(), live.login()
    cookie = {"Cookie": one["Cookie"]}
    for token in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "wrong"}, {"X-CSRF-Token": other["X-CSRF-Token"]}):
        assert_error(grant(live, cookie | token, "user:ann", 5), 403, "forbidden")
        assert_error(live.call("POST", "/admin/logout", b"", cookie | token), 403, "forbidden")
        assert_error(live.call("POST", "/admin/nothing", b"", cookie | token), 403, "forbidden")
    assert grant(live, one, "user:ann", 5).status == 200
    assert live.get("/admin/credits", cookie).status == 200, "reading needs none"


def test_a_session_ends_by_itself(live: Live) -> None:
    session = live.login()
    rows = live.core.storage.read(lambda tx: tx.scan("sessions", limit=10))
    assert session["Cookie"].partition("=")[2] not in str(rows), "the cookie cannot be made from the data dir"
    for key, doc in rows:
        live.core.storage.transact(
            lambda tx, key=key, doc=doc: tx.put("sessions", key, doc | {"expires_at": "2020-01-01T00:00:00Z"})
        )
    assert_error(live.get("/admin/credits", session), 401, "unauthenticated")


def test_a_session_survives_a_restart(tmp_path) -> None:
    with running(tmp_path, [FakeBackend()]) as live:
        session = live.login()
    with running(tmp_path, [FakeBackend()]) as live:
        assert live.get("/admin/credits", session).status == 200


def give(live: Live, name: str, amount: int) -> Reply:
    return live.call("POST", f"/relay/users/{name}/credits", headers=OPERATOR, json={"amount": amount, "reason": "x"})


def grant(live: Live, session: dict[str, str], key: Any, amount: Any, **more: Any) -> Reply:
    body = {"credit_key": key, "amount": amount} | more
    body = {name: value for name, value in body.items() if value is not ...}
    return live.call("POST", "/admin/credits/grant", headers=session, json=body)


def test_a_grant_answers_with_the_new_balance(live: Live) -> None:
    give(live, "ann", 1)
    session = live.login()
    reply = grant(live, session, "  user:ann\n", 7, reason="sorry")
    assert reply.status == 200
    assert reply.json == {"ok": True, "credit_key": "user:ann", "granted": 7, "purchased_balance": 8}
    assert grant(live, session, "user:ann", 1_000_000).json["purchased_balance"] == 1_000_008
    entry = live.entries("user:ann")[1]
    assert (entry["kind"], entry["amount"], entry["reason"], entry["actor"]) == ("grant", 7, "sorry", "admin")
    live.assert_balanced()


def test_an_amount_that_is_not_a_whole_number_in_range_is_400(live: Live) -> None:
    give(live, "ann", 1)
    session = live.login()
    for amount in (0, -1, 1_000_001, 10**30, "7", True, False, 1.0, 7.5, None, [], {}, ...):
        assert_error(grant(live, session, "user:ann", amount), 400, "bad_request")
    assert live.row("user:ann")["purchased_balance"] == 1


def test_a_missing_key_is_400(live: Live) -> None:
    session = live.login()
    for key in ("", "   ", None, 7, ["user:ann"], ...):
        assert_error(grant(live, session, key, 5), 400, "bad_request")


def test_a_key_with_no_row_is_404_and_makes_none(live: Live) -> None:
    session = live.login()
    for key in ("user:nobody", "inst:x", "nobody", "user:", "x" * 100_000):
        reply = grant(live, session, key, 5)
        assert_error(reply, 404, "not_found")
        assert len(reply.body) < 1000
    assert live.core.storage.read(lambda tx: tx.count("credits")) == 0


ROW = {
    "credit_key",
    "type",
    "tier_snapshot",
    "remaining",
    "purchased",
    "total",
    "capped",
    "gemini_remaining",
    "lifetime_consumed",
    "lifetime_gemini_consumed",
    "monthly_consumed",
    "monthly_gemini_consumed",
    "purchased_balance",
    "purchased_total_ever",
    "held",
    "subscription_expires_at",
    "last_active_at",
}


def test_a_row_of_the_table_has_every_field_of_the_contract(live: Live) -> None:
    live.analyze("inst-1")
    body = live.get("/admin/credits", live.login()).json
    assert body["count"] == 1
    row = body["rows"][0]
    assert row.keys() >= ROW
    assert (row["credit_key"], row["type"], row["tier_snapshot"]) == ("inst:inst-1", "install", "core")
    assert (row["remaining"], row["total"], row["capped"], row["lifetime_consumed"]) == (9, 9, "lifetime", 1)
    assert row["last_active_at"].endswith("Z")


def test_the_table_is_paged_sorted_and_searched(live: Live) -> None:
    for n, name in enumerate(["ann", "bob", "cid", "Dora"]):
        give(live, name, 40 - 10 * n)
    live.analyze("inst-1")
    session = live.login()

    def keys(query: str) -> list[str]:
        reply = live.get(f"/admin/credits?{query}", session)
        assert reply.status == 200, reply.body
        return [row["credit_key"].partition(":")[2] for row in reply.json["rows"]]

    assert keys("") == ["inst-1", "Dora", "ann", "bob", "cid"]
    assert keys("order=desc") == ["cid", "bob", "ann", "Dora", "inst-1"]
    assert keys("limit=2&offset=1") == ["Dora", "ann"]
    assert keys("sort=total&order=desc") == ["ann", "bob", "cid", "Dora", "inst-1"]
    assert keys("sort=purchased&order=desc&limit=1") == ["ann"]
    assert sorted(keys("sort=last_active_at")) == ["Dora", "ann", "bob", "cid", "inst-1"], "nobody is left out"
    assert keys("q=DOR") == ["Dora"]
    assert keys("q=user:") == ["Dora", "ann", "bob", "cid"]
    assert keys("q=nothing") == []
    assert live.get("/admin/credits?limit=2", session).json["count"] == 5
    assert live.get("/admin/credits?q=o&limit=1", session).json["count"] == 2
    assert live.get("/admin/credits?sort=total&limit=1", session).json["count"] == 5


def test_a_query_that_makes_no_sense_is_400(live: Live) -> None:
    session = live.login()
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=-1",
        "limit=1e3",
        "offset=-1",
        "sort=password",
        "order=up",
    ]:
        assert_error(live.get(f"/admin/credits?{query}", session), 400, "bad_request")


def test_a_session_ends_with_the_password_it_was_opened_by(tmp_path) -> None:
    with running(tmp_path, [FakeBackend()]) as live:
        session = live.login()
        assert live.get("/admin/status", session).json["authenticated"] is True
        live.core.admin.passwords._configured = "another one"
        assert live.get("/admin/status", session).json["authenticated"] is False
        assert live.get("/admin/credits", session).status == 401


@pytest.mark.parametrize("body", ["null", "[1]", '"x"', "7"])
def test_a_grant_that_is_no_object_is_400(live: Live, body: str) -> None:
    session = live.login() | {"Content-Type": "application/json"}
    assert_error(live.call("POST", "/admin/credits/grant", body.encode(), session), 400, "bad_request")


def test_the_way_back_from_a_consent_page_is_open_only_where_there_is_one(start, backend) -> None:
    with start(backend, rails=[FakeRail()]) as live:
        assert_error(live.get("/admin/fake/callback"), 401, "unauthenticated")
