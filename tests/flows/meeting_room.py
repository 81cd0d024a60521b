"""Recordings of meetings that need no speech model, a backend that understands them, and calls on meetings."""

from __future__ import annotations

import io
import json
import threading
import wave
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from relay.ports.inference import (
    Delta,
    Diarization,
    Segment,
    Transcript,
    Turn,
    Word,
)
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import Live, Reply, eventually, multipart

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
    """Hears `w<second>` in each second, or what that is `replaced` by, and knows who speaks when; speakers are numbered
    anew in each piece."""

    def __init__(self, **more: Any) -> None:
        super().__init__("ears", tasks=("transcribe", "diarize", "analyze"), **more)
        self.voices = True
        self.failures: dict[str, list[Exception]] = {}
        self.heard: list[tuple[str, int]] = []
        self.written: Any = None
        self.replaced: dict[str, str] = {}
        self.voice_model = "voices-1"

    def hold(self) -> threading.Event:
        """From now on every call waits until this is set."""
        self.gate = threading.Event()
        return self.gate

    def _maybe_fail(self, task: str, first: int) -> None:
        waiting = self.failures.get(f"{task} {first}")
        if waiting:
            raise waiting.pop(0)

    def transcribe(self, request, ctx):
        seconds = seconds_of(request.audio.path)
        self._work(ctx, request)
        self._maybe_fail("transcribe", seconds[0][0] if seconds else -1)
        self.heard.append(("transcribe", seconds[0][0]))
        words = tuple(Word(self.replaced.get(f"w{n}", f"w{n}"), at, at + 0.9) for n, at in seconds)
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
        return Diarization(tuple(turns), request.audio.duration or 0.0, "diarizer-1", voices, self.voice_model)

    def chat(self, request, ctx):
        self._work(ctx, request)
        if self.written is None:
            yield from super().chat(request, ctx)
        else:
            yield Delta(json.dumps(self.written), finish="stop", model="writer-1")


def vector(who: str) -> tuple[float, ...]:
    return tuple(1.0 if n == PEOPLE.index(who) else 0.1 for n in range(8))


def upload(relay: Live, admin: dict[str, str], sound: bytes, **fields: str) -> str:
    body, kind = multipart(sound, title="Weekly", **fields)
    reply = relay.call("POST", PATH, body, {**admin, "Content-Type": kind})
    assert reply.status == 201, reply.body
    return reply.json["meeting"]["id"]


def view(relay: Live, admin: dict[str, str], meeting: str) -> Any:
    return relay.get(f"{PATH}/{meeting}", admin).json


def ended(relay: Live, admin: dict[str, str], meeting: str, seconds: float = 60) -> Any:
    eventually(lambda: view(relay, admin, meeting)["meeting"]["state"] in {"ready", "failed"}, seconds=seconds)
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


def work(relay: Live, admin: dict[str, str], meeting: str, path: str, method: str = "POST", **body: Any) -> Reply:
    """A call on one meeting."""
    return relay.call(method, f"{PATH}/{meeting}/{path}".rstrip("/"), headers=admin, json=body)


def edit(relay: Live, admin: dict[str, str], meeting: str, op: str, **fields: Any) -> Any:
    """An edit on the present version; what the relay answers with."""
    version = view(relay, admin, meeting)["meeting"]["version"]
    reply = work(relay, admin, meeting, "edits", version=version, edit={"op": op, **fields})
    assert reply.status == 200, reply.body
    return reply.json
