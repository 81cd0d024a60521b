"""Edits of a meeting's text over HTTP: each op, taken back and done again, two people at once, after a restart."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.domain.meeting_edits import apply
from tests.flows.live import Live, at_once, eventually, running
from tests.flows.meeting_room import PATH, PIECES, Ears, edit, ended, recording, upload, view, work

WRITTEN = {
    "summary": [{"text": "w3 w4 w5", "lines": [0]}],
    "decisions": [{"text": "w12 w13 w14", "lines": [2]}],
    "actions": [],
    "chapters": [],
}


@pytest.fixture(scope="module")
def ears() -> Ears:
    ears = Ears()
    ears.written = WRITTEN
    return ears


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory, ears: Ears) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("edits"), [ears], settings=PIECES) as live:
        yield live


@pytest.fixture(scope="module")
def admin(relay: Live) -> dict[str, str]:
    return relay.login()


@pytest.fixture
def meeting(relay: Live, admin: dict[str, str]) -> str:
    found = ended(relay, admin, upload(relay, admin, recording(30)))
    assert found["meeting"]["state"] == "ready", found
    return found["meeting"]["id"]


def text_of(relay: Live, admin: dict[str, str], meeting: str) -> Any:
    """Without what only counts edits."""
    text = view(relay, admin, meeting)["text"]
    return {key: value for key, value in text.items() if key not in {"edits", "can_undo", "can_redo"}}


def take(relay: Live, admin: dict[str, str], meeting: str, step: str) -> Any:
    version = view(relay, admin, meeting)["meeting"]["version"]
    return work(relay, admin, meeting, step, version=version)


def all_ops(relay: Live, admin: dict[str, str], meeting: str) -> list[Any]:
    """The text before, and after each of all ops."""
    seen = [text_of(relay, admin, meeting)]
    for op, fields in (
        ("rename", {"speaker": "S1", "name": "Ana"}),
        ("assign", {"lines": [0], "to": "new"}),
        ("assign", {"start": 0, "end": 100, "only": "S2", "to": "S3"}),
        ("merge", {"speaker": "S4", "into": "S1"}),
        ("split", {"line": 1, "word": 2, "to": "S2"}),
        ("text", {"line": 0, "text": "w0 something else w4"}),
        ("text", {"line": 2, "text": ""}),
        ("item", {"section": "summary", "index": 0, "text": "better words"}),
        ("item", {"section": "decisions", "index": 0}),
    ):
        edit(relay, admin, meeting, op, **fields)
        seen.append(text_of(relay, admin, meeting))
        assert seen[-1] != seen[-2], f"{op} changed nothing"
    return seen


def test_every_edit_is_taken_back_to_the_very_beginning_and_done_again(relay, admin, meeting):
    seen = all_ops(relay, admin, meeting)
    for before in reversed(seen[:-1]):
        assert take(relay, admin, meeting, "undo").status == 200
        assert text_of(relay, admin, meeting) == before
    nothing = take(relay, admin, meeting, "undo")
    assert (nothing.status, nothing.code) == (409, "nothing_to_undo")
    assert view(relay, admin, meeting)["text"]["can_undo"] is False
    for after in seen[1:]:
        assert take(relay, admin, meeting, "redo").status == 200
        assert text_of(relay, admin, meeting) == after
    assert take(relay, admin, meeting, "redo").code == "nothing_to_redo"


def test_an_edit_after_an_undo_ends_what_could_be_done_again(relay, admin, meeting):
    edit(relay, admin, meeting, "rename", speaker="S1", name="Ana")
    take(relay, admin, meeting, "undo")
    edit(relay, admin, meeting, "rename", speaker="S1", name="Eva")
    assert take(relay, admin, meeting, "redo").code == "nothing_to_redo"


def test_each_edit_is_in_the_audit_log_with_who_made_it(relay, admin, meeting):
    made = relay.call("POST", "/admin/keys", headers=admin, json={"role": "full-admin", "label": "editor"})
    editor = {"Authorization": f"Bearer {made.json['key']}"}
    all_ops(relay, editor, meeting)
    take(relay, editor, meeting, "undo")
    take(relay, editor, meeting, "redo")
    rows = relay.get(f"/admin/audit?q={meeting}&limit=50", admin).json["rows"]
    edits = [row for row in rows if row["actor"].startswith("key:")]
    assert [row["action"].partition(".")[2] for row in reversed(edits)] == [
        *("rename", "assign", "assign", "merge", "split", "text", "text", "item", "item", "undo", "redo")
    ]
    assert edits[-1]["after"] == {"op": "rename", "speaker": "S1", "name": "Ana"}


def test_a_huge_edit_is_told_in_short_in_the_audit_log(relay, admin, meeting):
    edit(relay, admin, meeting, "text", line=0, text="long " * 3000)
    row = relay.get(f"/admin/audit?q={meeting}&limit=1", admin).json["rows"][0]
    assert len(row["after"]["text"]) < 300


def test_of_two_edits_at_once_exactly_one_wins(relay, admin, meeting, monkeypatch):
    version = view(relay, admin, meeting)["meeting"]["version"]
    together = threading.Barrier(6)

    def after_all_have_looked(*of: Any) -> None:
        together.wait(20)
        apply(*of)

    monkeypatch.setattr("relay.services.meetings.editor.apply", after_all_have_looked)

    def one(n: int) -> Any:
        change = {"op": "rename", "speaker": "S1", "name": f"Name {n}"}
        return work(relay, admin, meeting, "edits", version=version, edit=change)

    answers = at_once(6, one)
    assert sorted(reply.status for reply in answers) == [200] + [409] * 5
    assert {reply.code for reply in answers if reply.status == 409} == {"stale_version"}
    won = next(n for n, reply in enumerate(answers) if reply.status == 200)
    after = view(relay, admin, meeting)
    assert after["text"]["speakers"][0]["name"] == f"Name {won}"
    assert after["meeting"]["version"] == version + 1
    assert after["text"]["edits"] == 1


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"op": "rename", "speaker": "S9", "name": "x"}, "edit.speaker"),
        ({"op": "merge", "speaker": "S1", "into": "S1"}, "edit.into"),
        ({"op": "assign", "to": "S1"}, "edit.lines"),
        ({"op": "assign", "to": "S1", "lines": [9999]}, "edit.lines"),
        ({"op": "assign", "to": "S1", "start": 900, "end": 901}, "edit.start"),
        ({"op": "split", "line": 0, "word": 10_000}, "edit.word"),
        ({"op": "text", "line": -1, "text": "x"}, "edit.line"),
        ({"op": "item", "section": "actions", "index": 7}, "edit.index"),
    ],
)
def test_an_edit_that_does_not_fit_names_the_field_and_changes_nothing(relay, admin, meeting, change, path):
    before = view(relay, admin, meeting)
    reply = work(relay, admin, meeting, "edits", version=before["meeting"]["version"], edit=change)
    assert (reply.status, reply.error["details"]["path"]) == (422, path)
    assert view(relay, admin, meeting) == before


@pytest.mark.parametrize(
    "change",
    [
        {"op": "rename", "speaker": "../../x", "name": "x"},
        {"op": "rename", "speaker": "S1", "name": "x" * 81},
        {"op": "split", "line": True, "word": 1},
        {"op": "split", "line": 0, "word": 0},
        {"op": "text", "line": 0, "text": "x" * 20_001},
        {"op": "item", "section": "edits", "index": 0},
        {"op": "nothing"},
        {"op": "rename", "speaker": "S1", "name": "x", "surprise": 1},
    ],
)
def test_an_edit_of_the_wrong_shape_is_refused(relay, admin, meeting, change):
    assert work(relay, admin, meeting, "edits", version=0, edit=change).status == 422


def test_hostile_text_stays_text_in_every_file(relay, admin, meeting):
    hostile = "<script>alert(1)</script> --> \u202e =cmd|' /C calc'!A0"
    edit(relay, admin, meeting, "text", line=0, text=hostile)
    edit(relay, admin, meeting, "rename", speaker="S1", name=hostile)
    page = relay.get(f"{PATH}/{meeting}/export?format=html", admin)
    assert "sandbox" in page.headers["content-security-policy"]
    for kind in ("html", "md", "vtt"):
        assert b"<script" not in relay.get(f"{PATH}/{meeting}/export?format={kind}", admin).body
    cues = relay.get(f"{PATH}/{meeting}/export?format=srt", admin).body.decode().split("\n\n")[0]
    assert cues.count("-->") == 1


def test_a_read_only_key_reads_no_meeting(relay, admin, meeting):
    made = relay.call("POST", "/admin/keys", headers=admin, json={"role": "read-only", "label": "looker"})
    looker = {"Authorization": f"Bearer {made.json['key']}"}
    for path in ("", f"/{meeting}", f"/{meeting}/export", f"/{meeting}/audio", f"/{meeting}/runs", "/voices"):
        assert relay.get(f"{PATH}{path}", looker).status == 403, path
    assert work(relay, looker, meeting, "edits", version=0, edit={}).status == 403


def test_edits_are_refused_while_a_run_is_under_way(relay, admin, ears, meeting):
    held = ears.hold()
    version = view(relay, admin, meeting)["meeting"]["version"]
    assert work(relay, admin, meeting, "run", version=version).status == 202
    try:
        for _ in range(2):  # queued, then under way
            version = view(relay, admin, meeting)["meeting"]["version"]
            change = {"op": "rename", "speaker": "S1", "name": "late"}
            reply = work(relay, admin, meeting, "edits", version=version, edit=change)
            assert (reply.status, reply.code) == (409, "busy")
            assert work(relay, admin, meeting, "undo", version=version).code == "busy"
            eventually(lambda: view(relay, admin, meeting)["meeting"]["state"] == "processing")
    finally:
        held.set()
    ended(relay, admin, meeting)


def test_edits_are_there_after_a_restart_and_can_still_be_taken_back(tmp_path: Path):
    ears = Ears()
    ears.written = WRITTEN
    with running(tmp_path, [ears], settings=PIECES) as live:
        admin = live.login()
        meeting = ended(live, admin, upload(live, admin, recording(30)))["meeting"]["id"]
        seen = all_ops(live, admin, meeting)
        take(live, admin, meeting, "undo")
    with running(tmp_path, [Ears()], settings=PIECES) as live:
        admin = live.login()
        assert text_of(live, admin, meeting) == seen[-2]
        assert take(live, admin, meeting, "redo").status == 200
        assert text_of(live, admin, meeting) == seen[-1]
        for before in reversed(seen[:-1]):
            assert take(live, admin, meeting, "undo").status == 200
            assert text_of(live, admin, meeting) == before


@pytest.mark.timeout(60)  # word by word it takes minutes
def test_a_line_of_ten_thousand_words_is_edited_without_comparing_each_with_each(relay, admin, meeting):
    for said in ("a " * 9_990, "a b " * 4_990):
        edit(relay, admin, meeting, "text", line=0, text=said)
    assert view(relay, admin, meeting)["text"]["lines"][0]["words"][-1][0] == "b"
