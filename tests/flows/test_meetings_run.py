"""A run of a meeting: pieces, speakers over pieces, the text, the analysis; what fails and what goes on."""

from __future__ import annotations

import io
import json
import wave
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from relay.errors import Unavailable
from relay.ports.inference import (
    Delta,
    Diarization,
    Segment,
    Transcript,
    Turn,
    Word,
)
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import Live, eventually, multipart, running

PIECES = "[meetings]\npiece_seconds = 30\noverlap_seconds = 6\n"
PATH = "/admin/internal-meetings"
RATE = 16_000
PEOPLE = ("A", "B", "C")
TURN = 10
"""Seconds that one of them speaks, in turn."""


def recording(seconds: int) -> bytes:
    """Each second is another level, so that a backend knows which seconds it was given; a click of silence between."""
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        for second in range(seconds):
            file.writeframes(array("h", [(second + 1) * 16] * (RATE - 1600) + [0] * 1600).tobytes())
    return held.getvalue()


def seconds_of(path: Path) -> list[tuple[int, float]]:
    """(which second of the recording, where it begins in this piece), of those at least half of which are here."""
    with wave.open(str(path)) as file:
        samples = array("h", file.readframes(file.getnframes()))
    found: list[tuple[int, float]] = []
    at = 0
    while at < len(samples):
        end = at
        while end < len(samples) and samples[end] == samples[at]:
            end += 1
        if samples[at] and end - at > RATE // 3:
            found.append((samples[at] // 16 - 1, at / RATE))
        at = end
    return found


class Ears(FakeBackend):
    """Hears `w<second>` in each second, and knows who speaks when; speakers are numbered anew in each piece."""

    def __init__(self, **more: Any) -> None:
        super().__init__("ears", tasks=("transcribe", "diarize", "analyze"), **more)
        self.voices = True
        self.failures: dict[str, list[Exception]] = {}
        self.heard: list[tuple[str, int]] = []
        self.written: Any = None

    def _maybe_fail(self, task: str, first: int) -> None:
        waiting = self.failures.get(f"{task} {first}")
        if waiting:
            raise waiting.pop(0)

    def transcribe(self, request, ctx):
        seconds = seconds_of(request.audio.path)
        self._work(ctx, request)
        self._maybe_fail("transcribe", seconds[0][0] if seconds else -1)
        self.heard.append(("transcribe", seconds[0][0]))
        words = tuple(Word(f"w{n}", at, at + 0.9) for n, at in seconds)
        segments = tuple(
            Segment(chunk[0].start, chunk[-1].end, " ".join(w.word for w in chunk), chunk)
            for chunk in (words[i : i + 5] for i in range(0, len(words), 5))
        )
        return Transcript(" ".join(w.word for w in words), "en", request.audio.duration or 0.0, segments, "ears-1")

    def diarize(self, request, ctx):
        seconds = seconds_of(request.audio.path)
        self._work(ctx, request)
        self._maybe_fail("diarize", seconds[0][0])
        self.heard.append(("diarize", seconds[0][0]))
        numbers: dict[str, str] = {}
        turns = []
        for n, at in seconds:
            who = PEOPLE[n // TURN % len(PEOPLE)]
            turns.append(Turn(at, at + 1.0, numbers.setdefault(who, f"S{len(numbers) + 1}")))
        voices = {number: vector(who) for who, number in numbers.items()} if self.voices else {}
        return Diarization(tuple(turns), request.audio.duration or 0.0, "voices-1", voices)

    def chat(self, request, ctx):
        self._work(ctx, request)
        if self.written is None:
            yield from super().chat(request, ctx)
        else:
            yield Delta(json.dumps(self.written), finish="stop", model="writer-1")


def vector(who: str) -> tuple[float, ...]:
    return tuple(1.0 if n == PEOPLE.index(who) else 0.1 for n in range(8))


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


def upload(relay: Live, admin: dict[str, str], sound: bytes, **fields: str) -> str:
    body, kind = multipart(sound, title="Weekly", **fields)
    reply = relay.call("POST", PATH, body, {**admin, "Content-Type": kind})
    assert reply.status == 201, reply.body
    return reply.json["meeting"]["id"]


def view(relay: Live, admin: dict[str, str], meeting: str) -> Any:
    return relay.get(f"{PATH}/{meeting}", admin).json


def ended(relay: Live, admin: dict[str, str], meeting: str) -> Any:
    eventually(lambda: view(relay, admin, meeting)["meeting"]["state"] in {"ready", "failed"}, seconds=60)
    return view(relay, admin, meeting)


def spoken(text: Any) -> list[str]:
    return [word for line in text["lines"] for word in line["text"].split()]


def purity(lines: Sequence[Any]) -> float:
    """The share of words in lines that belong to the speaker most of whose words those are."""
    tally: dict[str, dict[str, int]] = {}
    for line in lines:
        for word in line["text"].split():
            who = PEOPLE[int(word[1:]) // TURN % len(PEOPLE)]
            tally.setdefault(line["speaker"], {}).setdefault(who, 0)
            tally[line["speaker"]][who] += 1
    return sum(max(one.values()) for one in tally.values()) / sum(sum(one.values()) for one in tally.values())


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
        admin = live.login()
        found = ended(live, admin, upload(live, admin, recording(20)))
    assert found["meeting"]["state"] == "ready"
    assert found["text"]["speakers"] == []
    assert any("speakers" in note for note in found["meeting"]["notes"])


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
