"""Discount codes from outside: the operator's door, a caller's preview, and the command line."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from relay.services.discounts import Discounts
from tests.flows.live import assert_error, install, running, user
from tests.flows.processes import BASIC, relay_process, run_relay, write_config

SHOP = """
[tiers.core]
lifetime_credits = 10
[tiers.pro]
monthly_credits = 50
price = "8.00"
[[packages]]
id = "small"
credits = 20
price = "5.00"
"""


@pytest.fixture
def live(tmp_path):
    with running(tmp_path, settings=SHOP) as live:
        yield live


@pytest.fixture
def admin(live):
    return live.login()


def made(live, admin, **code):
    reply = live.call("POST", "/admin/codes", headers=admin, json={"code": "SPRING", "kind": "percent"} | code)
    assert reply.status == 201, reply.body
    return reply.json["code"]


def preview(live, code="spring", who="inst-1", headers=None, **what):
    who = install(who) if isinstance(who, str) else who
    what = what or {"package": "small"}
    return live.call("POST", "/relay/discounts/preview", headers=who | (headers or {}), json={"code": code} | what)


def test_a_code_is_made_listed_changed_and_deleted(live, admin):
    row = made(live, admin, code=" Spring ", value=2500, max_uses=3, label="for friends")
    assert row.pop("created_at")
    assert row == {
        "code": "SPRING",
        "kind": "percent",
        "value": 2500,
        "amount": None,
        "currency": None,
        "max_uses": 3,
        "used": 0,
        "reserved": 0,
        "over_used": 0,
        "products": [],
        "tiers": [],
        "starts_at": None,
        "expires_at": None,
        "active": True,
        "label": "for friends",
    }
    made(live, admin, code="OTHER", kind="fixed", value=150, currency="USD", tiers=["pro"])
    listed = live.get("/admin/codes?limit=1", admin).json
    assert (listed["count"], len(listed["rows"])) == (2, 1)
    changed = live.call("PATCH", "/admin/codes/spring", headers=admin, json={"active": False, "max_uses": None})
    assert (changed.json["code"]["active"], changed.json["code"]["max_uses"]) == (False, None)
    assert live.call("DELETE", "/admin/codes/spring", headers=admin).json == {"ok": True, "code": "SPRING"}
    assert live.get("/admin/codes", admin).json["count"] == 1


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"kind": "percent", "value": 100}, "code"),
        ({"code": "GOOD", "kind": "half"}, "kind"),
        ({"code": "GOOD", "kind": "percent", "value": 25.5}, "value"),
        ({"code": "GOOD", "kind": "percent", "value": "25"}, "value"),
        ({"code": "GOOD", "kind": "percent", "value": 100, "max_uses": 0}, "max_uses"),
        ({"code": "GOOD", "kind": "percent", "value": 100, "expires_at": "2026-01-01"}, "expires_at"),
        ({"code": "GOOD", "kind": "percent", "value": 100, "tiers": ["gold"]}, "tiers.0"),
        ({"code": "SPR\u0406NG", "kind": "percent", "value": 100}, "code"),
    ],
)
def test_what_cannot_be_a_code_is_refused_with_the_field(live, admin, body, path):
    reply = live.call("POST", "/admin/codes", headers=admin, json=body)
    assert_error(reply, 422, "invalid")
    assert reply.error["details"]["path"] == path


def test_a_misspelt_field_is_refused(live, admin):
    reply = live.call("POST", "/admin/codes", headers=admin, json={"code": "A-B", "kind": "free", "maxuses": 1})
    assert_error(reply, 422, "invalid")


def test_a_taken_name_and_a_used_code_are_conflicts(live, admin):
    made(live, admin, value=2500)
    reply = live.call("POST", "/admin/codes", headers=admin, json={"code": "spring", "kind": "percent", "value": 1})
    assert_error(reply, 409, "conflict")
    discounts = Discounts(live.core.storage, live.core.settings)
    price = discounts.preview("spring", "package", "small")[0]
    live.core.storage.transact(lambda tx: discounts.reserve(tx, "spring", "o1", "package:small", price))
    live.core.storage.transact(lambda tx: discounts.redeem(tx, "o1"))
    assert_error(live.call("DELETE", "/admin/codes/SPRING", headers=admin), 409, "conflict")
    assert_error(live.call("DELETE", "/admin/codes/NONE", headers=admin), 404, "not_found")


def test_only_the_operator_may(live, admin):
    assert_error(live.get("/admin/codes"), 401, "unauthenticated")
    without = {"Cookie": admin["Cookie"]}
    assert_error(live.call("POST", "/admin/codes", headers=without, json={}), 403, "forbidden")
    assert_error(live.call("DELETE", "/admin/codes/X-Y", headers=without), 403, "forbidden")


def test_a_preview_says_the_price(live, admin):
    made(live, admin, value=2500)
    reply = preview(live)
    assert reply.json == {"ok": True, "discount": {"amount": "3.75", "currency": "USD", "list_amount": "5.00"}}
    assert preview(live, tier="pro", who=user("u")).json["discount"]["amount"] == "6.00"
    assert live.row("inst:inst-1") is None


def test_a_preview_says_why_not_and_tells_no_difference_between_disabled_and_unknown(live, admin):
    made(live, admin, code="OLD", value=1, expires_at="2020-01-01T00:00:00Z")
    made(live, admin, code="PRO", value=1, tiers=["pro"])
    made(live, admin, code="OFF", value=1, active=False)
    for typed, reason in [("old", "expired"), ("pro", "wrong_product"), ("off", "unknown_code"), ("n", "unknown_code")]:
        reply = preview(live, typed)
        assert_error(reply, 422, "invalid")
        assert reply.error["details"] == {"path": "code", "reason": reason}
    off, unknown = preview(live, "off").error, preview(live, "none").error
    assert off == unknown


def test_a_preview_names_one_product_that_is_on_sale(live, admin):
    made(live, admin, value=2500)
    assert_error(preview(live, package="small", tier="pro"), 422, "invalid")
    assert_error(preview(live, package=None), 422, "invalid")
    assert_error(preview(live, package="none"), 404, "not_found")
    assert_error(preview(live, tier="core"), 404, "not_found")
    assert_error(preview(live, who={}), 401, "unauthenticated")


def test_guessing_is_slow_for_an_account_and_for_an_address(live):
    replies = [preview(live, f"guess-{n}", "inst-1") for n in range(12)]
    assert [reply.status for reply in replies] == [422] * 10 + [429] * 2
    assert_error(replies[-1], 429, "rate_limited")
    others = [preview(live, f"guess-{n}", f"inst-{n}").status for n in range(2, 30)]
    assert others == [422] * 18 + [429] * 10


def test_a_preview_is_repeated_for_the_same_idempotency_key(live, admin):
    made(live, admin, value=2500)
    first = preview(live, headers={"Idempotency-Key": "k1"})
    live.call("PATCH", "/admin/codes/spring", headers=admin, json={"active": False})
    again = preview(live, headers={"Idempotency-Key": "k1"})
    assert (again.body, again.headers["idempotent-replayed"]) == (first.body, "true")


class TestDocument:
    TEXT = (Path(__file__).parents[2] / "docs" / "codes.md").read_text(encoding="utf-8")

    def test_its_commands_and_its_requests_work(self, live, admin):
        new, asked, answered = (json.loads(text) for text in re.findall(r"(?s)```json\n(.*?)```", self.TEXT))
        assert live.call("POST", "/admin/codes", headers=admin, json=new).status == 201
        assert live.call("POST", "/relay/discounts/preview", headers=install("a"), json=asked).json == answered

    def test_its_command_lines_work(self, tmp_path):
        data = tmp_path / "data"
        data.mkdir()
        config = write_config(SHOP + BASIC, data)
        (lines,) = re.findall(r"(?s)```sh\n(.*?)```", self.TEXT)
        for line in lines.splitlines():
            _, *args = shlex.split(line)
            done = run_relay(*args, "--config", config, "--data", data)
            assert done.returncode == 0, done.stderr


class TestCommands:
    CONFIG = SHOP + BASIC

    def run(self, config, data, *args):
        return run_relay("codes", *args, "--config", config, "--data", data)

    def test_the_running_relay_makes_and_disables_codes(self, tmp_path):
        data = tmp_path / "data"
        with relay_process(self.CONFIG, data) as relay:
            done = self.run(relay.config, data, "create", "spring", "--percent", "12.5", "--max-uses", "3")
            assert (done.returncode, done.stdout) == (0, "SPRING: 12.5 % off\n"), done.stderr
            done = self.run(relay.config, data, "create", "FIVER", "--off", "1.50", "--package", "small")
            assert done.stdout == "FIVER: 1.50 USD off\n", done.stderr
            assert self.run(relay.config, data, "disable", "Spring").returncode == 0
            twice = self.run(relay.config, data, "create", "SPRING", "--price", "2")
            assert (twice.returncode, "already" in twice.stderr) == (1, True)
            rows = json.loads(self.run(relay.config, data, "list", "--json").stdout)["rows"]
        assert {row["code"]: (row["value"], row["active"]) for row in rows} == {
            "SPRING": (1250, False),
            "FIVER": (150, True),
        }

    def test_without_a_relay_the_storage_is_opened(self, tmp_path):
        data = tmp_path / "data"
        data.mkdir()
        config = write_config(self.CONFIG, data)
        options = ("--max-uses", "2", "--tier", "pro", "--expires", "2030-01-31T12:00:00Z", "--label", "a gift")
        done = self.run(config, data, "create", "GIFT", "--free", *options)
        assert (done.returncode, done.stdout) == (0, "GIFT: free\n"), done.stderr
        line = self.run(config, data, "list").stdout
        assert line == "GIFT\tfree\t0\t0\t2\t2030-01-31T12:00:00Z\tactive\ta gift\n"
        assert self.run(config, data, "disable", "gift").returncode == 0
        assert "disabled" in self.run(config, data, "list").stdout

    def test_a_file_edited_by_hand_is_left_to_serve(self, tmp_path):
        data = tmp_path / "data"
        data.mkdir()
        config = write_config(self.CONFIG, data)
        assert self.run(config, data, "create", "GIFT", "--price", "1.00").returncode == 0
        (data / "credits.json").write_text('{"inst:x": {"purchased_balance": 7}}', encoding="utf-8")
        done = self.run(config, data, "create", "OTHER", "--price", "1.00")
        assert (done.returncode, "changed by hand" in done.stderr) == (1, True)
        with relay_process(self.CONFIG, data) as relay:
            assert '"GIFT"' in self.run(relay.config, data, "list", "--json").stdout

    @pytest.mark.parametrize(
        ("args", "code", "said"),
        [
            (("create", "GOOD"), 2, "one of them"),
            (("create", "GOOD", "--free", "--percent", "5"), 2, "one of them"),
            (("create", "GOOD", "--percent", "5.123"), 1, "whole number"),
            (("create", "GOOD", "--percent", "-5"), 1, ">= 0"),
            (("create", "GOOD", "--percent", "101"), 1, "at most"),
            (("create", "GOOD", "--off", "x"), 1, "not an amount"),
            (("create", "GOOD", "--free"), 1, "max_uses"),
            (("create", "GOOD", "--price", "1", "--expires", "tomorrow"), 1, "expires_at"),
            (("disable", "GOOD"), 1, "no code"),
        ],
    )
    def test_wrong_usage_says_what_is_wrong(self, tmp_path, args, code, said):
        data = tmp_path / "data"
        data.mkdir()
        done = self.run(write_config(self.CONFIG, data), data, *args)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr
        assert "Traceback" not in done.stderr
