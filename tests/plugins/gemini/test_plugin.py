"""Settings, and what happens behind the back of an SDK that reads the environment."""

import hashlib
import subprocess
import sys

import pytest
from relay_gemini import Plugin

from relay.errors import ConfigError
from relay.ports.inference import ChatRequest
from relay.tables import Table
from relay.testing.sandbox.gemini import KEY

HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}])
UNUSED = """
import sys
from relay_gemini import Plugin
from relay.tables import Table
(backend,) = Plugin(Table({"api_key": "a-key"}, "plugins.gemini")).relay_inference_backends()
backend.tasks, backend.models("transcribe"), backend.close()
loaded = [name for name in ("google.genai", "google.auth", "httpx2", "pydantic") if name in sys.modules]
sys.exit(f"loaded: {loaded}" if loaded else 0)
"""


def test_an_unused_plugin_loads_nothing_of_googles():
    subprocess.run([sys.executable, "-c", UNUSED], check=True, timeout=60)


def test_the_environment_changes_neither_the_place_nor_the_key(backend_for, box, ctx, monkeypatch):
    elsewhere = "http://127.0.0.1:1"
    for name, value in {
        "GOOGLE_API_KEY": "another-key",
        "GEMINI_API_KEY": "a-third-key",
        "GOOGLE_GEMINI_BASE_URL": elsewhere,
        "GOOGLE_VERTEX_BASE_URL": elsewhere,
        "GOOGLE_GENAI_USE_VERTEXAI": "true",
        "GOOGLE_GENAI_USE_ENTERPRISE": "true",
        "GOOGLE_GENAI_API_VERSION": "beta",
        "GOOGLE_GENAI_CLIENT_MODE": "replay",
        "GOOGLE_GENAI_REPLAYS_DIRECTORY": "/nowhere",
        "GOOGLE_CLOUD_PROJECT": "another-project",
        "GOOGLE_CLOUD_LOCATION": "mars",
        "GOOGLE_API_USE_CLIENT_CERTIFICATE": "true",
        "GOOGLE_API_USE_MTLS_ENDPOINT": "always",
        "HTTP_PROXY": elsewhere,
        "HTTPS_PROXY": elsewhere,
        "ALL_PROXY": elsewhere,
        "http_proxy": elsewhere,
        "all_proxy": elsewhere,
        "NO_PROXY": "",
        "no_proxy": "",
    }.items():
        monkeypatch.setenv(name, value)
    assert list(backend_for().chat(HELLO, ctx))[-1].finish == "stop"
    (record,) = box.requests("gemini")
    assert record.path.startswith("/v1/models/gemini-3.8-flash")
    assert record.headers["x-goog-api-key"].endswith(hashlib.sha256(KEY.encode()).hexdigest()[:12])


def test_one_client_serves_all_calls(backend, ctx, box):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: list(backend.chat(HELLO, ctx)), range(40)))
    assert all(answer[-1].finish == "stop" for answer in answers)
    assert box.requests.counts()["gemini"]["stream"]["billed"] == 40


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({}, "api_key"),
        ({"api_key": "two words"}, r"plugins\.gemini\.api_key: this is not an API key"),
        ({"api_key": "k", "base_url": "gemini.example"}, r"plugins\.gemini\.base_url: must be like"),
        ({"api_key": "k", "base_url": "https://me:pw@gemini.example"}, r"plugins\.gemini\.base_url"),
        ({"api_key": "k", "model": ""}, r"plugins\.gemini\.model"),
        ({"api_key": "k", "thinking": "hard"}, "thinking"),
        ({"api_key": "k", "piece_minutes": 60}, "piece_minutes"),
        ({"api_key": "k", "inline_mb": 500}, "inline_mb"),
        ({"api_key": "k", "colour": "blue"}, "colour"),
    ],
)
def test_settings_that_cannot_work_are_named(table, says):
    with pytest.raises(ConfigError, match=says):
        Plugin(Table(table, "plugins.gemini"))


def test_the_settings_file_shows_every_option_with_its_default():
    import re
    import tomllib
    from pathlib import Path

    import msgspec
    from relay_gemini.settings import Settings

    text = (Path(__file__).parents[3] / "plugins.toml").read_text()
    section = text.split("# [plugins.gemini]\n", 1)[1].split("\n\n", 1)[0]
    shown = dict(re.findall(r"^# ([a-z_]+) = (\{.*?\}|\[.*?\]|\S+)", section, re.MULTILINE))
    assert set(shown) == set(Settings.__struct_fields__)
    defaults = msgspec.structs.asdict(Settings(api_key=""))
    for name, value in shown.items():
        told = tomllib.loads(f"x = {value}")["x"]
        assert name == "api_key" or defaults[name] == (tuple(told) if isinstance(told, list) else told), name
