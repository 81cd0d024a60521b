"""The unmodified `openai` package for Node against a relay: one run of tests/clients/exercise.mjs, looked at."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from relay.errors import Unavailable, UpstreamFailed
from tests.flows.live import WAV, FakeBackend, running
from tests.flows.test_openai_docs import CLIENTS, needs_node
from tests.flows.test_openai_python import Talker

pytestmark = needs_node


def backends() -> Iterator[FakeBackend]:
    yield Talker("fake", models=("gemma", "org/tiny"))
    yield Talker("talker", models=("talker",), text='{"title": "Standup"}', tasks=("analyze",))
    broken, torn = (FakeBackend(name, models=(name,), tasks=("analyze",)) for name in ("broken", "torn"))
    broken.fail = Unavailable("the box is off")
    torn.pieces = ["Hel", UpstreamFailed("it broke")]
    yield from (broken, torn)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("node")
    (folder / "a.wav").write_bytes(WAV)
    with running(folder, list(backends()), settings="[tiers.core]\nlifetime_credits = 30\n") as live:
        live.analyze("poor")
        live.edit("inst:poor", lifetime_consumed=30)
        done = subprocess.run(
            [
                shutil.which("node") or "node",
                str(CLIENTS / "exercise.mjs"),
                f"http://127.0.0.1:{live.port}/relay/v1",
                str(folder / "a.wav"),
                "poor",
            ],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        results: dict[str, Any] = json.loads(done.stdout)
        results["total"] = live.credits()["total"]
        return results


def content(answer: Any) -> Any:
    return answer["choices"][0]["message"]["content"]


def test_it_lists_every_model_and_finds_one(said: dict[str, Any]) -> None:
    assert said["models"] == ["default", "gemma", "org/tiny", "talker", "broken", "torn"]
    assert said["model"] == "org/tiny"


def test_a_chat_is_answered(said: dict[str, Any]) -> None:
    assert content(said["chat"]) == "the answer of fake"
    assert said["chat"]["usage"]["total_tokens"] == 8
    assert said["chat"]["relay"]["credits"]["charged"] == 1


def test_a_stream_ends_with_usage_and_credits(said: dict[str, Any]) -> None:
    *chunks, last = said["stream"]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "the answer of fake"
    assert last["usage"]["total_tokens"] == 8
    assert last["relay"]["credits"]["charged"] == 1


def test_tools_are_passed_through_whole_and_in_a_stream(said: dict[str, Any]) -> None:
    for name in ("tools", "streamedTools"):
        (call,) = said[name]["choices"][0]["message"]["tool_calls"]
        assert (call["id"], call["function"]["arguments"]) == ("call_1", '{"city":"Ghent"}')


def test_an_answer_follows_its_schema(said: dict[str, Any]) -> None:
    assert json.loads(content(said["schema"])) == {"title": "Standup"}


def test_a_recording_is_transcribed_in_every_format(said: dict[str, Any]) -> None:
    assert said["json"]["text"] == said["verbose"]["text"] == said["diarized"]["text"] == "We met. You left."
    assert said["text"] == "We met. You left.\n"
    assert said["srt"].startswith("1\n00:00:00,000 --> ")
    assert said["vtt"].startswith("WEBVTT\n\n")
    assert [word["word"] for word in said["verbose"]["words"]] == ["We", "met.", "You", "left."]
    assert [segment["speaker"] for segment in said["diarized"]["segments"]] == ["S1", "S2"]
    *deltas, done = said["streamedTranscript"]
    assert "".join(delta["delta"] for delta in deltas) == done["text"] == "We met. You left."


def test_a_repeated_call_gets_the_same_answer(said: dict[str, Any]) -> None:
    assert said["first"] == said["again"]


@pytest.mark.parametrize(
    ("step", "name", "status", "code"),
    [
        ("stranger", "AuthenticationError", 401, "unauthenticated"),
        ("poor", "APIError", 402, "insufficient_credits"),
        ("unknown", "NotFoundError", 404, "not_found"),
        ("wrong", "UnprocessableEntityError", 422, "invalid"),
        ("down", "InternalServerError", 503, "upstream_unavailable"),
        ("torn", "APIError", None, "upstream_failed"),
    ],
)
def test_errors_are_those_of_the_client(said: dict[str, Any], step: str, name: str, status: int, code: str) -> None:
    error = said[step]
    assert (error["name"], error.get("status"), error["code"]) == (name, status, code)
    assert error["message"]


def test_every_answer_and_no_failure_cost_a_credit(said: dict[str, Any]) -> None:
    answers = ["chat", "stream", "tools", "streamedTools", "schema", "first", "torn"]
    answers += ["json", "text", "srt", "vtt", "verbose", "diarized", "streamedTranscript"]
    assert said["total"] == 30 - len(answers)
