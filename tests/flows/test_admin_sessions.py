"""Sessions as the operator sees them: listed, ended, ended everywhere, and ended by a new password."""

from __future__ import annotations

import pytest

from tests.flows.fake_backend import FakeBackend
from tests.flows.live import PASSWORD, Live, assert_error, at_once, running

NEW = "a much better password"


@pytest.fixture
def stored(tmp_path) -> Live:
    """A relay whose password is the stored one, as after a first start without RELAY_ADMIN_PASSWORD."""
    with running(tmp_path, [FakeBackend()]) as live:
        passwords = live.core.admin.passwords
        hashed = passwords.hash(PASSWORD)
        passwords._configured = None
        live.core.storage.transact(lambda tx: passwords.store(tx, hashed))
        yield live


def change(live: Live, session: dict[str, str], current: object = PASSWORD, new: object = NEW):
    return live.call("POST", "/admin/password", headers=session, json={"current": current, "new": new})


def sessions(live: Live, session: dict[str, str]) -> list[dict]:
    return live.get("/admin/sessions", session).json["sessions"]


def test_status_says_until_when(live: Live) -> None:
    assert live.get("/admin/status").json == {"ok": True, "authenticated": False, "version": "0.1.0"}
    session = live.login()
    status = live.get("/admin/status", session).json
    assert status["csrf_token"] == session["X-CSRF-Token"]
    assert status["expires_at"].endswith("Z")
    assert status["actor"] == "admin"


def test_sessions_are_listed_and_one_is_ended(live: Live) -> None:
    mine, other = live.login(), live.login()
    rows = sessions(live, mine)
    assert [row["current"] for row in sorted(rows, key=lambda row: row["current"])] == [False, True]
    for row in rows:
        assert row.keys() >= {"id", "current", "created_at", "last_used_at", "expires_at", "address"}
        assert row["address"] == "127.0.0.1"
    secrets = (mine["Cookie"], other["Cookie"], mine["X-CSRF-Token"])
    assert not any(secret.rpartition("=")[2] in str(rows) for secret in secrets)
    theirs = next(row["id"] for row in rows if not row["current"])
    assert live.call("DELETE", f"/admin/sessions/{theirs}", headers=mine).status == 200
    assert live.get("/admin/credits", other).status == 401
    assert len(sessions(live, mine)) == 1
    assert_error(live.call("DELETE", f"/admin/sessions/{theirs}", headers=mine), 404, "not_found")


@pytest.mark.parametrize("name", ["x", "0", "..", "%2e%2e", "*", "0123456789abcdef", "f" * 64, "a" * 9000])
def test_a_session_that_does_not_exist_cannot_be_ended(live: Live, name: str) -> None:
    session = live.login()
    assert live.call("DELETE", f"/admin/sessions/{name}", headers=session).status == 404
    assert live.get("/admin/sessions", session).status == 200


def test_logout_everywhere_ends_all_of_them(live: Live) -> None:
    one, two, three = live.login(), live.login(), live.login()
    assert live.call("POST", "/admin/logout", headers=one).json["ended"] == 1
    assert live.get("/admin/credits", two).status == 200
    reply = live.call("POST", "/admin/logout", headers=two, json={"everywhere": True})
    assert (reply.status, reply.json["ended"]) == (200, 2)
    for session in (one, two, three):
        assert live.get("/admin/credits", session).status == 401
    assert live.get("/admin/credits", live.login()).status == 200


def test_a_logout_that_cannot_be_read_ends_nothing(live: Live) -> None:
    session = live.login()
    assert_error(live.call("POST", "/admin/logout", headers=session, json={"everywhere": 1}), 422, "invalid")
    assert live.get("/admin/credits", session).status == 200


