"""Scoped keys at the operator's door: what each role may do, on every route there is, however it is spelled."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from falcon.inspect import inspect_routes

from relay.cli.serve import commands
from relay.control import ControlServer
from relay.domain.access import MASTER, ROLES
from relay.http.admin.access import SCOPES, needed
from relay.http.admin.guard import OPEN
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import Live, Reply, assert_error, read_socket, running
from tests.flows.processes import run_relay
from tests.flows.test_connect import ConnectableRail
from tests.flows.test_money import SHOP

MEETINGS = "/admin/internal-meetings"
NOT_BUILT_YET: set[tuple[str, str]] = set()
"""Entries of the table whose routes do not exist."""

ALL = {
    "audit",
    "callbacks",
    "codes",
    "config",
    "credits",
    "jobs",
    "keys",
    "licences",
    "meetings",
    "metrics",
    "outputs",
    "packages",
    "payments",
    "plugins",
    "quotas",
    "rails",
    "settings",
    "usage",
}
READS = {f"{name}:read" for name in ALL} - {"outputs:read", "meetings:read", "keys:read"}
CONTRACT = {
    "read-only": READS,
    "support": READS | {"credits:write", "payments:write", "jobs:write"},
    "merchant-onboard": READS | {"packages:write", "codes:write"},
    "license-issuer": READS | {"licences:write"},
    "full-admin": {f"{name}:{verb}" for name in ALL for verb in ("read", "write")},
}
MASTERS_ALONE = re.compile(
    r"\S+ /admin/(keys|sessions)(/.*)?|\S+ /admin/(logout|password|wipe-all|settings/promote-prompt)"
    r"|POST /admin/\{rail\}/(connect|choose|disconnect)|PUT /admin/settings"
)
"""What the contract keeps from every key."""


@pytest.fixture(scope="module")
def live(tmp_path_factory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("keys"), [FakeBackend()], settings=SHOP, rails=[ConnectableRail()]) as relay:
        yield relay


@pytest.fixture(scope="module")
def master(live) -> dict[str, str]:
    return live.login()


@pytest.fixture(scope="module")
def keys(live, master) -> dict[str, dict[str, str]]:
    """A key for each role."""
    return {role: bearer(make(live, master, role=role).json["key"]) for role in ROLES}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def make(live: Live, who: dict[str, str], role: Any = "read-only", label: Any = "test", **more: Any) -> Reply:
    return live.call("POST", "/admin/keys", headers=who, json={"role": role, "label": label} | more)


def routes(app: Any) -> list[tuple[str, str]]:
    """Every (method, template) under /admin that somebody wrote, the open ones apart."""
    return [
        (method.method, route.path)
        for route in inspect_routes(app)
        if route.path.startswith("/admin") and route.path not in OPEN
        for method in route.methods
        if not method.internal
    ]


def ask(live: Live, method: str, path: str, headers: dict[str, str]) -> Reply:
    """With a body that nothing accepts: whether it gets past the guard is all that is asked."""
    body = None if method in {"GET", "HEAD", "OPTIONS"} else b'"nothing"'
    return live.call(method, path, body, headers | {"Content-Type": "application/json"})


def refused(reply: Reply) -> bool:
    return reply.status == 403 and "needed" in reply.error["details"]


# Every route


def test_every_route_is_in_the_table_and_every_entry_has_a_route(live) -> None:
    there = set(routes(live.app))
    missing = {route for route in there - SCOPES.keys() if not route[1].startswith(MEETINGS)}
    assert not missing, "routes without an entry in relay/http/admin/access.py"
    written = {route for route in SCOPES if route[1].startswith("/admin")}
    assert written - there == NOT_BUILT_YET


def test_what_the_contract_keeps_for_the_master_is_marked_so(live) -> None:
    for method, template in routes(live.app):
        alone = MASTERS_ALONE.fullmatch(f"{method} {template}") is not None
        assert (needed(method, template) == MASTER) is alone, (method, template)


def test_each_role_gets_what_the_contract_says_on_every_route(live, keys) -> None:
    wrong = []
    for method, template in routes(live.app):
        path, scope = re.sub(r"\{[^}]+\}", "nothing", template), needed(method, template)
        for role, scopes in CONTRACT.items():
            reply = ask(live, method, path, keys[role])
            told = method != "HEAD" and reply.status == 403 and reply.error["details"].get("needed")
            if (reply.status == 403) is (scope in scopes) or (reply.status == 403 and told not in {scope, False}):
                wrong.append((role, method, template, reply.status))
        if ask(live, method, path, {}).status != 401:
            wrong.append(("nobody", method, template))
    assert not wrong


def test_who_is_logged_in_gets_past_the_guard_on_every_route(live, master) -> None:
    for method, template in routes(live.app):
        if template in {"/admin/logout", "/admin/password"}:
            continue  # these would end the session, or count as a wrong password
        reply = ask(live, method, re.sub(r"\{[^}]+\}", "nothing", template), master)
        assert reply.status not in {401, 403}, (method, template)


SPELLED = [
    "/admin/credits/",
    "/admin//credits",
    "/admin/credits//grant",
    "/admin/%63redits",
    "/%61dmin/credits",
    "/admin%2Fcredits",
    "/admin/credits%2Fgrant",
    "/admin/login%2F..%2Fcredits",
    "/admin/login/../credits",
    "/admin/./credits",
    "/admin/status/../keys",
    "/admin/status%3F/../keys",
    "/admin;a=b/credits",
    "/admin/credits;/admin/login",
    "/admin/credits#/admin/login",
    "/Admin/credits",
    "/ADMIN/CREDITS",
    "//admin/credits",
    "/./admin/credits",
    "/admin/credits/callback",
    "/admin/payments/callback",
    "/admin/keys/callback",
    "/admin/fake/callback/",
    "/admin/nothing/callback",
    "/admin/credits/%00",
    "/admin/\u212areys".encode().decode("latin-1"),
    "http://127.0.0.1/admin/credits",
    "http://127.0.0.1/admin/login/../keys",
]
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


@pytest.mark.parametrize("path", SPELLED)
def test_no_spelling_of_a_path_gets_in_without_an_identity(live, path) -> None:
    for method in METHODS:
        body = b"" if method in {"GET", "HEAD", "OPTIONS"} else b"{}"
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        with live.connect() as sock:
            sock.sendall(head.encode("latin-1") + body)
            status = int(sock.makefile("rb").readline().split()[1])
        assert status in {400, 401, 404, 405}, (method, status)
        if path.startswith("/admin/") and status != 400:  # 400: the server itself cannot read it
            assert status == 401, (method, status)


@pytest.mark.parametrize("path", [path for path in SPELLED if path.startswith("/admin")])
def test_no_spelling_of_a_path_lets_a_reading_key_change_anything(live, keys, path) -> None:
    before = live.core.storage.read(lambda tx: tx.count("audit"))
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Type: application/json\r\n"
        data = f"{head}Authorization: {keys['read-only']['Authorization']}\r\nConnection: close\r\n\r\n{{}}"
        with live.connect() as sock:
            sock.sendall(data.encode("latin-1"))
            assert read_socket(sock).status in {400, 403, 404, 405}, method
    assert live.core.storage.read(lambda tx: tx.count("audit")) == before


def test_a_payment_service_with_an_unlucky_name_opens_no_other_route(tmp_path) -> None:
    """`/admin/credits/callback` is also the page of an account, and `keys` has no callback at all."""
    rails = [ConnectableRail("credits"), ConnectableRail("keys")]
    with running(tmp_path, [FakeBackend()], settings=SHOP, rails=rails) as live:
        for path in ("/admin/credits/callback", "/admin/keys/callback"):
            assert_error(live.get(path), 401, "unauthenticated")
            assert_error(live.call("DELETE", path), 401, "unauthenticated")


def test_head_and_options_are_asked_what_get_is_asked(live, keys) -> None:
    assert live.call("HEAD", "/admin/job-output/x", headers=keys["read-only"]).status == 403
    assert live.call("HEAD", "/admin/keys", headers=keys["full-admin"]).status == 403
    assert live.call("HEAD", "/admin/keys").status == 401
    options = live.call("OPTIONS", "/admin/keys", headers=keys["read-only"])
    assert (options.status, "POST" in options.headers["allow"]) == (200, True)
    assert live.call("OPTIONS", "/admin/keys").status == 401


def test_an_unknown_path_is_401_without_an_identity_and_404_with_one(live, keys) -> None:
    for path in ("/admin/nothing", "/admin/keys/a/b", "/admin/"):
        assert_error(live.get(path), 401, "unauthenticated")
        assert_error(live.get(path, keys["read-only"]), 404, "not_found")


# A key and nothing else


def test_a_wrong_key_is_refused_whatever_the_cookie_says(live, master) -> None:
    for value in ("Bearer ks_wrong", "bearer ks_wrong", "Bearer  ks_", "Bearer", "Bearer rk_x", "Bearer ks_ä"):
        headers = {**master, "Authorization": value.encode().decode("latin-1")}
        for path in ("/admin/credits", "/admin/status", "/admin/nothing", "/metrics"):
            assert_error(live.get(path, headers), 401, "bad_key")
        assert_error(live.call("POST", "/admin/login", headers=headers, json={"password": "x"}), 401, "bad_key")


def test_a_proxys_own_basic_login_is_no_key(live, master) -> None:
    assert live.get("/admin/credits", master | {"Authorization": "Basic YTpi"}).status == 200


def test_a_key_counts_before_the_cookie(live, master, keys) -> None:
    assert live.get("/admin/keys", master).status == 200
    assert_error(live.get("/admin/keys", master | keys["full-admin"]), 403, "forbidden")


def test_a_key_needs_no_csrf_token(live, keys) -> None:
    reply = live.call("POST", "/admin/reconcile", headers=keys["support"])
    assert reply.status == 200, reply.body


def test_a_refusal_says_which_scope_is_missing(live, keys) -> None:
    reply = live.call("POST", "/admin/reconcile", headers=keys["read-only"])
    assert_error(reply, 403, "forbidden")
    assert reply.error["details"] == {"needed": "payments:write"}
    assert "payments:write" in reply.error["message"]
    assert live.get("/admin/keys", keys["full-admin"]).error["details"] == {"needed": "master"}


def test_status_tells_a_key_what_it_may_do(live, keys) -> None:
    body = live.get("/admin/status", keys["support"]).json
    assert body["authenticated"] is True
    assert body["actor"].startswith("key:")
    assert body["scopes"] == sorted(CONTRACT["support"])
    assert "csrf_token" not in body


def test_a_caller_key_or_another_ones_key_is_no_admin_key(live) -> None:
    for headers in ({"Authorization": "Bearer rk_abc"}, {"X-Recap-Operator-Key": "x"}, {"Cookie": "relay_session=x"}):
        assert live.get("/admin/credits", headers).status == 401


def test_an_admin_key_opens_nothing_of_the_callers(live, keys) -> None:
    assert live.get("/relay/credits", keys["full-admin"]).status == 401


# Making and revoking


def test_a_key_is_shown_once_works_at_once_and_ends_at_once(live, master) -> None:
    reply = make(live, master, role="support", label=" front desk ")
    assert reply.status == 201
    assert reply.headers["cache-control"] == "no-store"
    made = reply.json
    assert {"ok", "id", "key", "role", "label", "scopes"} <= made.keys()
    assert (made["role"], made["label"]) == ("support", "front desk")
    assert live.get("/admin/credits", bearer(made["key"])).status == 200
    listed = live.get("/admin/keys", master).json
    assert made["key"] not in json.dumps(listed)
    row = next(row for row in listed["keys"] if row["id"] == made["id"])
    assert row["last_used_at"].endswith("Z")
    assert row["created_by"] == "admin"
    assert listed["roles"]["support"] == sorted(CONTRACT["support"])
    assert live.call("DELETE", f"/admin/keys/{made['id']}", headers=master).status == 200
    assert_error(live.get("/admin/credits", bearer(made["key"])), 401, "bad_key")
    assert_error(live.call("DELETE", f"/admin/keys/{made['id']}", headers=master), 404, "not_found")


def test_a_key_that_cannot_be_made_says_why(live, master) -> None:
    for body, path in [
        ({"role": "root", "label": "x"}, "role"),
        ({"role": "master", "label": "x"}, "role"),
        ({"role": "support"}, "label"),
        ({"role": "support", "label": ""}, "label"),
        ({"role": "support", "label": "x" * 81}, "label"),
        ({"role": "support", "label": "a\u202eb"}, "label"),
        ({"role": "support", "label": 7}, "label"),
        ({"role": ["support"], "label": "x"}, "role"),
        ({"role": "support", "label": "x", "expires_days": 0}, "expires_days"),
        ({"role": "support", "label": "x", "expires_days": True}, "expires_days"),
        ({"role": "support", "label": "x", "expires_days": 10**30}, "expires_days"),
    ]:
        reply = live.call("POST", "/admin/keys", headers=master, json=body)
        assert_error(reply, 422, "invalid")
        assert reply.error["details"]["path"] == path
    for key_id in ("..", "%2e%2e%2f", "x" * 5000, "%00"):
        assert live.call("DELETE", f"/admin/keys/{key_id}", headers=master).status in {400, 404}


def test_metrics_are_for_a_key_with_their_scope(live, keys) -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.1"}
    assert live.get("/metrics", keys["read-only"] | forwarded).status == 200
    assert live.get("/metrics").status == 200, "directly from this machine"
    assert_error(live.get("/metrics", forwarded), 403, "forbidden")


def test_what_a_key_does_carries_its_name(live, keys, master) -> None:
    actor = live.get("/admin/status", keys["support"]).json["actor"]
    assert live.call("POST", "/admin/reconcile", headers=keys["support"]).status == 200
    row = live.get("/admin/audit?limit=1", keys["support"]).json["rows"][0]
    assert (row["action"], row["actor"], row["address"]) == ("payments.reconcile", actor, "127.0.0.1")


# The way back from a payment service


def test_a_callback_tells_nobody_what_is_connected(live) -> None:
    """Wrong secret, no secret, another service: always the same words."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    bodies = []
    for query in ("", "?state=", "?state=x", "?state=" + "x" * 5000):
        reply = live.call("POST", f"/admin/fake/callback{query}", b"apiKey=x", form)
        assert_error(reply, 403, "forbidden")
        bodies.append(reply.error["message"])
    assert len(set(bodies)) == 1
    assert_error(live.call("POST", "/admin/other/callback?state=x", b"apiKey=x", form), 401, "unauthenticated")


