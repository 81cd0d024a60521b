"""plugins.toml: what is accepted, what is refused, and how each complaint names its key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relay.config import Config, load_config
from relay.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_password(monkeypatch):
    monkeypatch.delenv("RELAY_ADMIN_PASSWORD", raising=False)


@pytest.fixture
def load(tmp_path):
    def load(text: str) -> Config:
        path = tmp_path / "plugins.toml"
        path.write_text(text, encoding="utf-8")
        return load_config(path)

    return load


def test_an_empty_file_means_the_defaults(load):
    settings = load("").settings
    assert (settings.relay.host, settings.relay.port, settings.relay.data_dir) == ("127.0.0.1", 8484, "./data")
    assert (settings.relay.threads, settings.relay.reserve_threads) == (256, 32)
    assert (settings.relay.drain_seconds, settings.relay.max_upload_mb) == (20, 2048)
    assert set(settings.tiers) == {"core", "pro", "max"}
    assert (settings.tiers["core"].lifetime_credits, settings.tiers["core"].monthly_credits) == (10, None)
    assert settings.jobs.free_window_hours == 24


def test_the_file_of_the_repository_is_fine_and_warns_of_nothing():
    config = load_config(REPOSITORY / "plugins.toml")
    assert list(config.plugins) == ["jsonfile", "install_id", "local"]
    assert config.warnings == ()


def test_every_default_written_in_the_file_of_the_repository_is_the_real_one(load):
    """Its commented settings, switched on, change nothing."""
    text = (REPOSITORY / "plugins.toml").read_text(encoding="utf-8").partition("# Plugins.")[0]
    switched_on, count = re.subn(r"(?m)^# (?!admin_password|transcribe|analyze|diarize)([a-z_]+ = )", r"\1", text)
    assert count > 25
    assert load(switched_on).settings == load(text).settings


WRONG = {
    "[relais]\nthreads = 8": "relais: unknown key",
    "threads = 8": "threads: unknown key",
    "[relay]\nthread = 8": "relay.thread: unknown key",
    '[relay]\nthreads = "8"': "relay.threads: expected int, got str",
    "[relay]\nthreads = true": "relay.threads: expected int, got bool",
    "[relay]\nthreads = 0": "relay.threads: expected int >= 4",
    "[relay]\nport = 65536": "relay.port: expected int <= 65535",
    "[relay]\nport = -1": "relay.port: expected int >= 0",
    "[relay]\ncall_seconds = 99999999999999999999": "relay.call_seconds: expected int <= 86400",
    "[relay]\nhost = ''": "relay.host: expected str of length >= 1",
    "[relay]\nadmin_password = ''": "relay.admin_password: expected str of length >= 1",
    "[relay]\npublic_url = 'relay.example'": "relay.public_url: expected str matching",
    "[relay]\nlog_level = 'loud'": "relay.log_level: expected str matching",
    "[relay]\ncors_origins = ['https://a.example', 'https://b.example/']": "relay.cors_origins.1: expected str",
    "[relay]\ntrusted_proxies = ['10.0.0.0/8', 'proxy']": "relay.trusted_proxies.1: 'proxy'",
    "[relay]\nthreads = 16\nreserve_threads = 16": "relay.reserve_threads: 16 is not smaller than relay.threads (16)",
    "[relay]\nadmin_password = { evn = 'X' }": "relay.admin_password: expected str, got table",
    "relay = 5": "relay: expected table, got int",
    "[[relay]]\nthreads = 8": "relay: expected table, got list",
    "tiers = 5": "tiers: expected table, got int",
    "[tiers]\ncore = 5": "tiers.core: expected table, got int",
    "[tiers.pro]\nmonthly_credits = 5": "tiers.core: this tier must exist",
    "[tiers.core]\n[tiers.gold]\nmonthly_credit = 5": "tiers.gold.monthly_credit: unknown key",
    "[tiers.core]\nlifetime_credits = -1": "tiers.core.lifetime_credits: expected int >= 0",
    "[tiers.core]\n[tiers.x]\nlifetime_credits = 1\nmonthly_gemini = 1": "tiers.x: use lifetime_* or monthly_*",
    "[tiers.core]\n[tiers.x]\nprice = 5.0": "tiers.x.price: expected str, got float",
    "[tiers.core]\n[tiers.x]\nprice = '-5'": "tiers.x.price: expected str matching",
    "[[packages]]\nid = 'a'\ncredits = 1\nprice = '1'\n[[packages]]\nid = 'b'\nprice = '1'": "packages.1.credits: this",
    "[[packages]]\nid = 'a'\ncredits = 1.0\nprice = '1'": "packages.0.credits: expected int, got float",
    2 * "[[packages]]\nid = 'a'\ncredits = 1\nprice = '1'\n": "packages.1.id: 'a' is used twice",
    "[packages]\nid = 'a'": "packages: expected list, got table",
    "[jobs]\nfree_window_hours = inf": "jobs.free_window_hours: expected float <=",
    "[jobs]\nfree_window_hours = nan": "jobs.free_window_hours: expected float >=",
    "[routing]\nsummarise = ['local']": "routing.summarise: unknown key",
    "[routing]\nanalyze = 'local'": "routing.analyze: expected list, got str",
    "[retention]\njobs_days = 0": "retention.jobs_days: expected int >= 1",
    "[reconcile]\non_amount_drift = 'ignore'": "reconcile.on_amount_drift: expected str matching",
    "plugins = 5": "plugins: write a table",
    "[plugins]\njsonfile = true": "plugins.jsonfile: must be a table",
    "[plugins.jsonfile]\nenabled = 'no'": "plugins.jsonfile.enabled: must be true or false",
    "[plugins.x]\nkey = { env = 'A', file = 'B' }": "plugins.x.key: write",
    "[plugins.x]\nkey = { env = 5 }": "plugins.x.key: write",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_setting_is_refused_by_its_full_name(load, text):
    with pytest.raises(ConfigError) as refusal:
        load(text)
    assert refusal.value.message.startswith(WRONG[text])


def test_several_mistakes_are_told_in_one_go(load):
    with pytest.raises(ConfigError) as refusal:
        load("[relay]\nthread = 8\n[tiers.core]\nx = 1\n[tiers.pro]\ny = 1\n[jobs]\nz = 1\n[plugins]\np = 1\nq = 2")
    named = [line.partition(":")[0] for line in refusal.value.message.splitlines()]
    assert sorted(named) == ["jobs.z", "plugins.p", "plugins.q", "relay.thread", "tiers.core.x", "tiers.pro.y"]


def test_a_syntax_error_names_the_file_and_the_line(load, tmp_path):
    with pytest.raises(ConfigError) as refusal:
        load("[relay]\nthreads = 8\nhost = \n")
    assert refusal.value.message.startswith(f"{tmp_path}/plugins.toml: ")
    assert "line 3" in refusal.value.message


def test_the_same_plugin_twice_names_the_line(load):
    with pytest.raises(ConfigError, match="line 2"):
        load("[plugins.x]\n[plugins.x]\n")


def test_a_missing_file_says_how_to_name_another(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.toml: no such file\. Give --config FILE or set RELAY_CONFIG"):
        load_config(tmp_path / "gone.toml")


def test_a_folder_or_a_binary_file_is_a_complaint(tmp_path):
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(tmp_path)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="binary: "):
        load_config(binary)


def test_a_byte_order_mark_is_no_syntax_error(load):
    assert load("\ufeff[relay]\nthreads = 8").settings.relay.threads == 8


def test_few_threads_need_no_second_setting(load):
    assert load("[relay]\nthreads = 16").settings.relay.reserve_threads == 4
    assert load("[relay]\nthreads = 4").settings.relay.reserve_threads == 1


def test_plugins_keep_the_order_of_their_tables_and_disabled_ones_are_left_out(load):
    config = load("[plugins.b]\n[plugins.off]\nenabled = false\nurl = 5\n[plugins.a]\nenabled = true\n")
    assert list(config.plugins) == ["b", "a"]
    assert list(config.plugins["a"]) == []


def test_secrets_of_a_disabled_plugin_are_not_looked_for(load, tmp_path):
    config = load(f"[plugins.off]\nenabled = false\nkey = {{ file = '{tmp_path}' }}\n")
    assert list(config.plugins) == []


def test_sub_tables_may_be_backends_but_references_may_not(load):
    text = "[plugins.x.together]\nurl = 'a'\n[plugins.y]\nenabled = false\nkey = { env = 'K' }\n[plugins.y.groq]\n"
    assert load(text).instances == {"together", "groq"}


def test_a_plain_secret_is_warned_about_and_not_repeated(load):
    config = load(
        "[relay]\nadmin_password = 'hunter2'\n[plugins.x]\napi_key = 'hunter2'\npublic_keys = ['a']\n"
        "[plugins.x.sub]\nwebhook_token = 'hunter2'\n[plugins.y]\nkey = ''\n"
    )
    named = [warning.partition(":")[0] for warning in config.warnings]
    assert named == ["relay.admin_password", "plugins.x.api_key", "plugins.x.sub.webhook_token"]
    assert "hunter2" not in " ".join(config.warnings)


def test_the_admin_password_of_the_environment_beats_the_file(load, monkeypatch):
    monkeypatch.setenv("RELAY_ADMIN_PASSWORD", "from the environment")
    assert load("").settings.relay.admin_password == "from the environment"
    assert load("[relay]\nadmin_password = 'plain'").settings.relay.admin_password == "from the environment"


def test_an_empty_admin_password_in_the_environment_is_none(load, monkeypatch):
    monkeypatch.setenv("RELAY_ADMIN_PASSWORD", "")
    assert load("").settings.relay.admin_password is None
    assert load("[relay]\nadmin_password = { env = 'RELAY_ADMIN_PASSWORD' }").settings.relay.admin_password is None


def test_the_admin_password_may_be_a_reference(load, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("from a file\n", encoding="utf-8")
    config = load(f"[relay]\nadmin_password = {{ file = '{secret}' }}")
    assert config.settings.relay.admin_password == "from a file"
    assert config.warnings == ()