def test_a_new_password_ends_all_other_sessions(stored: Live) -> None:
    mine, other = stored.login(), stored.login()
    reply = change(stored, mine)
    assert (reply.status, reply.json["sessions_ended"]) == (200, 1)
    assert stored.get("/admin/credits", mine).status == 200
    assert stored.call("POST", "/admin/reconcile", headers=mine).status == 200, "its CSRF token still counts"
    assert stored.get("/admin/credits", other).status == 401
    assert_error(stored.call("POST", "/admin/login", json={"password": PASSWORD}), 401, "bad_password")
    assert stored.call("POST", "/admin/login", json={"password": NEW}).status == 200
    log = stored.get("/admin/audit?q=password.change", mine).json["rows"]
    assert [row["after"] for row in log] == [{"sessions_ended": 1}]
    assert NEW not in str(stored.get("/admin/audit?limit=500", mine).json)


def test_a_password_that_will_not_do_is_refused(stored: Live) -> None:
    session = stored.login()
    for current, new, path in [
        (PASSWORD, "too short", "new"),
        (PASSWORD, "x" * 1025, "new"),
        (PASSWORD, PASSWORD, "new"),
        (PASSWORD, None, "new"),
        (7, NEW, "current"),
    ]:
        reply = change(stored, session, current, new)
        assert_error(reply, 422, "invalid")
        assert reply.error["details"]["path"] == path
    assert_error(change(stored, session, "wrong"), 403, "bad_password")
    assert_error(change(stored, {"Cookie": session["Cookie"]}), 403, "forbidden")
    assert_error(change(stored, {}), 401, "unauthenticated")
    assert stored.call("POST", "/admin/login", json={"password": PASSWORD}).status == 200


def test_of_two_operators_who_change_the_password_at_once_one_wins(stored: Live) -> None:
    both = [stored.login(), stored.login()]
    news = ["the first of two passwords", "the second of two passwords"]
    replies = at_once(2, lambda n: change(stored, both[n], new=news[n]))
    assert min(reply.status for reply in replies) == 200
    won = [n for n, reply in enumerate(replies) if reply.status == 200]
    assert len(won) == 1
    assert replies[1 - won[0]].status in {401, 403, 409}
    assert stored.call("POST", "/admin/login", json={"password": news[won[0]]}).status == 200


def test_a_password_from_the_settings_is_not_changed_here(live: Live) -> None:
    session = live.login()
    assert_error(change(live, session), 409, "password_in_config")
    assert live.get("/admin/credits", session).status == 200


def test_the_changed_password_counts_after_a_restart(tmp_path) -> None:
    def forget_configured(live: Live) -> None:
        live.core.admin.passwords._configured = None

    with running(tmp_path, [FakeBackend()]) as live:
        forget_configured(live)
        hashed = live.core.admin.passwords.hash(NEW)
        live.core.storage.transact(lambda tx: live.core.admin.passwords.store(tx, hashed))
        session = {"Cookie": live.call("POST", "/admin/login", json={"password": NEW}).headers["set-cookie"]}
        assert live.get("/admin/credits", session).status == 200
    with running(tmp_path, [FakeBackend()]) as live:
        assert live.get("/admin/credits", session).status == 401, "RELAY_ADMIN_PASSWORD rules again"
        forget_configured(live)
        assert live.get("/admin/credits", session).status == 200


def test_logins_and_logouts_are_in_the_audit_log(live: Live) -> None:
    live.call("POST", "/admin/login", json={"password": "wrong"})
    session = live.login()
    live.call("POST", "/admin/logout", headers=session)
    rows = live.get("/admin/audit?q=sessions.&limit=3&before=", live.login()).json["rows"]
    assert [(row["actor"], row["action"], row["address"]) for row in reversed(rows)] == [
        ("admin", "sessions.login", "127.0.0.1"),
        ("admin", "sessions.logout", "127.0.0.1"),
        ("admin", "sessions.login", "127.0.0.1"),
    ]
    failed = live.get("/admin/audit?q=wrong_password", live.login()).json["rows"]
    assert [(row["actor"], row["after"]) for row in failed] == [("nobody", {"attempts": 1})]
    assert '"wrong"' not in str(failed)
