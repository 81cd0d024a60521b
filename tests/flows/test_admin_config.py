"""What the operator sees of the configuration and the plugins: everything but the secrets."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.config import load_config
from relay.errors import Unavailable
from relay.loader import PluginInfo, load_plugins
from relay.ports.inference import Health
from relay.services.breaker import Breaker
from relay.services.checks import Checks
from relay.services.plugins_view import PluginsView
from relay.services.secrecy import blotted, known_secrets, masked
from tests.flows.fake_backend import FakeBackend
from tests.flows.fake_rail import FakeRail
from tests.flows.live import OPERATOR_KEY, PASSWORD, Live, running

SECRET = "s3cr3t-value-nobody-may-see"
SETTINGS = """
[events]
url = "http://events-user:s3cr3t-value-nobody-may-see-1@127.0.0.1:9/hook?token=s3cr3t-value-nobody-may-see-2"
secret = "s3cr3t-value-nobody-may-see-3"
"""
RELAY = 'public_url = "https://bob:s3cr3t-value-nobody-may-see-4@relay.example"\n'
PLUGINS = """
[plugins.gemini]
api_key = { env = "TEST_GEMINI_KEY" }
[plugins.zaprite]
api_key = { file = "SECRET_FILE" }
webhook_token = { env = "TEST_NOT_SET" }
[plugins.openai_compatible.vllm]
base_url = "http://127.0.0.1:9/v1"
api_key = "s3cr3t-value-nobody-may-see-8"
headers = { X-Mine = "s3cr3t-value-nobody-may-see-9" }
model = "<script>alert(1)</script>"
"""
PAGES = ("/admin/config", "/admin/plugins", "/admin/settings", "/admin/settings/history", "/admin/audit")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder: Path = tmp_path_factory.mktemp("relay")
    file = folder / "zaprite-key"
    file.write_text(f"{SECRET}-10\n", encoding="utf-8")
    patch = pytest.MonkeyPatch()
    patch.setenv("TEST_GEMINI_KEY", f"{SECRET}-11")
    patch.delenv("TEST_NOT_SET", raising=False)
    patch.delenv("RELAY_ADMIN_PASSWORD", raising=False)
    plugins = PLUGINS.replace("SECRET_FILE", str(file))
    with running(folder, relay=RELAY, settings=SETTINGS, plugins=plugins) as relay:
        yield relay
    patch.undo()


@pytest.fixture(scope="module")
def operator(live: Live) -> dict[str, str]:
    return live.login()


def config(live: Live, operator: dict[str, str]) -> Any:
    reply = live.get("/admin/config", operator)
    assert reply.status == 200, reply.body
    return reply.json


def test_no_secret_is_in_any_answer(live: Live, operator: dict[str, str]) -> None:
    version = live.get("/admin/settings", operator).json["version"]
    body = {"version": version, "changes": {"relay.public_url": "https://shop.example", "jobs.max_calls": 3}}
    assert live.call("PUT", "/admin/settings", headers=operator, json=body).status == 200
    wrong = {"version": version + 1, "changes": {"relay.public_url": f"https://u:{SECRET}@x.example"}}
    refused = live.call("PUT", "/admin/settings", headers=operator, json=wrong)
    assert refused.status == 422
    texts = [refused.body.decode(), *(live.get(page, operator).body.decode() for page in PAGES)]
    back = {"version": version + 1, "reset": ["relay.public_url", "jobs.max_calls"]}
    assert live.call("PUT", "/admin/settings", headers=operator, json=back).status == 200
    texts += [live.get(page, operator).body.decode() for page in PAGES]
    for text in texts:
        for secret in (SECRET, OPERATOR_KEY, PASSWORD):
            assert secret not in text


def test_a_secret_says_where_it_is_set(live: Live, operator: dict[str, str], tmp_path: Path) -> None:
    shown = config(live, operator)
    plugins = shown["config"]["plugins"]
    assert plugins["gemini"]["api_key"] == "•••• (set by env TEST_GEMINI_KEY)"
    assert plugins["zaprite"]["api_key"].startswith("•••• (set by file ")
    assert plugins["openai_compatible"]["vllm"]["api_key"] == "••••"
    assert plugins["openai_compatible"]["vllm"]["headers"] == {"X-Mine": "••••"}
    assert plugins["openai_compatible"]["vllm"]["model"] == "<script>alert(1)</script>", "text stays text"
    assert shown["config"]["relay"]["admin_password"] == "••••"
    assert shown["config"]["events"]["url"] == "http://••••@127.0.0.1:9/••••"
    sources = shown["sources"]
    assert sources["plugins.gemini.api_key"] == "env"
    assert sources["plugins.zaprite.api_key"] == "file"
    assert sources["relay.threads"] == "file"
    assert sources["relay.port"] == "default"
    assert sources["limits.requests_per_minute"] == "file"
    assert shown["file"].endswith("plugins.toml")


def test_a_saved_value_and_a_flag_are_told_apart_from_the_file(live: Live, operator: dict[str, str]) -> None:
    version = live.get("/admin/settings", operator).json["version"]
    body = {"version": version, "changes": {"jobs.max_calls": 44}}
    assert live.call("PUT", "/admin/settings", headers=operator, json=body).status == 200
    live.core.outside = {"relay.port": (9999, "flag"), "relay.host": ("0.0.0.0", "env")}
    shown = config(live, operator)
    assert (shown["config"]["jobs"]["max_calls"], shown["sources"]["jobs.max_calls"]) == (44, "dashboard")
    assert (shown["config"]["relay"]["port"], shown["sources"]["relay.port"]) == (9999, "flag")
    assert shown["sources"]["relay.host"] == "env"
    assert shown["sources"].keys() >= {"tiers.pro.price", "packages", "routing.analyze", "prompts.recap"}


def test_a_password_of_the_environment_says_so(live: Live, operator: dict[str, str], monkeypatch) -> None:
    monkeypatch.setenv("RELAY_ADMIN_PASSWORD", PASSWORD)
    shown = config(live, operator)
    assert shown["config"]["relay"]["admin_password"] == "•••• (set by env RELAY_ADMIN_PASSWORD)"
    assert shown["sources"]["relay.admin_password"] == "env"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ({"Passphrase": "abc"}, {"Passphrase": "••••"}),
        ({"x": {"env": "VAR"}}, {"x": "•••• (set by env VAR)"}),
        ({"credentials": {"name": "abc", "n": 5}}, {"credentials": {"name": "••••", "n": "••••"}}),
        ({"api_keys": ["a", "b"]}, {"api_keys": ["••••", "••••"]}),
        ({"pin_key": 1234}, {"pin_key": "••••"}),
        ({"max_tokens": 10, "keys": True, "secret": ""}, {"max_tokens": 10, "keys": True, "secret": ""}),
        ({"list": [{"token": "abc", "n": 1}]}, {"list": [{"token": "••••", "n": 1}]}),
        ({"dsn": "postgres://u:p@h/db"}, {"dsn": "••••"}),
        ({"at": "postgres://u:p@h/db?password=x"}, {"at": "postgres://••••@h/db?••••"}),
        ({"at": "see http://a:b@c and http://d:e@f"}, {"at": "see http://••••@c and http://••••@f"}),
        ({"plain": "a@b", "n": None}, {"plain": "a@b", "n": None}),
    ],
)
def test_secrets_are_known_by_where_they_stand(written: Any, shown: Any) -> None:
    assert masked(written, written) == shown


def test_what_a_plugin_says_is_blotted(monkeypatch) -> None:
    monkeypatch.setenv("TEST_TOKEN_OF_A_PLUGIN", "tok-12345")
    secrets = known_secrets({"plugins": {"a": {"x": {"env": "TEST_TOKEN_OF_A_PLUGIN"}, "api_key": "plain-6789"}}})
    assert secrets == {"tok-12345", "plain-6789"}
    assert blotted("401 for tok-12345 and plain-6789 at http://u:p@h/?q=1", secrets) == (
        "401 for •••• and •••• at http://••••@h/?••••"
    )
    assert len(blotted("x" * 9999, secrets)) == 300


def test_every_plugin_is_listed_with_what_it_can(live: Live, operator: dict[str, str]) -> None:
    reply = live.get("/admin/plugins", operator)
    rows = {row["name"]: row for row in reply.json["plugins"]}
    assert rows.keys() >= {"jsonfile", "gemini", "zaprite", "local", "postgres"} - {"postgres"}
    names = {"name", "version", "kinds", "enabled", "healthy", "problem", "from", "details"}
    assert all(row.keys() == names for row in rows.values())
    assert (rows["jsonfile"]["kinds"], rows["jsonfile"]["healthy"]) == (["storage"], True)
    assert (rows["local"]["enabled"], rows["local"]["healthy"]) == (False, None)
    gemini = rows["gemini"]["details"]["backends"][0]
    assert "analyze" in gemini["tasks"]
    assert gemini["health"]["state"] == "closed"
    assert rows["openai_compatible"]["details"]["backends"][0]["name"] == "vllm"
    assert rows["zaprite"]["details"]["rails"][0]["selling"] is True
    assert rows["operator_key"]["details"]["strategies"] == ["operator_key"]


class Slow(FakeBackend):
    """Says how it is when the gate opens; `asked_now` counts how often it was asked."""

    def __init__(self, name: str, health: Health | Exception, gate: threading.Event) -> None:
        super().__init__(name)
        self.answer, self.wait_for, self.asked_now = health, gate, 0

    def health(self) -> Health:
        self.asked_now += 1
        self.wait_for.wait(30)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def view_of(live: Live, backends: list[FakeBackend], rails: list[FakeRail], secrets: frozenset[str] = frozenset()):
    """A view of plugins that offer these."""
    infos = [PluginInfo(b.name, "1", "test", ("inference",), enabled=True, backends=(b.name,)) for b in backends]
    infos += [PluginInfo(r.name, "1", "test", ("rail",), enabled=True, rails=(r.name,)) for r in rails]
    by_name, sellers = {b.name: b for b in backends}, {r.name: r for r in rails}
    registry = replace(live.core.registry, plugins=tuple(infos), backends=by_name, rails=sellers, auth=())
    breaker = Breaker(by_name)
    checks = Checks(live.core.storage, sellers, live.core.till.settlement)
    return PluginsView(registry, live.core.storage, breaker, checks, secrets), breaker


def test_without_a_check_nothing_is_asked_and_what_is_known_is_told(live: Live) -> None:
    opened = threading.Event()
    backends = [Slow("well", Health(ok=True), opened), Slow("ill", Health(ok=True), opened)]
    off = FakeRail("off")
    off.why_off = "not connected yet"
    view, breaker = view_of(live, backends, [FakeRail("shop"), off])
    for _ in range(5):
        breaker.failed("ill", Unavailable("down"))
    rows = {row["name"]: row for row in view.rows()}
    assert (rows["well"]["healthy"], rows["well"]["problem"]) == (True, None)
    assert rows["ill"]["healthy"] is False
    assert "upstream_unavailable" in rows["ill"]["problem"]
    assert rows["shop"]["healthy"] is True
    assert (rows["off"]["healthy"], rows["off"]["problem"]) == (None, "not connected yet")
    assert [backend.asked_now for backend in backends] == [0, 0]


def test_a_check_asks_all_at_once_waits_a_bounded_time_and_asks_nobody_twice(live: Live, monkeypatch) -> None:
    monkeypatch.setattr("relay.services.plugins_view.ASK_SECONDS", 0.3)
    opened, hanging = threading.Event(), threading.Event()
    opened.set()
    well = Slow("well", Health(ok=True), opened)
    ill = Slow("ill", Health(ok=False, detail=f"401 for {SECRET}"), opened)
    broken = Slow("broken", ValueError(f"no {SECRET}"), opened)
    slow = Slow("slow", Health(ok=True), hanging)
    try:
        view, _ = view_of(live, [well, ill, broken, slow], [FakeRail("shop")], frozenset([SECRET]))
        for _ in range(3):
            rows = {row["name"]: row for row in view.rows(ask=True)}
        assert rows["well"]["healthy"] is rows["shop"]["healthy"] is True
        assert (rows["ill"]["healthy"], rows["ill"]["problem"]) == (False, "401 for ••••")
        assert (rows["broken"]["healthy"], rows["broken"]["problem"]) == (
            False,
            "it failed in saying how it is (ValueError)",
        )
        assert rows["slow"]["healthy"] is False
        assert "no answer within" in rows["slow"]["problem"]
        assert (well.asked_now, slow.asked_now) == (3, 1)
        assert SECRET not in json.dumps(rows)
    finally:
        hanging.set()


def test_the_loader_knows_what_each_plugin_offers(tmp_path: Path) -> None:
    path = tmp_path / "plugins.toml"
    path.write_text("[plugins.jsonfile]\n[plugins.install_id]\n[plugins.zaprite]\n", encoding="utf-8")
    infos = {info.name: info for info in load_plugins(load_config(path)).plugins}
    assert infos["zaprite"].rails == ("zaprite",)
    assert infos["install_id"].strategies == ("install_id",)
