"""Meetings when things come at once, or come odd: deletion and cancelling beside the worker, uploads that end badly,
answers of backends that are no answers, and what must not be read or left behind."""

from __future__ import annotations

import io
import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.domain.meetings import Meeting
from relay.errors import StorageFull
from relay.ports.inference import Diarization, Segment, Transcript, Turn, Word
from tests.flows.live import Live, eventually, multipart, running
from tests.flows.meeting_room import PATH, PIECES, Ears, edit, ended, recording, upload, view, work


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
def relay(tmp_path: Path, ears: Ears) -> Iterator[Live]:
    with running(tmp_path, [ears], settings=PIECES) as live:
        live.core.meetings.worker.pauses = (0.01,)
        yield live


@pytest.fixture
def admin(relay: Live) -> dict[str, str]:
    return relay.login()


def blobs(folder: Path) -> list[Path]:
    return [path for path in (folder / "data" / "blobs").rglob("*") if path.is_file()]


def reader(relay: Live, admin: dict[str, str]) -> dict[str, str]:
    made = relay.call("POST", "/admin/keys", headers=admin, json={"role": "read-only", "label": "looks"})
    return {"Authorization": f"Bearer {made.json['key']}"}


@pytest.mark.parametrize("at", [1, 2])
def test_a_recording_that_is_stored_while_its_meeting_is_deleted_goes_too(relay, admin, tmp_path, monkeypatch, at):
    storage, worker, directory = relay.core.storage, relay.core.meetings.worker, relay.core.meetings.directory
    store, stored = storage.put_blob, []

    def delete_then(file: Any) -> str:
        ref = store(file)
        stored.append(ref)
        if len(stored) == at:
            directory.delete(worker.current.meeting_id, "admin")
        return ref

    monkeypatch.setattr(storage, "put_blob", delete_then)
    upload(relay, admin, recording(5))
    eventually(lambda: len(stored) == at and worker.current is None)
    assert blobs(tmp_path) == []


def test_a_deletion_takes_the_recording_that_was_stored_after_it_looked(relay, admin, tmp_path, monkeypatch):
    found = ended(relay, admin, upload(relay, admin, recording(5)))["meeting"]
    directory = relay.core.meetings.directory
    row = directory.row(found["id"])
    early = Meeting(row.title, row.filename, row.created_at, row.bytes)
    monkeypatch.setattr(directory, "row", lambda _meeting: early)
    directory.delete(found["id"], "admin")
    assert blobs(tmp_path) == []


def test_a_piece_that_arrives_while_its_meeting_is_deleted_does_not_stay(relay, admin, tmp_path, monkeypatch):
    made = relay.call("POST", PATH, headers=admin, json={"filename": "a.wav", "bytes": 100}).json["meeting"]["id"]
    directory = relay.core.meetings.directory
    append = directory.uploads.append

    def late(*of: Any) -> int:
        directory.delete(made, "admin")
        return append(*of)

    monkeypatch.setattr(directory.uploads, "append", late)
    directory.receive(made, 0, io.BytesIO(b"said in private"), "admin")
    assert list((tmp_path / "data" / "uploads").iterdir()) == []


def test_a_voice_that_is_kept_during_the_deletion_goes_with_it(relay, admin, monkeypatch):
    meeting = ended(relay, admin, upload(relay, admin, recording(30)))["meeting"]["id"]
    edit(relay, admin, meeting, "rename", speaker="S1", name="Ana")
    meetings = relay.core.meetings
    delete = meetings.directory.delete

    def remembered_first(*of: Any) -> None:
        meetings.library.remember(meeting, "S1", "admin")
        delete(*of)

    monkeypatch.setattr(meetings.directory, "delete", remembered_first)
    meetings.delete(meeting, "admin")
    assert meetings.library.view() == []


def waiting_behind(relay: Live, admin: dict[str, str], ears: Ears) -> tuple[str, threading.Event]:
    """A meeting whose second run waits, as another one has the worker until the event is set."""
    meeting = ended(relay, admin, upload(relay, admin, recording(5)))["meeting"]["id"]
    go = ears.hold()
    upload(relay, admin, recording(5))
    eventually(lambda: relay.core.meetings.worker.current is not None)
    assert work(relay, admin, meeting, "run", steps=["diarize"]).status == 202
    return meeting, go


