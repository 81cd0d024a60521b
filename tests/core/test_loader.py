"""Plugins are found through real entry points, and every mistake in one is told with its name."""

from __future__ import annotations

import sys

import pytest

from relay.config import load_config
from relay.errors import ConfigError
from relay.loader import Registry, load_plugins
from tests.fake_plugins import AUTH, BACKEND, STORAGE, install

HEAD = "[plugins.jsonfile]\n"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder for installed plugins; their modules are forgotten again."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for module in set(sys.modules) - before:
        if getattr(sys.modules[module], "__file__", "").startswith(str(folder)):
            del sys.modules[module]


@pytest.fixture
def load(tmp_path):
    def load(text: str) -> Registry:
        path = tmp_path / "plugins.toml"
        path.write_text(text, encoding="utf-8")
        return load_plugins(load_config(path))

    return load


@pytest.fixture
def refused(load):
    def refused(text: str) -> str:
        with pytest.raises(ConfigError) as refusal:
            load(text)
        return refusal.value.message

    return refused


def test_what_plugins_offer_comes_in_the_order_of_their_tables(site, load):
    for name in ("b", "a", "c"):
        install(site, name, BACKEND)
    registry = load(HEAD + "[plugins.b]\n[plugins.c]\n[plugins.a]\n")
    assert list(registry.backends) == ["b", "c", "a"]
    assert [backend.name for backend in registry.routes["analyze"]] == ["b", "c", "a"]
    assert registry.storage.name == "jsonfile"


def test_auth_strategies_come_in_the_order_of_their_ranks(site, load):
    install(site, "early", AUTH.replace('"{name}", 50', '"{name}", 5'))
    install(site, "late", AUTH)
    registry = load(HEAD + "[plugins.late]\n[plugins.install_id]\n[plugins.early]\n")
    assert [strategy.name for strategy in registry.auth] == ["early", "install_id", "late"]


def test_the_list_of_plugins_tells_where_each_comes_from(site, load):
    install(site, "on", BACKEND, dist="acme-on")
    install(site, "off", BACKEND)
    install(site, "store", STORAGE, storage=True)
    infos = {info.name: info for info in load(HEAD + "[plugins.on.one]\n[plugins.on.two]\n").plugins}
    on, off = infos["on"], infos["off"]
    assert (on.version, on.origin, on.kinds, on.enabled, on.backends) == (
        "1.2.3",
        "acme-on",
        ("inference",),
        True,
        ("one", "two"),
    )
    assert (off.version, off.origin, off.kinds, off.enabled) == ("1.2.3", "fake-off", (), False)
    assert (infos["store"].kinds, infos["store"].enabled) == (("storage",), False)
    assert list(infos)[:2] == ["jsonfile", "on"]


@pytest.mark.parametrize("table", ["", "[plugins.spy]\nenabled = false\n"])
def test_a_plugin_without_a_table_or_switched_off_is_not_imported(site, load, tmp_path, table):
    module = install(site, "spy", f"open({str(tmp_path / 'imported')!r}, 'w').close()\n")
    load(HEAD + table)
    assert not (tmp_path / "imported").exists()
    assert module not in sys.modules


@pytest.mark.parametrize(
    ("storages", "said"),
    [
        ("", "plugins: no storage is enabled. Enable exactly one of: jsonfile, store"),
        ("[plugins.jsonfile]\nenabled = false\n", "plugins: no storage is enabled"),
        (
            "[plugins.store]\n[plugins.jsonfile]\n",
            "plugins: 2 storages are enabled: store, jsonfile. Enable exactly one",
        ),
    ],
)
def test_storages_are_counted_before_anything_is_imported(site, refused, tmp_path, storages, said):
    install(site, "store", STORAGE, storage=True)
    install(site, "spy", f"open({str(tmp_path / 'imported')!r}, 'w').close()\n")
    assert refused("[plugins.spy]\n" + storages).startswith(said)
    assert not (tmp_path / "imported").exists()


def test_a_storage_that_did_not_say_so_is_counted_after_all(site, refused):
    install(site, "hidden", STORAGE)
    assert refused(HEAD + "[plugins.hidden]\n").startswith("plugins: 2 storages are enabled: jsonfile, memory")


