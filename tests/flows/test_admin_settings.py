"""Settings over HTTP: saved, in force at once where that is safe, two operators at once, and no secret anywhere."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.flows.fake_backend import FakeBackend
from tests.flows.fake_rail import FakeRail
from tests.flows.live import Live, assert_error, at_once, eventually, install, multipart, running, user, wav

SHOP = """
[tiers.core]
lifetime_credits = 3
[tiers.pro]
monthly_credits = 50
price = "5.00"
[[packages]]
id = "small"
credits = 20
price = "5.00"
[reconcile]
initial_delay_seconds = 0
interval_seconds = 3600
"""


class House:
    """One relay for all tests of this file, and an operator who is logged in. Each test leaves it as in the file."""

    def __init__(self, live: Live, rail: FakeRail, backend: FakeBackend) -> None:
        self.live = live
        self.rail = rail
        self.backend = backend
        self.operator = live.login()

    def view(self) -> Any:
        reply = self.live.get("/admin/settings", self.operator)
        assert reply.status == 200, reply.body
        return reply.json

    def put(self, changes: Any = None, *, version: Any = None, **more: Any) -> Any:
        version = self.view()["version"] if version is None else version
        body = {"version": version} | ({} if changes is None else {"changes": changes}) | more
        return self.live.call("PUT", "/admin/settings", headers=self.operator, json=body)

    def post(self, path: str, **body: Any) -> Any:
        return self.live.call("POST", path, headers=self.operator, json=body)

    def save(self, **changes: Any) -> Any:
        reply = self.put({key.replace("__", "."): value for key, value in changes.items()})
        assert reply.status == 200, reply.body
        return reply.json

    def rows(self) -> Any:
        return {row["key"]: row for row in self.view()["settings"]}

    def policy(self) -> Any:
        return self.live.get("/relay/policy").json

    def buy(self, who: dict[str, str], **body: Any) -> Any:
        path = "/relay/tier/checkout" if "tier" in body else "/relay/credits/checkout"
        reply = self.live.call("POST", path, headers=who, json=body)
        assert reply.status == 201, reply.body
        return reply.json["invoice"]

    def pay(self) -> None:
        invoice = list(self.rail.invoices)[-1]
        self.rail.pay(invoice)
        headers = {"X-Fake-Secret": "good", "Content-Type": "application/json"}
        assert self.live.call("POST", "/relay/fake/webhook", headers=headers, json={"invoice": invoice}).status == 200


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    rail, backend = FakeRail(), FakeBackend()
    with running(tmp_path_factory.mktemp("relay"), [backend], settings=SHOP, rails=[rail]) as live:
        yield House(live, rail, backend)
        live.assert_balanced()


@pytest.fixture
def house(relay: House) -> Iterator[House]:
    yield relay
    kept = list(relay.live.core.settings_book.state.overrides.values)
    assert relay.put({}, reset=kept).status == 200


def test_a_price_changed_in_the_dashboard_is_shown_and_charged_at_once(house: House) -> None:
    old = house.buy(install("old"), package="small")
    packages = [{"id": "small", "credits": 25, "price": "6.50", "currency": "USD"}]
    house.save(packages=packages, tiers__pro__price="7.00", tiers__pro__monthly_credits=60)
    shown = house.policy()
    assert shown["packages"] == packages
    assert (shown["tiers"]["pro"]["price"], shown["tiers"]["pro"]["monthly_credits"]) == ("7.00", 60)
    assert house.live.get("/relay/credits/packages", install("a")).json["packages"][0]["price"] == "6.50"

    new = house.buy(install("new"), package="small")
    assert (new["amount"], house.rail.sold[-1].amount.amount) == ("6.50", "6.50")
    house.pay()
    assert house.live.credits("new")["purchased"] == 25
    assert house.buy(user("tia"), tier="pro")["amount"] == "7.00"

    house.rail.pay("inv1")
    headers = {"X-Fake-Secret": "good", "Content-Type": "application/json"}
    assert house.live.call("POST", "/relay/fake/webhook", headers=headers, json={"invoice": "inv1"}).status == 200
    assert house.live.get(f"/relay/invoices/{old['id']}", install("old")).json["invoice"]["amount"] == "5.00"
    assert house.live.credits("old")["purchased"] == 20, "an order keeps what it was made with"


def test_a_tier_without_a_price_is_not_on_sale(house: House) -> None:
    house.save(tiers__pro__price=None)
    reply = house.live.call("POST", "/relay/tier/checkout", headers=user("ned"), json={"tier": "pro"})
    assert_error(reply, 404, "not_found")


def test_a_lower_quota_counts_from_the_next_call_and_leaves_never_less_than_nothing(house: House) -> None:
    for n in range(2):
        assert house.live.analyze("quin", job=f"q{n}").status == 200
    reply = house.post("/admin/quotas", tiers={"core": {"lifetime_credits": 1, "lifetime_gemini": None}})
    assert reply.status == 200
    assert reply.json["changed"] == ["tiers.core.lifetime_credits", "tiers.core.lifetime_gemini"]
    assert house.live.credits("quin")["remaining"] == 0, "never below nothing"
    assert_error(house.live.analyze("quin"), 402, "insufficient_credits")
    # The sorted column of every row follows in the background.
    eventually(lambda: (house.live.row("inst:quin") or {})["sort_total"] == 0)


def test_limits_are_those_of_the_moment(house: House) -> None:
    house.save(limits__requests_per_minute=2)
    assert [house.live.get("/relay/credits", install("lim")).status for _ in range(3)] == [200, 200, 429]
    house.save(limits__requests_per_minute=5)
    assert [house.live.get("/relay/credits", install("lim")).status for _ in range(4)] == [200, 200, 200, 429]
    house.save(limits__requests_per_minute=0)
    assert house.live.get("/relay/credits", install("lim")).status == 200
    house.save(limits__new_installs_per_address_per_hour=1)
    assert [house.live.analyze(name).status for name in ("fresh-1", "fresh-2")] == [200, 429]
    assert house.policy()["limits"]["new_installs_per_address_per_hour"] == 1


def test_rules_of_money_are_those_of_the_moment(house: House) -> None:
    till = house.live.core.till
    house.save(
        reconcile__on_amount_drift="grant",
        reconcile__window_hours=5,
        reconcile__interval_seconds=7,
        renewals__days_before=9,
        retention__idempotency_mb=3,
        events__low_credits=4,
    )
    assert (till.settlement.rules.on_amount_drift, till.settlement.window_hours) == ("grant", 5)
    assert (till.reconciler.interval, till.renewals.rules.days_before) == (7, 9)
    assert till.renewing.rules is till.renewals.rules
    assert house.live.core.idempotency.max_bytes == 3 * 2**20
    assert house.live.core.events.settings.low_credits == 4


def test_the_window_and_the_calls_of_a_job_are_those_of_the_moment(house: House) -> None:
    assert house.live.analyze("win", job="w").status == 200
    house.save(jobs__max_calls=2)
    assert house.live.analyze("win", job="w").status == 200
    assert_error(house.live.analyze("win", job="w"), 409, "job_closed")


def test_a_promoted_prompt_is_what_the_next_recap_asks(house: House) -> None:
    reply = house.post("/admin/settings/promote-prompt", name="recap", prompt="Only the decisions, please.")
    assert (reply.status, reply.json["name"]) == (200, "recap")
    body, kind = multipart(wav(), task="recap")
    headers = install("rec") | {"Content-Type": kind}
    started = house.live.call("POST", "/relay/jobs", body, headers)
    assert started.status == 202, started.body
    job = f"/relay/jobs/{started.json['job']['id']}"
    eventually(lambda: house.live.get(job, install("rec")).json["job"]["state"] == "completed")
    assert "Only the decisions, please." in str(house.backend.asked[-1])


def test_two_operators_at_once_and_the_second_sees_the_difference(house: House) -> None:
    version = house.view()["version"]
    assert house.put({"jobs.max_calls": 7}, version=version).json["version"] == version + 1
    late = house.put({"jobs.max_calls": 9, "limits.concurrent_calls": 3}, version=version)
    assert_error(late, 409, "stale_settings")
    assert late.error["details"] == {
        "version": version + 1,
        "difference": {
            "jobs.max_calls": {"yours": 9, "theirs": 7},
            "limits.concurrent_calls": {"yours": 3, "theirs": 0},
        },
    }
    assert house.put({"jobs.max_calls": 9}, version=version + 1).status == 200


def test_of_many_saves_of_one_version_one_wins(house: House) -> None:
    version = house.view()["version"]
    replies = at_once(8, lambda n: house.put({"jobs.max_calls": 100 + n}, version=version))
    assert sorted(reply.status for reply in replies) == [200] + [409] * 7
    won = next(n for n, reply in enumerate(replies) if reply.status == 200)
    assert house.rows()["jobs.max_calls"]["value"] == 100 + won
    assert house.live.core.policy.jobs.max_calls == 100 + won


BAD_BODIES: list[Any] = [
    {"changes": {}},
    {"version": True, "changes": {}},
    {"version": "1", "changes": {}},
    {"version": 0.5, "changes": {}},
    {"version": -1, "changes": {}},
    {"version": 0, "changes": []},
    {"version": 0, "changes": {"": 1}},
    {"version": 0, "changes": {"k" * 201: 1}},
    {"version": 0, "reset": "jobs.max_calls"},
    {"version": 0, "reset": ["x"] * 201},
    {"version": 0, "extra": 1},
    [],
    None,
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: str(body)[:40])
def test_a_body_of_the_wrong_shape_is_refused(house: House, body: Any) -> None:
    reply = house.live.call("PUT", "/admin/settings", headers=house.operator, json=body)
    assert reply.status == 422, reply.body


def test_a_bad_value_is_named_by_its_key_and_nothing_of_the_save_counts(house: House) -> None:
    reply = house.put({"jobs.max_calls": 9, "tiers.pro.price": "free"})
    assert_error(reply, 422, "invalid")
    assert reply.error["details"]["path"] == "tiers.pro.price"
    assert house.rows()["jobs.max_calls"]["source"] == "default"
    hostile = "<img src=x onerror=alert(1)>"
    reply = house.put({hostile: 1})
    assert (reply.status, reply.error["details"]["path"]) == (422, hostile)
    for quotas in ({}, {"pro": {"monthly_credits": True}}, {"pro": {"monthly_credits": -1}}, {"pro": []}):
        assert house.post("/admin/quotas", tiers=quotas).status == 422, quotas
    for prompt in ("", "  ", "x" * 20_001, 7):
        assert house.post("/admin/settings/promote-prompt", name="recap", prompt=prompt).status == 422, prompt
    assert house.post("/admin/settings/promote-prompt", name="poem", prompt="Sing.").status == 422


BROKEN_LINES: list[dict[str, Any]] = [
    {"relay.log_level": "debug\n"},
    {"reconcile.on_amount_drift": "grant\n"},
    {"tiers.pro.price": "5.00\n"},
    {"tiers.pro.currency": "USD\n"},
    {"relay.cors_origins": ["https://a.example\n"]},
    {"relay.public_url": "https://a.example/\nx"},
    {"packages": [{"id": "a\n", "credits": 5, "price": "1.00"}]},
    {"packages": [{"id": "a", "credits": 5, "price": "1.00\n"}]},
]


@pytest.mark.parametrize("changes", BROKEN_LINES, ids=str)
def test_a_line_break_in_a_value_is_refused(house: House, changes: Any) -> None:
    """With such a log_level the relay would not start again."""
    assert_error(house.put(changes), 422, "invalid")


def test_the_history_says_who_changed_what_and_is_in_the_audit_log(house: House) -> None:
    house.save(jobs__max_calls=77)
    newest = house.live.get("/admin/settings/history?limit=1", house.operator).json["rows"]
    assert [(row["actor"], row["before"], row["after"]) for row in newest] == [
        ("admin", {"jobs.max_calls": 500}, {"jobs.max_calls": 77})
    ]
    audit = house.live.get("/admin/audit?limit=1", house.operator).json["rows"]
    assert (audit[0]["action"], audit[0]["target"]) == ("settings.change", "jobs.max_calls")
    assert audit[0]["after"] == {"jobs.max_calls": 77}
    assert house.live.get("/admin/settings/history?limit=0", house.operator).status == 400


def test_each_row_tells_what_the_dashboard_needs(house: House) -> None:
    house.save(relay__threads=64)
    view = house.view()
    assert view["restart_needed"] == ["relay.threads"]
    rows = {row["key"]: row for row in view["settings"]}
    assert rows["relay.threads"]["value"] == 64
    names = {"key", "value", "default", "file", "source", "live", "kind", "choices", "unlimited", "group", "help"}
    assert all(names | {"problem"} <= row.keys() for row in view["settings"])
    assert rows["reconcile.on_amount_drift"]["choices"] == ["review", "grant"]
    assert rows["tiers.pro.monthly_gemini"]["unlimited"] is True


def test_only_the_password_changes_settings_and_a_lesser_key_not_even_quotas(house: House) -> None:
    def key(role: str) -> dict[str, str]:
        made = house.post("/admin/keys", role=role, label=role)
        assert made.status == 201, made.body
        return {"Authorization": f"Bearer {made.json['key']}"}

    full, reader = key("full-admin"), key("read-only")
    version = house.view()["version"]
    change = {"version": version, "changes": {"jobs.max_calls": 5}}
    promote = {"name": "recap", "prompt": "Mine."}
    for who in (full, reader):
        assert house.live.get("/admin/settings", who).status == 200
        assert house.live.call("PUT", "/admin/settings", headers=who, json=change).status == 403
        assert house.live.call("POST", "/admin/settings/promote-prompt", headers=who, json=promote).status == 403
    quotas = {"tiers": {"pro": {"monthly_credits": 51}}}
    assert house.live.call("POST", "/admin/quotas", headers=reader, json=quotas).status == 403
    assert house.live.call("POST", "/admin/quotas", headers=full, json=quotas).status == 200
    assert house.view()["version"] == version + 1
    bare = {"Cookie": house.operator["Cookie"]}
    assert house.live.call("PUT", "/admin/settings", headers=bare, json=change).status == 403, "no CSRF token"


def test_saved_settings_are_in_force_after_a_restart(tmp_path: Any) -> None:
    first, second = FakeBackend(), FakeBackend("second")
    backends = [first, second]
    with running(tmp_path, backends, settings=SHOP) as live:
        house = House(live, FakeRail(), first)
        saved = house.save(relay__call_seconds=77, jobs__max_calls=8, routing__analyze=["second"])
        assert saved["restart_needed"] == ["relay.call_seconds", "routing.analyze"]
        assert live.core.settings.relay.call_seconds == 600
        assert live.analyze().json["meta"]["backend"] == first.name
    with running(tmp_path, backends, settings=SHOP) as live:
        house = House(live, FakeRail(), first)
        assert live.core.settings.relay.call_seconds == 77
        assert live.core.settings.jobs.max_calls == 8
        assert live.analyze().json["meta"]["backend"] == "second"
        assert house.view()["restart_needed"] == []
        assert house.rows()["relay.call_seconds"]["source"] == "dashboard"
    # The operator takes the tier out of the file: what was saved about it is set aside, and the relay starts.
    with running(tmp_path, [FakeBackend()], settings="[tiers.core]\nlifetime_credits = 3\n") as live:
        rows = House(live, FakeRail(), first).rows()
        assert "no backend" in rows["routing.analyze"]["problem"]
        assert rows["jobs.max_calls"]["value"] == 8
