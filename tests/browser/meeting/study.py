"""Meetings for these tests: one made by the real pipeline, copies of it to change, and a very long one."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from relay.books import meetings
from relay.domain.instants import utcnow
from relay.domain.meetings import Analysis, Item, Line, Meeting, Options, Result, Said, Speaker, Text, new_id
from tests.browser.history import HOSTILE
from tests.flows.live import Live
from tests.flows.meeting_room import Ears, ended, recording, upload

SECONDS = 120
WRITTEN: dict[str, Any] = {
    "summary": [{"text": "w3 w4 w5 w6", "lines": [0]}, {"text": "S2 says w14 w15 w16", "lines": [1]}],
    "decisions": [{"text": "w31 w32 w33 w34", "lines": [3]}],
    "actions": [{"text": "w62 elephants giraffes zebras", "who": "S2", "due": "Friday", "lines": []}],
    "chapters": [{"title": "w20 w21", "text": "w22 w23", "lines": [2]}],
}
LONG_LINES = 2500
LONG_SECONDS = 7200.0


def made(live: Live, ears: Ears) -> str:
    """Its second n says `w<n>`; three people speak for ten seconds each in turn."""
    ears.written = WRITTEN
    admin = live.login()
    found = ended(live, admin, upload(live, admin, recording(SECONDS)))
    assert found["meeting"]["state"] == "ready", found
    return found["meeting"]["id"]


def copied(live: Live, template: str, title: str = "Weekly planning", **fields: Any) -> str:
    """The same under another id: recording and results are those of the template. `fields`: of its text."""
    meeting_id = new_id(utcnow())

    def copy(tx: Any) -> None:
        row, text = meetings.get(tx, template), meetings.text(tx, template)
        found = meetings.result(tx, template, "r1")
        assert row is not None
        assert text is not None
        assert found is not None
        row.title, row.created_at, row.version = title, utcnow(), 1
        text.id, text.title = meeting_id, title
        for name, value in fields.items():
            setattr(text, name, value)
            setattr(found, name, value)
        meetings.put(tx, meeting_id, row)
        meetings.put_text(tx, meeting_id, text)
        meetings.put_result(tx, meeting_id, found)

    live.core.storage.transact(copy)
    return meeting_id


def hostile(live: Live, template: str) -> str:
    speakers = [Speaker("S1", HOSTILE, 60.0), Speaker("S2", "", 60.0, HOSTILE, 0.7)]
    lines = [Line(0, 0.0, 60.0, HOSTILE, "S1"), Line(1, 60.0, 120.0, f"{HOSTILE} again", "S2")]
    analysis = Analysis(
        summary=[Item(HOSTILE, [0], 0.0, marked=True)],
        actions=[Item(HOSTILE, [1], 60.0, HOSTILE, HOSTILE)],
        chapters=[Item(HOSTILE, [0], 0.0, title=HOSTILE)],
        backend=HOSTILE,
        model=HOSTILE,
    )
    return copied(
        live, template, HOSTILE, speakers=speakers, lines=lines, analysis=analysis, notes=[HOSTILE], duration=120.0
    )


def long_one(live: Live) -> str:
    """Two hours, 2500 lines, about 18000 words, without a recording."""
    chance = random.Random(7)
    vocabulary = [
        "".join(chance.choice("abcdeghilmnoprstuvz") for _ in range(chance.randint(2, 11))) for _ in range(900)
    ]
    length = LONG_SECONDS / LONG_LINES
    lines = []
    for number in range(LONG_LINES):
        count = chance.choice((2, 3, 4, 5, 6, 7, 9, 12, 17))
        start, step = number * length, length / count
        times = [(round(start + n * step, 3), round(start + (n + 0.9) * step, 3)) for n in range(count)]
        words = [Said(chance.choice(vocabulary), *time) for time in times]
        if number % 500 == 250:
            words[0] = Said("landmark", words[0].start, words[0].end)
        speaker = f"S{1 + (number // 3 + number // 40) % 5}"
        lines.append(Line(number, start, start + length, " ".join(w.word for w in words), speaker, words))
    speakers = [Speaker(f"S{n}", "", LONG_SECONDS / 5) for n in range(1, 6)]
    analysis = Analysis(summary=[Item("The landmark was spoken of.", [2250, 2251], lines[2250].start)])
    meeting_id, now = new_id(utcnow()), utcnow()
    found = Result("r1", now, Options(), lines, speakers, analysis, duration=LONG_SECONDS)
    text = Text(meeting_id, "Two hours", now, "r1", LONG_SECONDS, lines, speakers, analysis)
    row = Meeting(
        "Two hours", "long.m4a", now, 10, "ready", LONG_SECONDS, 5, run="r1", runs=1, version=1, updated_at=now
    )

    def put(tx: Any) -> None:
        meetings.put(tx, meeting_id, row)
        meetings.put_text(tx, meeting_id, msgspec.convert(msgspec.to_builtins(text), Text))
        meetings.put_result(tx, meeting_id, found)

    live.core.storage.transact(put)
    return meeting_id