def test_a_storage_that_offers_none_is_told(site, refused):
    install(site, "empty", STORAGE.replace("[MemoryStorage()]", "[]"), storage=True)
    assert refused("[plugins.empty]\n") == "plugins: no storage is enabled. Enable exactly one of: empty, jsonfile"


def test_an_unknown_plugin_is_refused_with_those_installed(refused):
    message = refused(HEAD + "[plugins.jsonfil]\n[plugins.nope]\n")
    assert message.startswith("plugins.jsonfil: no installed package offers this plugin. Installed: api_key, btcpay, ")
    assert "jsonfile" in message
    assert message.splitlines()[1].startswith("plugins.nope: ")


def test_two_packages_that_claim_one_name_are_both_named(site, refused, tmp_path):
    spy = f"open({str(tmp_path / 'imported')!r}, 'w').close()\n"
    install(site, "twin", spy, dist="acme-one")
    install(site, "twin", spy, dist="acme-two")
    for table in ("", "[plugins.twin]\n"):
        message = refused(HEAD + table)
        assert message.startswith("plugins.twin: two installed packages claim this name: ")
        assert "acme-one" in message
        assert "acme-two" in message
    assert not (tmp_path / "imported").exists()


BROKEN = {
    "raise RuntimeError('no luck')": "plugin 'bad' did not load: RuntimeError: no luck",
    "import no_such_module_at_all": "plugin 'bad' did not load: ModuleNotFoundError: No module named",
    "import sys; sys.exit(3)": "plugin 'bad' did not load: SystemExit: 3",
    "def broken(:": "plugin 'bad' did not load: SyntaxError",
    "x = 1": "plugin 'bad' did not load: AttributeError",
    "Plugin = 5": "plugin 'bad' did not load: TypeError",
    "class Plugin:\n    def __init__(self, table): raise KeyError('x')": "plugin 'bad' did not load: KeyError: 'x'",
    "class Plugin:\n    def __init__(self, table): dict(table)": "plugin 'bad' offers nothing: it has no @hookimpl",
    "class Plugin:\n    def __init__(self, table): pass\n    def relay_storages(self): return []": (
        "plugin 'bad': relay_storages needs @hookimpl above it"
    ),
}
HOOKED = """
    from relay.api import ConfigError, hookimpl
    class Plugin:
        def __init__(self, table): pass
        @hookimpl
        def relay_auth_strategies(self{}): {}
"""
BROKEN |= {
    HOOKED.format("", "raise KeyError('x')"): "plugin 'bad' failed in relay_auth_strategies: KeyError: 'x'",
    HOOKED.format("", "return None"): "plugin 'bad' failed in relay_auth_strategies: TypeError",
    HOOKED.format("", "raise ConfigError('plugins.bad.url: is no address')"): "plugins.bad.url: is no address",
    HOOKED.format(", app", "return []"): "plugin 'bad' did not load: PluginValidationError",
    HOOKED.format("", "return ['text']"): "plugin 'bad': its auth str lacks headers, identify, is_operator, name, rank",
    HOOKED.replace("strategies", "strategy").format("", "return []"): (
        "plugin 'bad': unknown hook 'relay_auth_strategy'. The hooks are: relay_storages, relay_auth_strategies"
    ),
}


@pytest.mark.parametrize("source", BROKEN)
def test_a_broken_plugin_stops_the_start_with_its_name_and_the_reason(site, refused, source):
    install(site, "bad", source)
    assert refused(HEAD + "[plugins.bad]\n").startswith(BROKEN[source])


def test_every_broken_plugin_is_told_in_one_go(site, refused):
    install(site, "bad", "raise RuntimeError('no luck')")
    install(site, "worse", "raise RuntimeError('none at all')")
    assert [line[:12] for line in refused(HEAD + "[plugins.bad]\n[plugins.worse]\n").splitlines()] == [
        "plugin 'bad'",
        "plugin 'wors",
    ]


def test_a_hook_under_another_name_is_called_too(site, load):
    install(
        site,
        "renamed",
        BACKEND.replace("@hookimpl", '@hookimpl(specname="relay_inference_backends")').replace(
            "def relay_inference_backends", "def offer"
        ),
    )
    registry = load(HEAD + "[plugins.renamed]\n")
    assert list(registry.backends) == ["renamed"]
    assert registry.plugins[1].kinds == ("inference",)


