"""A run of a meeting: pieces, speakers over pieces, the text, the analysis; what fails and what goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.errors import Unavailable
from tests.flows.live import Live, running
from tests.flows.meeting_room import PATH, PIECES, Ears, ended, purity, recording, spoken, upload


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
def relay(tmp_path: Path, ears: Ears) -> Iterator[Live]:
    with running(tmp_path, [ears], settings=PIECES) as live:
        live.core.meetings.worker.pauses = (0.01, 0.01)
        yield live


@pytest.fixture
def admin(relay: Live) -> dict[str, str]:
    return relay.login()


def test_a_recording_becomes_one_text_with_the_right_speakers(relay, admin, ears):
    found = ended(relay, admin, upload(relay, admin, recording(120)))
    assert found["meeting"]["state"] == "ready", found
    assert len([task for task, _ in ears.heard if task == "transcribe"]) > 3
    assert spoken(found["text"]) == [f"w{n}" for n in range(120)]
    assert [speaker["id"] for speaker in found["text"]["speakers"]] == ["S1", "S2", "S3"]
    assert purity(found["text"]["lines"]) >= 0.95, "a single word at the edge of a line may be smoothed away"
    assert found["meeting"]["duration"] == pytest.approx(120, abs=0.1)
    assert found["meeting"]["speakers"] == 3
    saved = relay.core.storage.read(lambda tx: tx.get("internal-meetings", found["meeting"]["id"]))
    assert saved["lines"][0]["text"].startswith("w0")


def test_no_credit_is_asked_for(relay, admin):
    ended(relay, admin, upload(relay, admin, recording(40)))
    assert relay.core.storage.read(lambda tx: tx.count("credits")) == 0
    assert relay.core.storage.read(lambda tx: tx.count("jobs")) == 0


def test_a_failed_piece_is_tried_again_alone(relay, admin, ears):
    waiting = {task: [Unavailable("it restarts")] for task in ("transcribe", "diarize")}
    ears.failures = {f"{task} {first}": waiting[task] for task in waiting for first in range(10, 40)}
    found = ended(relay, admin, upload(relay, admin, recording(90)))
    assert found["meeting"]["state"] == "ready"
    assert spoken(found["text"]) == [f"w{n}" for n in range(90)]
    assert len(ears.heard) == len(set(ears.heard)), "no piece was done twice"
    assert waiting == {"transcribe": [], "diarize": []}, "both failed once"


def test_a_backend_that_stays_dead_fails_the_run_and_the_next_goes_on_where_it_was(relay, admin, ears):
    dead = [Unavailable("it is off") for _ in range(20)]
    for first in range(40, 60):
        ears.failures[f"transcribe {first}"] = dead
    meeting = upload(relay, admin, recording(90))
    found = ended(relay, admin, meeting)
    assert (found["meeting"]["state"], found["meeting"]["error"]["code"]) == ("failed", "upstream_unavailable")
    assert found["text"] is None
    before = list(ears.heard)
    ears.failures.clear()
    relay.call("POST", f"{PATH}/{meeting}/run", headers=admin, json={})
    found = ended(relay, admin, meeting)
    assert found["meeting"]["state"] == "ready"
    assert spoken(found["text"]) == [f"w{n}" for n in range(90)]
    assert len(ears.heard) == len(set(ears.heard)), f"no piece was done twice: {before}"


def test_a_backend_without_voices_is_stitched_by_overlap_and_that_is_said(relay, admin, ears):
    ears.voices = False
    found = ended(relay, admin, upload(relay, admin, recording(60), num_speakers="3"))
    assert found["meeting"]["state"] == "ready"
    assert any("overlap" in note for note in found["meeting"]["notes"])


def test_without_a_diarizer_the_text_has_no_speakers_and_says_so(tmp_path):
    only_words = Ears()
    only_words.tasks = frozenset({"transcribe", "analyze"})
    with running(tmp_path, [only_words]) as live:
        live.core.meetings.worker.pauses = (0.01,)
        admin = live.login()
        found = ended(live, admin, upload(live, admin, recording(20)))
    assert found["meeting"]["state"] == "ready"
    assert found["text"]["speakers"] == []
    assert any("speakers" in note for note in found["meeting"]["notes"])


def test_a_failed_run_is_gone_on_with_by_a_diarizer_that_was_not_there_before(relay, admin, ears):
    ears.tasks = frozenset({"transcribe"})
    ears.failures = {"transcribe 0": [Unavailable("it is off") for _ in range(20)]}
    meeting = upload(relay, admin, recording(30))
    assert ended(relay, admin, meeting)["meeting"]["state"] == "failed"
    ears.failures.clear()
    ears.tasks = frozenset({"transcribe", "diarize"})
    relay.call("POST", f"{PATH}/{meeting}/run", headers=admin, json={})
    found = ended(relay, admin, meeting)
    assert len(found["text"]["speakers"]) == 3


def test_without_any_backend_the_run_fails_at_once_and_says_what_to_do(relay, admin, ears):
    ears.tasks = frozenset()
    error = ended(relay, admin, upload(relay, admin, recording(20)))["meeting"]["error"]
    assert error["code"] == "no_backend"
    assert "plugins.toml" in error["message"]


def test_what_stands_on_nothing_is_left_out_and_what_hardly_does_is_marked(relay, admin, ears):
    ears.written = {
        "summary": [{"text": "w3 w4 w5 w6", "lines": [0]}, {"text": "The moon landing was discussed", "lines": [0]}],
        "decisions": [{"text": "nobody bought elephants", "lines": [99]}],
        "actions": [{"text": "w12 elephants giraffes zebras", "who": "S2", "lines": []}],
        "chapters": [{"title": "w20 w21", "text": "w22 w23", "lines": [4]}],
    }
    text = ended(relay, admin, upload(relay, admin, recording(40)))["text"]
    analysis = text["analysis"]
    assert [item["text"] for item in analysis["summary"]] == ["w3 w4 w5 w6"]
    assert analysis.get("decisions", []) == []
    assert [(item["text"], item["marked"]) for item in analysis["actions"]] == [("w12 elephants giraffes zebras", True)]
    assert analysis["chapters"][0]["title"] == "w20 w21"
    assert any("left out" in note for note in text["notes"])


def test_a_file_that_is_no_recording_fails_with_a_reason(relay, admin):
    found = ended(relay, admin, upload(relay, admin, b"this is a text, not a sound" * 100))
    assert (found["meeting"]["state"], found["meeting"]["error"]["code"]) == ("failed", "unsupported_media")