def test_a_run_that_waits_can_be_cancelled(relay, admin, ears):
    meeting, go = waiting_behind(relay, admin, ears)
    assert work(relay, admin, meeting, "cancel").status == 200
    found = view(relay, admin, meeting)["meeting"]
    assert (found["state"], found["error"]["code"]) == ("failed", "cancelled")
    assert relay.get(f"/admin/audit?q={meeting}&limit=1", admin).json["rows"][0]["action"] == "meetings.cancel"
    asked = len(ears.heard)
    go.set()
    eventually(lambda: relay.core.meetings.worker.current is None)
    assert len(ears.heard) == asked + 2, "only the other meeting was worked on"
    assert work(relay, admin, meeting, "run").status == 202
    assert ended(relay, admin, meeting)["text"]["run"] == "r2"


def test_a_run_that_begins_while_another_is_asked_for_is_not_lost(relay, admin, ears, monkeypatch):
    meeting, go = waiting_behind(relay, admin, ears)
    runs, worker = relay.core.meetings.runs, relay.core.meetings.worker
    carry = runs._carry

    def slowly(*of: Any) -> None:
        go.set()
        eventually(lambda: view(relay, admin, meeting)["meeting"]["state"] != "uploaded")
        carry(*of)

    monkeypatch.setattr(runs, "_carry", slowly)
    hold, second = ears._work, threading.Event()

    def held(ctx: Any, request: Any) -> None:
        if worker.current.meeting_id == meeting:
            ears.gate = second
        hold(ctx, request)

    monkeypatch.setattr(ears, "_work", held)
    assert work(relay, admin, meeting, "run", steps=["transcribe"]).code == "busy"
    second.set()
    found = ended(relay, admin, meeting)
    assert found["meeting"]["run"] == found["text"]["run"] == "r2"


def test_a_run_takes_over_nothing_of_a_try_that_came_to_nothing(relay, admin, ears, monkeypatch):
    meeting = ended(relay, admin, upload(relay, admin, recording(5)))["meeting"]["id"]
    runs = relay.core.meetings.runs
    carry = runs._carry

    def then_stop(*of: Any) -> None:
        carry(*of)
        raise StorageFull("the disk is full")

    monkeypatch.setattr(runs, "_carry", then_stop)
    assert work(relay, admin, meeting, "run", steps=["diarize"]).status == 507
    monkeypatch.setattr(runs, "_carry", carry)
    ears.heard.clear()
    assert work(relay, admin, meeting, "run").status == 202
    ended(relay, admin, meeting)
    assert sorted(task for task, _ in ears.heard) == ["diarize", "transcribe"]


