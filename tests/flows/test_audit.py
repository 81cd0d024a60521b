"""The audit log: every change an operator can make is one line that says who, what, before, after and why.

`CHANGES` has a call for each state-changing route under /admin. A route that is added without one fails here.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay.books import audit
from relay.cli.serve import commands
from tests.flows.background import submit
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import OPERATOR, PASSWORD, Live, Reply, assert_error, eventually, install, running, user
from tests.flows.test_admin_keys import NOT_BUILT_YET, bearer, routes
from tests.flows.test_connect import ConnectableRail
from tests.flows.test_licences import ACCOUNT, KEYSAT, Issuer, holder
from tests.flows.test_meetings_run import PIECES, Ears, ended, recording, upload
from tests.flows.test_money import SHOP, age, bought
from tests.loopback import Server

NO_CHANGE = {
    ("POST", "/admin/books/verify"): "looks through the books",
    ("POST", "/admin/test-run"): "asks a backend, for nobody and nothing",
    ("POST", "/admin/test-run-suite"): "the same, many times",
}
MEETING = "/admin/internal-meetings/{meeting}"
WITH_A_TEXT = ("edits", "undo", "redo", "use", "run")
ELSEWHERE = {
    ("DELETE", "/admin/license-cache"): "needs a relay with licences, and has a test of its own",
    **{("POST", f"{MEETING}/{verb}"): "needs a meeting with a text; a test of its own" for verb in WITH_A_TEXT},
    ("POST", f"{MEETING}/cancel"): "needs a run under way, and is looked at where that is tested",
    ("POST", "/admin/internal-meetings/voices"): "the same",
    ("PATCH", "/admin/internal-meetings/voices/{voice}"): "the same",
    ("DELETE", "/admin/internal-meetings/voices/{voice}"): "the same",
}


class House:
    """A relay with something of everything that can be changed."""

    def __init__(self, live: Live, rail: ConnectableRail, backend: FakeBackend) -> None:
        self.live, self.rail, self.backend = live, rail, backend
        self.session = live.login()
        self.made = 0

    def name(self) -> str:
        self.made += 1
        return f"thing{self.made}"

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        more = {} if body is None else {"json": body}
        return self.live.call(method, path, headers=self.session | headers, **more)

    def log(self) -> list[dict[str, Any]]:
        """Oldest first."""
        rows = self.live.core.storage.read(lambda tx: tx.scan("audit", limit=10_000))
        return [{"id": key, **doc} for key, doc in rows]

    def account(self, amount: int = 10) -> str:
        name = self.name()
        body = {"amount": amount, "reason": "a test"}
        reply = self.live.call("POST", f"/relay/users/{name}/credits", headers=OPERATOR, json=body)
        assert reply.status == 200, reply.body
        return f"user:{name}"

    def order(self, **fields: Any) -> str:
        """Not paid, but with these fields."""
        sold = bought(self.live, install(self.name()))
        age(self.live, sold["id"], **fields)
        return sold["id"]

    def credited(self) -> str:
        order = self.order()
        reply = self.call("POST", f"/admin/payments/{order}/credit", {"reason": "for a test"})
        assert reply.status == 200, reply.body
        return order

    def code(self) -> str:
        name = self.name().upper()
        body = {"code": name, "kind": "percent", "value": 1000}
        assert self.call("POST", "/admin/codes", body).status == 201
        return name

    def callback(self) -> str:
        """One that waits for tomorrow."""

        def add(tx: Any) -> str:
            key = self.live.core.outbox.add(
                tx, url="https://hook.example/x", body=b"{}", secret="s" * 16, kind="job", reference="x"
            )
            tx.put("outbox", key, {**tx.get("outbox", key), "due_at": "2999-01-01T00:00:00Z"})
            return key

        return self.live.core.storage.transact(add)

    def key(self) -> str:
        return self.call("POST", "/admin/keys", {"role": "read-only", "label": "x"}).json["id"]

    def other_session(self) -> str:
        self.live.login()
        rows = self.live.get("/admin/sessions", self.session).json["sessions"]
        return next(row["id"] for row in rows if not row["current"])

    def package(self) -> str:
        name = self.name()
        body = {"id": name, "credits": 5, "price": "1.00", "currency": "USD"}
        assert self.call("POST", "/admin/packages", body).status == 201
        return name

    def meeting(self) -> str:
        body = {"title": "x", "filename": "x.wav", "bytes": 10}
        return self.call("POST", "/admin/internal-meetings", body).json["meeting"]["id"]

    def job(self) -> str:
        return self.live.analyze(self.name()).json["meta"]["server_job_id"]

    def waiting_job(self) -> str:
        self.backend.gate = threading.Event()
        job = submit(self.live, self.name()).json["job"]["id"]
        assert self.backend.entered.acquire(timeout=20)
        return job

    def done(self) -> None:
        if self.backend.gate is not None:
            self.backend.gate.set()
            self.backend.gate = None

    def settings(self) -> int:
        return self.live.get("/admin/settings", self.session).json["version"]


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Iterator[House]:
    rail, backend = ConnectableRail(), FakeBackend()
    with running(tmp_path_factory.mktemp("audit"), [backend], settings=SHOP, rails=[rail]) as live:
        passwords = live.core.admin.passwords
        hashed = passwords.hash(PASSWORD)
        passwords._configured = None
        live.core.storage.transact(lambda tx: passwords.store(tx, hashed))
        yield House(live, rail, backend)


REASON = {"reason": "because"}
Arrange = Callable[[House], tuple[Any, ...]]
CHANGES: dict[tuple[str, str], tuple[str, Arrange]] = {
    # Accounts
    ("POST", "/admin/credits/grant"): (
        "credits.grant",
        lambda h: ("/admin/credits/grant", {"credit_key": h.account(), "amount": 3} | REASON),
    ),
    ("POST", "/admin/credits/{key}/debit"): (
        "credits.debit",
        lambda h: (f"/admin/credits/{h.account()}/debit", {"amount": 3} | REASON),
    ),
    ("POST", "/admin/credits/{key}/tier"): (
        "credits.tier",
        lambda h: (f"/admin/credits/{h.account()}/tier", {"tier": "pro"} | REASON),
    ),
    ("POST", "/admin/credits/{key}/block"): (
        "credits.block",
        lambda h: (f"/admin/credits/{h.account()}/block", REASON),
    ),
    ("POST", "/admin/credits/{key}/unblock"): (
        "credits.unblock",
        lambda h: (blocked(h) + "/unblock", REASON),
    ),
    ("POST", "/admin/credits/{key}/move"): (
        "credits.move",
        lambda h: (f"/admin/credits/{h.account()}/move", {"to": h.account(), "amount": 2} | REASON),
    ),
    ("POST", "/admin/credits/{key}/erase"): ("credits.erase", lambda h: erased(h.account())),
    # Jobs
    ("POST", "/admin/job/{job}/refund"): ("jobs.refund", lambda h: (f"/admin/job/{h.job()}/refund", REASON)),
    ("POST", "/admin/job/{job}/cancel"): ("jobs.cancel", lambda h: (f"/admin/job/{h.waiting_job()}/cancel",)),
    ("DELETE", "/admin/job-outputs"): ("outputs.delete", lambda h: ("/admin/job-outputs", {"ids": [h.job()]})),
    # Money
    ("POST", "/admin/payments/{order}/recheck"): (
        "payments.recheck",
        lambda h: (f"/admin/payments/{h.order()}/recheck",),
    ),
    ("POST", "/admin/payments/{order}/credit"): (
        "payments.credit",
        lambda h: (f"/admin/payments/{h.order()}/credit", REASON),
    ),
    ("POST", "/admin/payments/{order}/reverse"): (
        "payments.reverse",
        lambda h: (f"/admin/payments/{h.credited()}/reverse", REASON),
    ),
    ("POST", "/admin/payments/{order}/dismiss"): (
        "payments.dismiss",
        lambda h: (f"/admin/payments/{h.order(state='review')}/dismiss", REASON),
    ),
    ("POST", "/admin/reconcile"): ("payments.reconcile", lambda _h: ("/admin/reconcile",)),
    ("POST", "/admin/{rail}/rescan"): ("payments.rescan", lambda _h: ("/admin/fake/rescan",)),
    ("POST", "/admin/{rail}/connect"): ("rails.begin_connect", lambda _h: ("/admin/fake/connect",)),
    ("POST", "/admin/{rail}/choose"): ("rails.choose", lambda _h: ("/admin/fake/choose", {"store": "s1"})),
    ("POST", "/admin/{rail}/disconnect"): ("rails.disconnect", lambda _h: ("/admin/fake/disconnect",)),
    ("POST", "/admin/packages"): (
        "packages.add",
        lambda h: ("/admin/packages", {"id": h.name(), "credits": 5, "price": "1.00", "currency": "USD"}),
    ),
    ("PUT", "/admin/packages/{package}"): (
        "packages.change",
        lambda h: (f"/admin/packages/{h.package()}", {"credits": 6, "price": "1.00", "currency": "USD"}),
    ),
    ("DELETE", "/admin/packages/{package}"): ("packages.remove", lambda h: (f"/admin/packages/{h.package()}",)),
    ("POST", "/admin/codes"): (
        "codes.create",
        lambda h: ("/admin/codes", {"code": h.name(), "kind": "percent", "value": 1000}),
    ),
    ("PATCH", "/admin/codes/{code}"): ("codes.change", lambda h: (f"/admin/codes/{h.code()}", {"active": False})),
    ("DELETE", "/admin/codes/{code}"): ("codes.delete", lambda h: (f"/admin/codes/{h.code()}",)),
    ("POST", "/admin/callbacks/{delivery}/retry"): (
        "callbacks.retry",
        lambda h: (f"/admin/callbacks/{h.callback()}/retry",),
    ),
    ("DELETE", "/admin/callbacks/{delivery}"): ("callbacks.drop", lambda h: (f"/admin/callbacks/{h.callback()}",)),
    # The house
    ("PUT", "/admin/settings"): (
        "settings.change",
        lambda h: ("/admin/settings", {"version": h.settings(), "changes": {"jobs.max_calls": 400 + h.made}}),
    ),
    ("POST", "/admin/settings/promote-prompt"): (
        "prompts.promote",
        lambda h: ("/admin/settings/promote-prompt", {"name": "recap", "prompt": f"Sum it up, {h.name()}."}),
    ),
    ("POST", "/admin/quotas"): (
        "quotas.change",
        lambda h: ("/admin/quotas", {"tiers": {"pro": {"monthly_credits": 60 + h.made}}}),
    ),
    ("POST", "/admin/keys"): ("keys.create", lambda h: ("/admin/keys", {"role": "support", "label": h.name()})),
    ("DELETE", "/admin/keys/{key}"): ("keys.revoke", lambda h: (f"/admin/keys/{h.key()}",)),
    ("DELETE", "/admin/sessions/{session}"): ("sessions.end", lambda h: (f"/admin/sessions/{h.other_session()}",)),
    ("POST", "/admin/password"): (
        "password.change",
        lambda _h: ("/admin/password", {"current": PASSWORD, "new": PASSWORD + "!"}),
    ),
    # Internal meetings
    ("POST", "/admin/internal-meetings"): (
        "meetings.create",
        lambda _h: ("/admin/internal-meetings", {"title": "x", "filename": "x.wav", "bytes": 10}),
    ),
    ("PATCH", "/admin/internal-meetings/{meeting}"): (
        "meetings.change",
        lambda h: (f"/admin/internal-meetings/{h.meeting()}", {"title": "y"}),
    ),
    ("PUT", "/admin/internal-meetings/{meeting}/upload"): (
        "meetings.upload",
        lambda h: (f"/admin/internal-meetings/{h.meeting()}/upload", b"0123456789"),
    ),
    ("DELETE", "/admin/internal-meetings/{meeting}"): (
        "meetings.delete",
        lambda h: (f"/admin/internal-meetings/{h.meeting()}",),
    ),
    # These two end what the others stand on, so they come last
    ("POST", "/admin/wipe-all"): ("house.wipe", lambda _h: ("/admin/wipe-all", {"confirm": "wipe all"})),
    ("POST", "/admin/logout"): ("sessions.logout", lambda _h: ("/admin/logout",)),
}


def blocked(house: House) -> str:
    path = f"/admin/credits/{house.account()}"
    assert house.call("POST", f"{path}/block", REASON).status == 200
    return path


def erased(key: str) -> tuple[Any, ...]:
    return f"/admin/credits/{key}/erase", {"confirm": key} | REASON


def test_every_route_that_changes_something_is_tried_here(house) -> None:
    changing = {route for route in routes(house.live.app) if route[0] not in {"GET", "HEAD"}}
    assert changing - NO_CHANGE.keys() - ELSEWHERE.keys() == CHANGES.keys() - NOT_BUILT_YET


@pytest.mark.parametrize(("method", "template"), [route for route in CHANGES if route not in NOT_BUILT_YET])
def test_a_change_is_one_line_of_the_log(house, method, template) -> None:
    action, arrange = CHANGES[method, template]
    path, *body = arrange(house)
    before = {row["id"] for row in house.log()}
    if body and isinstance(body[0], bytes):
        reply = house.live.call(method, path, body[0], house.session | {"Upload-Offset": "0"})
    else:
        reply = house.call(method, path, *body)
    house.done()
    assert 200 <= reply.status < 300, reply.body
    lines = [row for row in house.log() if row["id"] not in before]
    assert [line["action"] for line in lines] == [action]
    assert (lines[0]["actor"], lines[0]["address"]) == ("admin", "127.0.0.1")
    if body == [REASON]:
        assert lines[0]["reason"] == "because"
    assert not any(secret in json.dumps(lines) for secret in (PASSWORD, "ks_", house.session["X-CSRF-Token"]))


# Who else changes things


@pytest.fixture(scope="module")
def live(tmp_path_factory) -> Iterator[Live]:
    rail = ConnectableRail()
    relay = 'trusted_proxies = ["127.0.0.1"]\n'
    with running(tmp_path_factory.mktemp("log"), [FakeBackend()], relay=relay, settings=SHOP, rails=[rail]) as live:
        yield live


@pytest.fixture(scope="module")
def session(live) -> dict[str, str]:
    return live.login()


def page(live: Live, session: dict[str, str], query: str = "") -> list[dict[str, Any]]:
    reply = live.get(f"/admin/audit?{query}", session)
    assert reply.status == 200, reply.body
    return reply.json["rows"]


def test_what_an_app_does_with_the_operator_key_is_noted(live, session) -> None:
    def change(method: str, path: str, **body: Any) -> None:
        headers = {**OPERATOR, "X-Forwarded-For": "203.0.113.7", "Idempotency-Key": f"{method} {path}".replace(" ", "")}
        for _ in range(2):
            assert live.call(method, f"/relay/users/eve{path}", headers=headers, json=body).status == 200

    change("POST", "/credits", amount=5, reason="sorry")
    change("PUT", "/tier", tier="pro", period_days=30)
    change("POST", "/tier/extend", tier="pro", period_days=30)
    rows = page(live, session, "q=user:eve")
    assert [row["action"] for row in rows] == ["credits.extend_tier", "credits.tier", "credits.grant"], "each once"
    assert {row["actor"] for row in rows} == {"operator"}
    assert {row["address"] for row in rows} == {"203.0.113.7"}
    grant, tier = rows[2], rows[1]
    assert (grant["before"]["purchased"], grant["after"]["purchased"], grant["reason"]) == (0, 5, "sorry")
    assert (tier["before"]["tier"], tier["after"]["tier"]) == ("core", "pro")
    assert tier["after"]["subscription_expires_at"] < rows[0]["after"]["subscription_expires_at"]


def test_what_a_command_does_is_noted(live, session) -> None:
    ask = commands(live.core)
    ask["codes.create"](None, code={"code": "SPRING", "kind": "percent", "value": 1000})
    ask["codes.disable"](None, code="SPRING")
    made = ask["keys.create"](None, key={"role": "read-only", "label": "x"})
    ask["keys.revoke"](None, key=made["id"])
    ask["reconcile"](lambda _done, _of: None)
    rows = page(live, session, "q=cli")
    assert [row["action"] for row in rows] == [
        "payments.reconcile",
        "keys.revoke",
        "keys.create",
        "codes.change",
        "codes.create",
    ]
    assert (rows[3]["before"], rows[3]["after"]) == ({"active": True}, {"active": False})
    assert {(row["actor"], row["address"]) for row in rows} == {("cli", "")}


def test_a_connection_is_noted_under_who_began_it(live, session) -> None:
    live.call("POST", "/admin/fake/connect", headers=session)
    rail = live.core.till.rails["fake"]
    query = rail.way_back.partition("?")[2]
    form = {"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": "203.0.113.9"}
    assert live.call("POST", f"/admin/fake/callback?{query}", b"apiKey=very-secret", form).status == 303
    finish, begin = page(live, session, "q=rails.")
    assert (begin["action"], begin["actor"]) == ("rails.begin_connect", "admin")
    assert (finish["action"], finish["actor"], finish["address"]) == ("rails.connect", "admin", "203.0.113.9")
    assert "very-secret" not in json.dumps([finish, begin])


def test_a_connection_that_fails_is_not_noted_as_made(live, session) -> None:
    before = len(page(live, session, "q=rails.connect"))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert live.call("POST", "/admin/fake/callback?state=guess", b"apiKey=x", form).status == 403
    assert len(page(live, session, "q=rails.connect")) == before


def test_what_was_refused_leaves_no_line(live, session) -> None:
    key = live.call("POST", "/admin/keys", headers=session, json={"role": "read-only", "label": "x"}).json["key"]
    before = page(live, session, "limit=500")
    calls: list[tuple[str, str, dict[str, str], Any]] = [
        ("POST", "/admin/credits/grant", session, {"credit_key": "user:nobody", "amount": 5}),
        ("POST", "/admin/payments/nothing/credit", session, {"reason": "x"}),
        ("POST", "/admin/nothing/rescan", session, {}),
        ("POST", "/admin/codes", session, {"code": "X1X", "kind": "percent", "value": 0}),
        ("DELETE", "/admin/codes/NOTHING", session, {}),
        ("DELETE", "/admin/keys/nothing", session, {}),
        ("DELETE", "/admin/callbacks/nothing", session, {}),
        ("POST", "/admin/codes", bearer(key), {"code": "MINE", "kind": "percent", "value": 1000}),
        ("POST", "/admin/codes", {"Cookie": session["Cookie"]}, {"code": "MINE", "kind": "percent", "value": 1000}),
        ("POST", "/relay/users/eve/credits", user("eve"), {"amount": 0}),
    ]
    for method, path, headers, body in calls:
        assert live.call(method, path, headers=headers, json=body).status >= 400
    assert page(live, session, "limit=500") == before


def test_having_a_licence_asked_about_again_is_one_line(tmp_path) -> None:
    backend = FakeBackend()
    with Server(Issuer()) as server, running(tmp_path, [backend], plugins=f'{KEYSAT}url = "{server.url}"\n') as live:
        session = live.login()
        assert live.analyze(holder()).status == 200
        eventually(lambda: live.get("/admin/license-cache", session).json["verdicts"] != [])
        body = {"licence": ACCOUNT}
        assert live.call("DELETE", "/admin/license-cache", headers=session, json=body).status == 200
        (row,) = page(live, session, "q=licences.")
        assert (row["actor"], row["action"], row["target"]) == ("admin", "licences.ask_again", ACCOUNT)


def test_each_change_of_a_meeting_with_a_text_is_one_line(tmp_path) -> None:
    with running(tmp_path, [Ears()], settings=PIECES) as live:
        session = live.login()
        meeting = upload(live, session, recording(45))
        ended(live, session, meeting)
        path, run = f"/admin/internal-meetings/{meeting}", "r1"

        def change(method: str, path: str, **body: Any) -> Any:
            before = {row["id"] for row in page(live, session, "limit=500")}
            reply = live.call(method, path, headers=session, json=body)
            assert 200 <= reply.status < 300, reply.body
            rows = [row for row in page(live, session, "limit=500") if row["id"] not in before]
            assert [row["actor"] for row in rows if row["actor"] != "relay"] == ["admin"]
            assert rows[-1]["action"].startswith("meetings.")
            return reply.json

        def version() -> int:
            return live.get(path, session).json["meeting"]["version"]

        change("POST", f"{path}/edits", version=version(), edit={"op": "rename", "speaker": "S1", "name": "Ann"})
        change("POST", f"{path}/undo", version=version())
        change("POST", f"{path}/redo", version=version())
        voice = change("POST", "/admin/internal-meetings/voices", meeting=meeting, speaker="S1")["voice"]["id"]
        voices = "/admin/internal-meetings/voices"
        voice = change("PATCH", f"{voices}/{voice}", name="Anna", everywhere=False)["voice"]["id"]
        change("DELETE", f"{voices}/{voice}")
        change("POST", f"{path}/use", version=version(), run=run)
        change("POST", f"{path}/run")


# Looking through it


def test_the_log_is_paged_newest_first_to_its_end(live, session) -> None:
    for n in range(7):
        live.core.storage.transact(lambda tx, n=n: audit.record(tx, "relay", "test.page", f"p{n}"))
    seen, before = [], ""
    while True:
        body = live.get(f"/admin/audit?q=test.page&limit=3&before={before}", session).json
        seen += [row["target"] for row in body["rows"]]
        if body["next"] is None:
            break
        before = body["next"].replace(" ", "%20")
    assert seen == ["p6", "p5", "p4", "p3", "p2", "p1", "p0"]


def test_a_search_goes_through_a_long_log_part_by_part(live, session, monkeypatch) -> None:
    for n in range(25):
        live.core.storage.transact(lambda tx, n=n: audit.record(tx, "relay", "test.part", f"{n % 10 == 3} {n}"))
    monkeypatch.setattr("relay.services.audit.LOOKED_THROUGH", 4)
    seen, pages, before = [], 0, ""
    while before is not None and pages < 1000:
        body = live.get(f"/admin/audit?q=test.part%20True&limit=2&before={before}", session).json
        seen += [row["target"] for row in body["rows"]]
        assert body["next"] is None or body["next"] != before, "it goes on"
        before, pages = body["next"] and body["next"].replace(" ", "%20"), pages + 1
    assert seen == ["True 23", "True 13", "True 3"]
    assert pages > 5


def test_a_line_is_found_by_actor_action_target_and_day(live, session) -> None:
    live.core.storage.transact(lambda tx: audit.record(tx, "key:abc123", "test.find", "user:Zoë"))
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    for query in ("key:abc123", "TEST.FIND", "user:zo%C3%AB", "abc123%20test.find", today):
        assert page(live, session, f"q={query}&limit=1")[0]["target"] == "user:Zoë", query
    assert page(live, session, "q=nobody-has-this-name") == []


def test_a_query_that_makes_no_sense_is_refused_or_finds_nothing(live, session) -> None:
    for query in ("limit=0", "limit=501", "limit=x", "limit=true"):
        assert_error(live.get(f"/admin/audit?{query}", session), 400, "bad_request")
    for query in ("before=0", "q=%00%00", "before=../../etc", "q=*", "q=%25", "q=" + "x" * 5000):
        assert page(live, session, query) == [], query


def test_hostile_text_is_kept_as_it_is_and_bounded(live, session) -> None:
    hostile = "<script>alert(1)</script>\u202e\n=cmd|' /C calc'!A0" + "x" * 5000
    live.core.storage.transact(
        lambda tx: audit.record(tx, "admin", "test.hostile", hostile, before={"a": hostile[:20]}, reason=hostile)
    )
    row = page(live, session, "q=test.hostile")[0]
    assert row["target"] == row["reason"] == hostile[:500]
    assert row["before"] == {"a": hostile[:20]}
    assert page(live, session, f"before={'x' * 3000}")


def test_a_line_and_its_change_are_one_transaction(live, session, monkeypatch) -> None:
    from relay.books import admin_keys

    def fails(*_args: Any, **_more: Any) -> str:
        raise RuntimeError("the line cannot be written")

    keys = live.core.storage.read(lambda tx: tx.count(admin_keys.COLL))
    monkeypatch.setattr(audit, "record", fails)
    for path, body in (
        ("/admin/keys", {"role": "read-only", "label": "x"}),
        ("/admin/codes", {"code": "NEVER", "kind": "percent", "value": 1000}),
    ):
        assert live.call("POST", path, headers=session, json=body).status == 500
    assert live.core.storage.read(lambda tx: tx.count(admin_keys.COLL)) == keys
    assert live.core.storage.read(lambda tx: tx.get("codes", "NEVER")) is None


def test_lines_go_after_ten_years(live, session) -> None:
    old, young = datetime.now(UTC) - timedelta(days=3651), datetime.now(UTC) - timedelta(days=3649)
    for n in range(250):
        live.core.storage.transact(lambda tx, n=n: audit.record(tx, "relay", "test.old", f"o{n}", now=old))
    live.core.storage.transact(lambda tx: audit.record(tx, "relay", "test.young", now=young))
    newest = page(live, session, "limit=1")
    live.core.audit.prune()
    assert page(live, session, "q=test.old") == []
    assert len(page(live, session, "q=test.young")) == 1
    assert page(live, session, "limit=1") == newest
