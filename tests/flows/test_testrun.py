"""Backends tried on known samples: how well and how fast, for nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from relay.errors import Unavailable
from relay.ports.inference import Turn
from relay.services.samples import sample_for
from relay.services.scores import speakers_right, words_right
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import Live, eventually, running

KNOWN = sample_for("transcribe")


@pytest.fixture(scope="module")
def backend() -> FakeBackend:
    return FakeBackend("fake", tasks=("transcribe", "analyze", "diarize"), text=KNOWN.words)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory, backend: FakeBackend) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("testrun"), [backend]) as live:
        yield live


@pytest.fixture(scope="module")
def admin(relay: Live) -> dict[str, str]:
    return relay.login()


def run(relay: Live, admin: dict[str, str], **body: Any) -> Any:
    reply = relay.call("POST", "/admin/test-run", headers=admin, json=body)
    assert reply.status == 200, reply.body
    return reply.json["result"]


def test_a_perfect_transcript_scores_one_and_costs_nothing(relay, admin):
    result = run(relay, admin, backend="fake", task="transcribe")
    assert (result["ok"], result["score"], result["score_kind"]) == (True, 1.0, "words right")
    assert result["speed"] > 0
    assert result["output"]["text"] == KNOWN.words
    assert relay.core.storage.read(lambda tx: tx.count("credits")) == 0
    assert relay.core.storage.read(lambda tx: tx.count("holds")) == 0


def test_an_answer_that_mentions_half_the_facts_scores_half(relay, admin, backend):
    backend.text = "In March, Boris calls the hotel."
    try:
        result = run(relay, admin, backend="fake", task="analyze", prompt="In one line, please.")
    finally:
        backend.text = KNOWN.words
    assert result["score"] == 0.5
    assert backend.asked[-1].messages[0]["content"] == "In one line, please."


def test_a_failing_backend_is_a_result_with_its_reason(relay, admin, backend):
    backend.fail = Unavailable("the machine is off")
    try:
        result = run(relay, admin, backend="fake", task="transcribe")
    finally:
        backend.fail = None
    assert (result["ok"], result["score"]) == (False, None)
    assert result["error"] == {"code": "upstream_unavailable", "message": "the machine is off"}


def test_the_suite_runs_every_backend_on_all_it_does(relay, admin):
    reply = relay.call("POST", "/admin/test-run-suite", headers=admin, json={})
    assert [(r["backend"], r["task"]) for r in reply.json["results"]] == [
        ("fake", "transcribe"),
        ("fake", "analyze"),
        ("fake", "diarize"),
    ]


def test_results_come_one_by_one_when_asked_as_events(relay, admin):
    headers = {**admin, "Accept": "text/event-stream"}
    reply = relay.call("POST", "/admin/test-run-suite", headers=headers, json={"tasks": ["transcribe"]})
    assert reply.headers["content-type"] == "text/event-stream"
    events = [block for block in reply.body.decode().split("\n\n") if block.startswith("event:")]
    assert [event.partition("\n")[0] for event in events] == ["event: result", "event: done"]
    assert json.loads(events[0].partition("data: ")[2])["score"] == 1.0


def test_only_one_runs_at_a_time(relay, admin, backend):
    backend.gate = threading.Event()
    first = threading.Thread(target=run, args=(relay, admin), kwargs={"backend": "fake", "task": "transcribe"})
    first.start()
    try:
        eventually(lambda: backend.running == 1)
        second = relay.call("POST", "/admin/test-run", headers=admin, json={"backend": "fake", "task": "transcribe"})
    finally:
        backend.gate.set()
        first.join(10)
        backend.gate = None
    assert (second.status, second.code) == (409, "in_progress")
    assert run(relay, admin, backend="fake", task="transcribe")["ok"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"backend": "nobody", "task": "transcribe"}, 404),
        ({"backend": "fake", "task": "sing"}, 422),
        ({"backend": "fake"}, 422),
        ({"backend": "fake", "task": "analyze", "prompt": ""}, 422),
        ({"backend": 7, "task": "analyze"}, 422),
    ],
)
def test_what_cannot_be_run_is_said(relay, admin, body, status):
    assert relay.call("POST", "/admin/test-run", headers=admin, json=body).status == status


def test_an_unknown_name_in_the_suite_is_said(relay, admin):
    for body in ({"backends": ["nobody"]}, {"tasks": ["sing"]}):
        reply = relay.call("POST", "/admin/test-run-suite", headers=admin, json=body)
        assert (reply.status, reply.error["details"]["path"]) == (422, next(iter(body)))


def test_the_speakers_score_matches_names_so_that_it_comes_out_best():
    known = (Turn(0, 10, "a"), Turn(10, 20, "b"))
    assert speakers_right(known, (Turn(0, 10, "S2"), Turn(10, 20, "S1"))) == 1.0
    assert speakers_right(known, (Turn(0, 20, "S1"),)) == 0.5
    assert speakers_right(known, ()) == 0.0


def test_the_words_score_is_one_minus_the_word_error_rate():
    assert words_right("one two three four", "One, two; three five!") == 0.75
    assert words_right("one", "a b c d e") == 0.0
    assert words_right("one two", "") == 0.0


def test_the_speakers_score_agrees_with_the_field_s_own():
    """pyannote.metrics is too large to ship; it is the judge here."""
    from tests.plugins.local.scores import diarization_error

    known = sample_for("diarize").turns
    shifted = tuple(Turn(max(0.0, turn.start - 0.4), turn.end - 0.2, turn.speaker) for turn in known)
    assert speakers_right(known, shifted) == pytest.approx(1 - diarization_error(shifted), abs=0.005)