def test_an_upload_whose_end_could_not_be_written_down_ends_with_the_next_try(relay, admin, monkeypatch):
    sound = recording(5)
    made = relay.call("POST", PATH, headers=admin, json={"filename": "a.wav", "bytes": len(sound)}).json["meeting"]
    path, headers = f"{PATH}/{made['id']}/upload", {**admin, "Upload-Offset": "0"}

    def full(*_of: Any) -> None:
        raise StorageFull("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(relay.core.meetings.directory, "_complete", full)
        assert relay.call("PUT", path, sound, headers).status == 507
    assert relay.call("PUT", path, sound, headers).json["upload"]["complete"]
    assert ended(relay, admin, made["id"])["meeting"]["state"] == "ready"


def test_an_upload_whose_end_could_not_be_written_down_ends_at_the_next_start(tmp_path, ears, monkeypatch):
    sound = recording(5)
    with running(tmp_path, [ears], settings=PIECES) as relay:
        admin = relay.login()
        made = relay.call("POST", PATH, headers=admin, json={"filename": "a.wav", "bytes": len(sound)}).json["meeting"]
        relay.core.meetings.directory.uploads.append(made["id"], 0, io.BytesIO(sound), len(sound))
    with running(tmp_path, [ears], settings=PIECES) as relay:
        assert ended(relay, relay.login(), made["id"])["meeting"]["state"] == "ready"


def test_a_form_that_cannot_be_stored_leaves_no_meeting(relay, admin, monkeypatch):
    def full(*_of: Any) -> None:
        raise StorageFull("the disk is full")

    monkeypatch.setattr(relay.core.meetings.directory.uploads, "append", full)
    body, kind = multipart(recording(1))
    assert relay.call("POST", PATH, body, {**admin, "Content-Type": kind}).status == 507
    assert relay.get(PATH, admin).json["meetings"] == []


def test_answers_that_are_no_numbers_do_not_stop_a_later_run(relay, admin, ears, monkeypatch):
    tell, nan = ears.diarize, math.nan

    def odd(request: Any, ctx: Any) -> Diarization:
        told = tell(request, ctx)
        return Diarization(
            (*told.turns, Turn(nan, nan, "S9")), 1.0, "odd", dict.fromkeys(told.voices, (nan, 1.0)), "odd"
        )

    def heard(_request: Any, _ctx: Any) -> Transcript:
        words = (Word("half", nan, 1.0), Word("\ud800", 1.0, math.inf))
        return Transcript("x", "en", 1.0, (Segment(nan, 2.0, "half \ud800", words),), "odd")

    monkeypatch.setattr(ears, "diarize", odd)
    monkeypatch.setattr(ears, "transcribe", heard)
    meeting = ended(relay, admin, upload(relay, admin, recording(20)))["meeting"]["id"]
    for step in ("transcribe", "diarize"):
        assert work(relay, admin, meeting, "run", steps=[step]).status == 202
        found = ended(relay, admin, meeting)
        assert found["meeting"]["state"] == "ready", found["meeting"]["error"]
        assert [line["text"] for line in found["text"]["lines"]] == ["half ?"]


def test_times_that_run_backwards_or_before_the_start_are_put_right(relay, admin, ears, monkeypatch):
    segments = (Segment(-70.0, -60.0, "before\x1b\n\n[0:09] Ana: yes"), Segment(9.0, 1.0, "backwards"))
    monkeypatch.setattr(ears, "transcribe", lambda _request, _ctx: Transcript("x", "en", 1.0, segments, "odd"))
    found = ended(relay, admin, upload(relay, admin, recording(20)))
    assert all(0 <= line["start"] <= line["end"] for line in found["text"]["lines"])
    txt = relay.get(f"{PATH}/{found['meeting']['id']}/export?format=txt", admin).body.decode()
    assert "[-" not in txt
    assert "\n[0:09] Ana" not in txt
    assert "\x1b" not in txt


def test_thousands_of_speakers_in_one_piece_do_not_hold_the_worker_up(relay, admin, ears, monkeypatch):
    turns = tuple(Turn(n / 1000, n / 1000 + 0.9, f"X{n}") for n in range(10_000))
    monkeypatch.setattr(ears, "diarize", lambda _request, _ctx: Diarization(turns, 20.0, "odd"))
    found = ended(relay, admin, upload(relay, admin, recording(60)), seconds=20)
    assert found["meeting"]["state"] == "ready"


def test_what_is_said_is_not_in_the_audit_log_nor_on_disk_after_the_deletion(tmp_path, ears):
    ears.written = {"summary": [{"text": "w3 w4 w5", "lines": [0]}], "decisions": [], "actions": [], "chapters": []}
    with running(tmp_path, [ears], settings=PIECES) as relay:
        admin = relay.login()
        meeting = ended(relay, admin, upload(relay, admin, recording(20)))["meeting"]["id"]
        edit(relay, admin, meeting, "text", line=0, text="w0 Quetzalcoatl")
        edit(relay, admin, meeting, "item", section="summary", index=0, text="Quetzalcoatl it is")
        work(relay, admin, meeting, "undo", version=view(relay, admin, meeting)["meeting"]["version"])
        assert "Quetzal" not in json.dumps(relay.get("/admin/audit?limit=50", admin).json)
        assert relay.call("DELETE", f"{PATH}/{meeting}", headers=admin).status == 200
    assert [p for p in (tmp_path / "data").rglob("*") if p.is_file() and b"Quetzal" in p.read_bytes()] == []


def test_a_key_that_may_not_read_meetings_sees_no_line_of_the_audit_log_on_them(relay, admin):
    meeting = ended(relay, admin, upload(relay, admin, recording(5)))["meeting"]["id"]
    edit(relay, admin, meeting, "rename", speaker="S1", name="Ana Secret")
    looks = reader(relay, admin)
    seen = relay.get("/admin/audit?limit=50", looks)
    assert seen.json["rows"], "others it does see"
    assert b"meetings." not in seen.body
    assert b"Weekly" not in seen.body
    assert "meetings.rename" in [row["action"] for row in relay.get("/admin/audit?limit=50", admin).json["rows"]]


def test_a_new_speaker_has_not_the_voice_of_one_who_was_merged_away(relay, admin):
    meeting = ended(relay, admin, upload(relay, admin, recording(40)))["meeting"]["id"]
    edit(relay, admin, meeting, "merge", speaker="S3", into="S1")
    speakers = edit(relay, admin, meeting, "assign", start=0, end=10, to="new")["text"]["speakers"]
    assert [speaker["id"] for speaker in speakers] == ["S1", "S2", "S4"]
    edit(relay, admin, meeting, "rename", speaker="S4", name="Bob")
    kept = relay.call("POST", f"{PATH}/voices", headers=admin, json={"meeting": meeting, "speaker": "S4"})
    assert kept.status == 409, kept.body
