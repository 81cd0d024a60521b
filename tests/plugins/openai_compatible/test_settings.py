"""The tables of the servers: names, defaults, addresses, complaints."""

import pytest
from relay_openai_compatible import Plugin
from relay_openai_compatible.settings import Settings

from relay.errors import ConfigError
from relay.tables import Table


def plugin(**tables):
    return Plugin(Table(tables, "plugins.openai_compatible"))


def test_each_table_is_a_backend_of_its_name_and_nothing_is_contacted():
    offered = plugin(
        vllm={"base_url": "http://127.0.0.1:1"},
        hosted={"base_url": "https://127.0.0.1:1/v1", "tasks": ["transcribe"], "cost_class": "gemini"},
    ).relay_inference_backends()
    first, second = offered
    assert (first.name, first.cost_class, first.max_concurrent, first.queue_size, first.tasks) == (
        "vllm",
        "openai_compatible",
        8,
        64,
        {"analyze"},
    )
    assert (second.name, second.cost_class, second.tasks) == ("hosted", "gemini", {"transcribe"})


@pytest.mark.parametrize(
    ("base_url", "root"),
    [
        ("http://h:8000", "http://h:8000/v1"),
        ("http://h:8000/", "http://h:8000/v1"),
        ("http://h:8000/v1/", "http://h:8000/v1"),
        ("https://h/llm", "https://h/llm/v1"),
        ("https://api.groq.com/openai/v1", "https://api.groq.com/openai/v1"),
        ("https://h/v1beta/openai", "https://h/v1beta/openai"),
        ("https://v1.example", "https://v1.example/v1"),
    ],
)
def test_a_version_is_added_where_none_is_in_the_path(base_url, root):
    assert Settings(base_url=base_url).root == root


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        ({}, r"plugins\.openai_compatible: write a table \[plugins\.openai_compatible\.NAME\]"),
        ({"base_url": "http://h"}, r"plugins\.openai_compatible\.base_url: must be a table"),
        ({"a": {}}, r"plugins\.openai_compatible\.a\.base_url: this key is required"),
        ({"a": {"base_url": "h:8000"}}, r"plugins\.openai_compatible\.a\.base_url: the URL must"),
        ({"a": {"base_url": "http://["}}, r"plugins\.openai_compatible\.a\.base_url: "),
        ({"a": {"base_url": "http://h", "headers": {"x": "sesame\n"}}}, r"plugins\.openai_compatible\.a\.headers: "),
        ({"a": {"base_url": "http://h", "api_key": "sesame\n"}}, r"plugins\.openai_compatible\.a\.api_key: "),
        *(
            ({"a": {"base_url": "http://h", "headers": {name: "x"}}}, r"plugins\.openai_compatible\.a: headers: ")
            for name in ("", "a b", "a:", "é", "a\n", "Host", "content-length", "Transfer-Encoding", "Connection")
        ),
        *(
            ({name: {"base_url": "http://h"}}, "the name must be 1 to 64 characters")
            for name in ("", "a b", "a/b", "é", "x" * 65, "a\n")
        ),
        (
            {"a": {"base_url": "http://h", "read_timeout": float("inf")}},
            r"plugins\.openai_compatible\.a\.read_timeout: ",
        ),
        ({"a": {"base_url": "http://h", "tasks": ["diarize"]}}, r"plugins\.openai_compatible\.a\.tasks"),
        ({"a": {"base_url": "http://h", "tasks": []}}, r"plugins\.openai_compatible\.a\.tasks"),
        ({"a": {"base_url": "http://h", "modell": "x"}}, r"plugins\.openai_compatible\.a\.modell: unknown key"),
        ({"a": {"base_url": "http://h", "overlap_seconds": 200}}, r"plugins\.openai_compatible\.a: .*overlap_seconds"),
    ],
)
def test_a_wrong_table_stops_the_start_and_is_named(tables, complaint):
    with pytest.raises(ConfigError, match=complaint) as refusal:
        plugin(**tables)
    assert "sesame" not in refusal.value.message


def test_a_key_may_be_unset(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    plugin(a={"base_url": "http://h", "api_key": {"env": "NO_SUCH_KEY"}})
