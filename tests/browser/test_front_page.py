"""The page at `/`: its words are true, its examples run, and no setting can put markup into it."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from relay.http.pages.examples import examples, identity
from tests.browser.conftest import desk_for
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import WAV, Live, running

PACKAGES = """
[[packages]]
id = "small"
credits = 20
price = "5.00"
"""
EVIL = "http://127.0.0.1:1\\\"'><script>alert(1)</script>$(touch evil)`touch evil`{base}"


@pytest.fixture(scope="module")
def live(tmp_path_factory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("front"), [FakeBackend("studio")], settings=PACKAGES) as relay:
        yield relay


def page(live: Live) -> str:
    reply = live.get("/")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    return reply.body.decode()


def code(live: Live, language: str) -> str:
    found = re.search(rf"<figcaption>{language}</figcaption><pre[^>]*><code>(.*?)</code>", page(live), re.DOTALL)
    assert found is not None
    return html.unescape(found[1]).replace("http://127.0.0.1:8484", f"http://127.0.0.1:{live.port}")


def test_it_says_what_is_offered_and_for_how_much(live: Live) -> None:
    text = page(live)
    for words in ("transcribe", "studio", "50 every 30 days", "5.00 USD", "small", "Nothing can be bought here"):
        assert words in text
    assert "diarize" not in text, "no backend can"
    for link in ("/relay/openapi.json", "/relay/policy", "/relay/health", "/dashboard"):
        assert f'href="{link}"' in text


@pytest.fixture
def workdir(tmp_path):
    (tmp_path / "recording.wav").write_bytes(WAV)
    return tmp_path


def run(command: list[str], folder) -> str:
    done = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="the example calls the relay with curl")
def test_the_example_for_curl_works(live: Live, workdir) -> None:
    said = run(["bash", "-ec", code(live, "curl")], workdir)
    heard, answer = [json.loads(text) for text in re.findall(r"\{.*?\}(?=\{\"ok\"|\s*$)", said, re.DOTALL)]
    assert heard["result"]["text"] == answer["result"]["text"] == "the answer of studio"


def test_the_example_for_python_works(live: Live, workdir) -> None:
    assert "the answer of studio" in run([sys.executable, "-c", code(live, "Python")], workdir)


@pytest.mark.skipif(shutil.which("node") is None, reason="the example calls the relay with node")
def test_the_example_for_node_works(live: Live, workdir) -> None:
    (workdir / "call.mjs").write_text(code(live, "Node"))
    assert "the answer of studio" in run(["node", "call.mjs"], workdir)


def test_the_examples_use_what_callers_here_can_have() -> None:
    assert identity(["operator_key", "install_id"]) == {"X-Recap-Install-Id": "my-laptop"}
    assert "rk_" in identity(["api_key"])["Authorization"]
    assert "X-Recap-User-Id" in identity(["operator_key"])
    for text in examples("https://relay.example/", ["install_id"]).values():
        assert "https://relay.example" in text
        assert "https://relay.example/ " not in text


def test_hostile_settings_stay_text_and_run_nothing(tmp_path) -> None:
    with running(tmp_path, [FakeBackend("<b>x</b>")], relay=f'public_url = "{EVIL}"\n') as live:
        text = page(live)
        assert "<script" not in text
        assert "<b>x" not in text
        shell = html.unescape(code(live, "curl")).splitlines()[0]
        subprocess.run(["bash", "-ec", shell], cwd=tmp_path, timeout=20, check=True)
        assert not (tmp_path / "evil").exists()


def test_a_change_of_a_price_is_on_the_page_at_once(live: Live) -> None:
    session = live.login()
    body = {"id": "large", "credits": 500, "price": "99.00", "currency": "EUR"}
    made = live.call("POST", "/admin/packages", headers=session, json=body)
    assert made.status in {200, 201}, made.body
    assert "99.00 EUR" in page(live)


@pytest.mark.parametrize("width", [400, 1280])
def test_it_can_be_read_without_javascript_on_any_screen(browser, live: Live, width: int) -> None:
    desk = desk_for(browser, live, viewport={"width": width, "height": 900}, java_script_enabled=False)
    desk.page.goto(f"{desk.url}/")
    desk.page.get_by_role("heading", name="How to call it").wait_for()
    desk.screenshot(f"front-{width}")
    desk.context.close()
    assert desk.troubles == []
