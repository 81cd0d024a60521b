"""The commands as an operator types them: what they print, what they complain about, and their exit codes."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import pytest
import structlog

from relay import __version__
from tests.fake_plugins import AUTH, BACKEND, install
from tests.flows.processes import BASIC, relay_process, run_relay

COMMANDS = (
    (),
    ("serve",),
    ("demo",),
    ("check",),
    ("plugins",),
    ("ledger",),
    ("ledger", "verify"),
    ("codes",),
    ("codes", "list"),
    ("codes", "create"),
    ("codes", "disable"),
)


def config_in(folder: Path, text: str) -> Path:
    path = folder / "plugins.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def in_process(monkeypatch, capsys):
    """A command run in this process, for what needs none of its own: (exit code, stdout, stderr)."""
    for name in [name for name in os.environ if name.startswith("RELAY_")]:
        monkeypatch.delenv(name)

    def run(*args) -> tuple[int, str, str]:
        from relay.cli.main import main

        monkeypatch.setattr(sys, "argv", ["relay", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            main()
        code = end.value.code
        return (0 if code is None else code, *capsys.readouterr())

    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield run
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_explains_itself(in_process, command, flag):
    code, out, _ = in_process(*command, flag)
    assert code == 0
    assert out.startswith("Usage: relay")
    if command not in {(), ("ledger",), ("codes",)}:
        assert "--config" in out
        assert "--data" in out


def test_python_m_relay_is_the_same_program():
    done = run_relay("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"relay, version {__version__}")
    assert run_relay("--help").stdout.startswith("Usage: relay ")


@pytest.mark.parametrize(
    "args",
    [("dance",), ("serve", "--port", "x"), ("serve", "--port", "70000"), ("serve", "extra"), ("check", "--onlin")],
)
def test_wrong_usage_ends_with_2(in_process, args):
    code, out, err = in_process(*args)
    assert (code, out) == (2, "")
    assert "Usage: relay" in err


WRONG_CONFIGS = {
    "[relay]\nthread = 8": "relay: relay.thread: unknown key",
    "[relay\n": "line 1",
    "": "relay: plugins: no storage is enabled",
    "[plugins.nope]\n" + BASIC: "relay: plugins.nope: no installed package offers this plugin",
    '[plugins.operator_key]\nkey = { env = "RELAY_OPERATOR_KEY" }\n' + BASIC: "RELAY_OPERATOR_KEY is not set",
}


@pytest.mark.parametrize("command", [("serve",), ("check",), ("plugins",), ("ledger", "verify")])
@pytest.mark.parametrize("text", WRONG_CONFIGS)
def test_wrong_settings_end_every_command_with_1_and_no_traceback(in_process, monkeypatch, tmp_path, command, text):
    monkeypatch.setattr("relay.cli.serve.interrupt_on_signals", lambda: None)
    monkeypatch.setattr("relay.cli.serve.pin_to_one_cpu", lambda: None)
    (tmp_path / "data").mkdir()
    code, out, err = in_process(*command, "--config", config_in(tmp_path, text), "--data", tmp_path / "data")
    assert (code, out) == (1, "")
    assert WRONG_CONFIGS[text] in err
    assert "Traceback" not in err


def test_a_missing_config_file_ends_with_1(in_process, tmp_path):
    code, _, err = in_process("check", "--config", tmp_path / "gone.toml")
    assert code == 1
    assert "gone.toml: no such file" in err


def test_every_line_of_a_complaint_says_who_complains(in_process, tmp_path):
    _, _, err = in_process("check", "--config", config_in(tmp_path, "[relay]\na = 1\n[jobs]\nb = 1\n"))
    assert err == "relay: relay.a: unknown key\nrelay: jobs.b: unknown key\n"


def test_the_config_file_is_taken_from_the_flag_then_the_environment_then_here(in_process, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    config_in(tmp_path, "[here]")
    (tmp_path / "env.toml").write_text("[env]", encoding="utf-8")
    (tmp_path / "flag.toml").write_text("[flag]", encoding="utf-8")
    assert "here: unknown key" in in_process("check")[2]
    monkeypatch.setenv("RELAY_CONFIG", "env.toml")
    assert "env: unknown key" in in_process("check")[2]
    assert "flag: unknown key" in in_process("check", "--config", "flag.toml")[2]
    monkeypatch.setenv("RELAY_CONFIG", "")
    assert "here: unknown key" in in_process("check")[2]


def test_the_data_dir_is_taken_from_the_flag_then_the_environment_then_the_file_then_here(
    in_process, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    config_in(tmp_path, BASIC)
    said = "{}: there is no data dir"
    assert said.format("data") in in_process("ledger", "verify")[2]
    config_in(tmp_path, '[relay]\ndata_dir = "from-file"\n' + BASIC)
    assert said.format("from-file") in in_process("ledger", "verify")[2]
    monkeypatch.setenv("RELAY_DATA_DIR", "from-env")
    assert said.format("from-env") in in_process("ledger", "verify")[2]
    assert said.format("from-flag") in in_process("ledger", "verify", "--data", "from-flag")[2]


def test_check_is_content_with_good_settings(in_process, tmp_path):
    config = config_in(tmp_path, BASIC)
    assert in_process("check", "--config", config) == (0, f"{config}: fine, 2 plugins enabled\n", "")
    assert not (tmp_path / "data").exists()


def test_check_warns_of_plain_secrets_and_skipped_routes_and_repeats_no_secret(in_process, tmp_path):
    text = '[routing]\nanalyze = ["spark"]\n[plugins.operator_key]\nkey = "a-plain-secret-of-mine"\n' + BASIC
    code, _, err = in_process("check", "--config", config_in(tmp_path, text))
    assert code == 0
    assert "warning: plugins.operator_key.key: a plain secret in the file" in err
    assert "warning: routing.analyze: 'spark' is not enabled and is skipped" in err
    assert "a-plain-secret" not in err


def test_check_online_asks_every_backend(tmp_path):
    site = tmp_path / "site"
    install(site, "well", BACKEND)
    install(site, "sick", BACKEND.replace("Health(True)", 'Health(False, "no answer from the box")'))
    install(site, "mad", BACKEND.replace("return Health(True)", "raise KeyError('x')"))
    env = {"PYTHONPATH": str(site)}
    all_three = config_in(tmp_path, BASIC + "[plugins.well]\n[plugins.sick]\n[plugins.mad]\n")
    assert run_relay("check", "--config", all_three, env=env).returncode == 0
    done = run_relay("check", "--online", "--config", all_three, env=env)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        "well: healthy",
        "sick: not healthy no answer from the box",
        "mad: not healthy KeyError: 'x'",
    ]
    one = config_in(tmp_path, BASIC + "[plugins.well]\n")
    assert run_relay("check", "--online", "--config", one, env=env).returncode == 0


def test_a_broken_plugin_ends_serve_with_1_before_the_port_opens(tmp_path):
    site = tmp_path / "site"
    install(site, "bad", "raise RuntimeError('no luck')")
    config = config_in(tmp_path, BASIC + "[plugins.bad]\n")
    done = run_relay("serve", "--config", config, "--data", tmp_path / "data", env={"PYTHONPATH": str(site)})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "relay: plugin 'bad' did not load: RuntimeError: no luck\n"
    assert not (tmp_path / "data").exists()


def test_plugins_lists_those_that_are_on_and_those_that_are_not(tmp_path):
    site = tmp_path / "site"
    install(site, "on", AUTH)
    install(site, "off", f"open({str(tmp_path / 'imported')!r}, 'w').close()\n")
    install(site, "sick", BACKEND.replace("Health(True)", "Health(False)"))
    env = {"PYTHONPATH": str(site)}
    config = config_in(tmp_path, BASIC + "[plugins.on]\n[plugins.sick.box]\n")
    done = run_relay("plugins", "--json", "--config", config, "--data", tmp_path / "data", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {row.pop("name"): row for row in json.loads(done.stdout)}
    fake = {"version": "1.2.3", "kinds": ["auth"], "enabled": True, "healthy": True, "origin": "fake-on"}
    ours = {"version": __version__, "kinds": ["storage"], "enabled": True, "healthy": True, "origin": "recap-relay"}
    assert rows["on"] == fake
    assert rows["off"] == fake | {"kinds": [], "enabled": False, "healthy": None, "origin": "fake-off"}
    assert rows["sick"] == fake | {"kinds": ["inference"], "healthy": False, "origin": "fake-sick"}
    assert rows["jsonfile"] == ours
    assert not (tmp_path / "imported").exists()
    lines = run_relay("plugins", "--config", config, "--data", tmp_path / "data", env=env).stdout.splitlines()
    assert "on\t1.2.3\tauth\tyes\tyes\tfake-on" in lines
    assert "off\t1.2.3\t\tno\t-\tfake-off" in lines


def test_plugins_asks_the_relay_that_runs(tmp_path):
    site = tmp_path / "site"
    install(site, "only_there", AUTH)
    with relay_process(BASIC + "[plugins.only_there]\n", tmp_path / "data", env={"PYTHONPATH": str(site)}) as relay:
        done = run_relay("plugins", "--json", "--config", relay.config, "--data", relay.data_dir)
    assert done.returncode == 0
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["only_there"]["enabled"] is True
    assert rows["jsonfile"]["healthy"] is True