def test_keys_that_a_plugin_does_not_read_are_refused(site, refused):
    install(site, "curious", AUTH.replace("dict(table)", 'table.get("a"); table.get("sub", {{}}).get("b")'))
    said = refused(HEAD + "[plugins.curious]\na = 1\nc = 2\nsub = { b = 1, d = 2 }\n")
    assert said.splitlines() == ["plugins.curious.c: unknown key", "plugins.curious.sub.d: unknown key"]


def test_unknown_keys_and_missing_secrets_of_our_own_plugins_are_refused(refused, monkeypatch):
    monkeypatch.delenv("RELAY_OPERATOR_KEY", raising=False)
    assert refused("[plugins.jsonfile]\ncheckpoint = 5\n") == "plugins.jsonfile.checkpoint: unknown key"
    assert refused(HEAD + "[plugins.operator_key]\n") == "plugins.operator_key.key: this key is required"
    assert refused(HEAD + '[plugins.operator_key]\nkey = { env = "RELAY_OPERATOR_KEY" }\n') == (
        "plugins.operator_key.key: the environment variable RELAY_OPERATOR_KEY is not set"
    )


def test_two_backends_with_one_name_are_refused(site, refused):
    install(site, "one", BACKEND)
    install(site, "two", BACKEND)
    said = refused(HEAD + "[plugins.one.same]\n[plugins.two.same]\n")
    assert (
        said
        == "two inference backends are called 'same' (offered by plugins.one.same and plugins.two.same); rename one"
    )


def test_two_auth_strategies_with_one_name_are_refused(site, refused):
    install(site, "one", AUTH.replace("{name}", "same"))
    install(site, "two", AUTH.replace("{name}", "same"))
    assert refused(HEAD + "[plugins.one]\n[plugins.two]\n").startswith("two auth strategies are called 'same'")


def test_an_instance_is_a_backend_named_like_its_sub_table(site, load):
    install(site, "many", BACKEND)
    registry = load(HEAD + '[routing]\nanalyze = ["groq", "together"]\n[plugins.many.together]\n[plugins.many.groq]\n')
    assert list(registry.backends) == ["together", "groq"]
    assert [backend.name for backend in registry.routes["analyze"]] == ["groq", "together"]


def test_routing_to_an_unknown_name_is_refused(site, refused):
    install(site, "real", BACKEND)
    said = refused(HEAD + '[routing]\nanalyze = ["real", "gemnii"]\n[plugins.real]\n')
    assert said == "routing.analyze: there is no backend 'gemnii'. Enabled: real"


def test_routing_to_a_known_plugin_that_is_off_is_skipped_and_noted(site, load):
    install(site, "real", BACKEND)
    install(site, "off", BACKEND)
    registry = load(
        HEAD + '[routing]\nanalyze = ["off", "groq", "real"]\n[plugins.real]\n[plugins.off]\nenabled = false\n'
        "[plugins.off.groq]\n"
    )
    assert [backend.name for backend in registry.routes["analyze"]] == ["real"]
    assert registry.notes == (
        "routing.analyze: 'off' is not enabled and is skipped",
        "routing.analyze: 'groq' is not enabled and is skipped",
    )


def test_routing_to_an_enabled_plugin_that_is_no_backend_is_refused(site, refused):
    install(site, "real", BACKEND)
    said = refused(HEAD + '[routing]\nanalyze = ["install_id"]\n[plugins.install_id]\n[plugins.real]\n')
    assert said == "routing.analyze: there is no backend 'install_id'. Enabled: real"


def test_a_clash_of_names_says_which_tables_to_rename(refused):
    said = refused(HEAD + '[plugins.local]\n[plugins.openai_compatible.local]\nbase_url = "http://h"\n')
    assert said.startswith("two inference backends are called 'local'")
    assert "plugins.local and plugins.openai_compatible.local" in said


def test_a_reference_to_an_unset_variable_is_told_where_it_is_optional(load, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    table = 'base_url = "http://h"\napi_key = { env = "NO_SUCH_KEY" }\nheaders = { x = { env = "NO_SUCH_KEY" } }\n'
    notes = load(HEAD + f"[plugins.openai_compatible.a]\n{table}").notes
    for key in ("api_key", "headers.x"):
        why = "the environment variable NO_SUCH_KEY is not set"
        assert f"plugins.openai_compatible.a.{key}: {why}" in notes
