"""The two examples of docs/plugins.md, installed and used by a relay that knows nothing of them."""

from __future__ import annotations

import tomli
import urllib3

from tests.core.test_api_exports import blocks
from tests.fake_plugins import install
from tests.flows.processes import relay_process, run_relay


def settings() -> str:
    """The document's own tables, with a storage."""
    tables = [text for text in blocks("toml") if {"plugins", "routing"} & tomli.loads(text).keys()]
    assert len(tables) == 2
    return "\n".join(["[plugins.jsonfile]", *tables])


def test_the_documented_plugins_work_as_documented(tmp_path):
    team, shout = (code for code in blocks("python") if "class Plugin" in code)
    for name, code in (("team_token", team), ("shout", shout)):
        install(tmp_path / "site", name, code.replace("{", "{{").replace("}", "}}"))
    env = {"PYTHONPATH": str(tmp_path / "site"), "TEAM_TOKEN": "the-token-of-the-team"}
    with relay_process(settings(), tmp_path / "data", env=env) as relay:

        def analyze(token: str) -> urllib3.BaseHTTPResponse:
            headers = {"X-Team-Token": token, "X-Team-Member": "ann"}
            url = f"{relay.url}/relay/analyze"
            return urllib3.request("POST", url, json={"prompt": "hello"}, headers=headers, timeout=30, retries=False)

        answer = analyze("the-token-of-the-team").json()
        assert answer["meta"]["backend"] == "louder"
        assert answer["result"]["text"].split() == ["HELLO", "!!!"]
        assert answer["credits"]["charged"] == 1
        assert analyze("a-guess").status == 401
        listed = run_relay("plugins", "--config", relay.config, "--data", relay.data_dir)
        assert "team_token\t1.2.3\tauth\tyes\tyes\tfake-team_token" in listed.stdout
        assert "shout\t1.2.3\tinference\tyes\tyes\tfake-shout" in listed.stdout
    done = run_relay("check", "--config", relay.config, env={"PYTHONPATH": env["PYTHONPATH"]})
    assert done.returncode == 1
    assert "plugins.team_token.token: the environment variable TEAM_TOKEN is not set" in done.stderr