# The command line


def test_the_command_line_makes_and_revokes_keys_of_a_running_relay(live, master) -> None:
    """Through the socket: the key works in the next request, and no longer after it is revoked."""
    places = ("--config", live.core.data_dir.parent / "plugins.toml", "--data", live.core.data_dir)
    server = ControlServer(live.core.data_dir, commands(live.core))
    try:
        key = run_relay("keys", "create", "--role", "support", *places).stdout.strip()
        assert live.get("/admin/credits", bearer(key)).status == 200
        (row,) = [row for row in live.get("/admin/keys", master).json["keys"] if row["created_by"] == "cli"]
        assert row["label"] == "support"
        assert run_relay("keys", "revoke", row["id"], *places).returncode == 0
        assert live.get("/admin/credits", bearer(key)).status == 401
    finally:
        server.close()


def test_the_command_line_works_on_the_storage_when_no_relay_runs(tmp_path) -> None:
    with running(tmp_path, [FakeBackend()]):
        pass
    places = ("--config", tmp_path / "plugins.toml", "--data", tmp_path / "data")
    made = run_relay("keys", "create", "--role", "support", "--label", "night shift", "--expires-days", "7", *places)
    assert made.returncode == 0, made.stderr
    assert re.fullmatch(r"ks_[\w-]{43}\n", made.stdout), "the key and nothing else, for scripts"
    listed = run_relay("keys", "list", "--json", *places)
    (row,) = json.loads(listed.stdout)["keys"]
    assert (row["role"], row["label"], row["created_by"]) == ("support", "night shift", "cli")
    assert row["id"] in made.stderr
    assert made.stdout.strip() not in listed.stdout
    with running(tmp_path, [FakeBackend()]) as live:
        assert live.get("/admin/credits", bearer(made.stdout.strip())).status == 200
    assert run_relay("keys", "revoke", row["id"], *places).returncode == 0
    again = run_relay("keys", "revoke", row["id"], *places)
    assert (again.returncode, "no such key" in again.stderr) == (1, True)
    assert run_relay("keys", "list", *places).stdout == ""


def test_the_command_line_refuses_a_role_that_does_not_exist(tmp_path) -> None:
    done = run_relay("keys", "create", "--role", "root", "--data", tmp_path)
    assert (done.returncode, "read-only" in done.stderr) == (2, True)
