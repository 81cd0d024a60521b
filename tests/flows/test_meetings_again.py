"""Runs of a meeting once more: single steps, other options, compare, go back; cancelled, deleted, restarted ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.errors import NotFound
from relay.services.meetings.listening import Heard
from relay.services.meetings.pieces import Pieces
from tests.flows.live import Live, eventually, running
from tests.flows.meeting_room import PATH, PIECES, Ears, edit, ended, recording, spoken, upload, view, work
from tests.flows.sse import events


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("again"), [Ears()], settings=PIECES) as live:
        live.core.meetings.worker.pauses = (0.01,)
        yield live


@pytest.fixture(scope="module")
def admin(relay: Live) -> dict[str, str]:
    return relay.login()


@pytest.fixture
def ears(relay: Live) -> Ears:
    """As new."""
    ears: Any = relay.core.infer.candidates("transcribe", None, None)[0]
    ears.__init__()
    return ears


def said(decision: str) -> dict[str, Any]:
    decisions = [{"text": decision, "lines": [1]}]
    return {"summary": [{"text": "w3 w4", "lines": [0]}], "decisions": decisions, "actions": [], "chapters": []}


def ready(relay: Live, admin: dict[str, str], seconds: int = 40) -> str:
    found = ended(relay, admin, upload(relay, admin, recording(seconds)))
    assert found["meeting"]["state"] == "ready", found
    return found["meeting"]["id"]


def again(relay: Live, admin: dict[str, str], meeting: str, **body: Any) -> Any:
    reply = work(relay, admin, meeting, "run", **body)
    assert reply.status == 202, reply.body
    return ended(relay, admin, meeting)


def decisions(found: Any) -> list[str]:
    return [item["text"] for item in found["text"]["analysis"].get("decisions", [])]


def prompts(ears: Ears) -> str:
    """All that models were asked."""
    return "\n".join(str(request.messages) for request in ears.asked if hasattr(request, "messages"))


def test_the_analysis_alone_reads_the_text_as_it_was_edited_and_keeps_the_edits(relay, admin, ears):
    ears.written = said("w12 w13")
    meeting = ready(relay, admin)
    edit(relay, admin, meeting, "rename", speaker="S1", name="Anastasia")
    edit(relay, admin, meeting, "text", line=0, text="elephants everywhere")
    before = edit(relay, admin, meeting, "item", section="decisions", index=0, text="reworded")
    ears.asked.clear()
    ears.heard.clear()
    ears.written = said("elephants were decided")
    found = again(relay, admin, meeting, steps=["analyze"], options={"prompt": "And now?"})
    assert ears.heard == [], "nothing was listened to again"
    assert "Anastasia: elephants everywhere" in prompts(ears)
    assert "And now?" in prompts(ears)
    assert (found["meeting"]["run"], found["meeting"]["steps"]) == ("r2", [])
    assert found["text"]["lines"] == before["text"]["lines"]
    assert found["text"]["speakers"] == before["text"]["speakers"]
    assert decisions(found) == ["elephants were decided"]
    assert found["text"]["edits"] == 2, "the edit of the old analysis is not one of the new"
    for _ in range(2):
        version = view(relay, admin, meeting)["meeting"]["version"]
        assert work(relay, admin, meeting, "undo", version=version).status == 200
    assert spoken(view(relay, admin, meeting)["text"]) == [f"w{n}" for n in range(40)]
    back = work(relay, admin, meeting, "use", run="r1", version=view(relay, admin, meeting)["meeting"]["version"])
    assert decisions(back.json) == ["reworded"], "the earlier run has its edits"


def test_after_an_analysis_alone_the_speakers_can_be_told_apart_again(relay, admin, ears):
    meeting = ready(relay, admin)
    again(relay, admin, meeting, steps=["analyze"])
    ears.heard.clear()
    found = again(relay, admin, meeting, steps=["diarize"], options={"num_speakers": 3})
    assert {task for task, _ in ears.heard} == {"diarize"}, "the words were taken over"
    assert spoken(found["text"]) == [f"w{n}" for n in range(40)]
    assert found["meeting"]["options"] == {"num_speakers": 3}


def test_one_step_again_takes_the_others_over_and_writes_the_analysis_again(relay, admin, ears):
    ears.written = said("w12 w13")
    meeting = ready(relay, admin)
    ears.heard.clear()
    ears.written = said("w1 w2")
    found = again(relay, admin, meeting, steps=["transcribe"])
    assert {task for task, _ in ears.heard} == {"transcribe"}
    assert decisions(found) == ["w1 w2"]


def test_two_runs_are_compared_and_the_earlier_one_is_shown_again_with_its_edits(relay, admin, ears):
    meeting = ready(relay, admin)
    edit(relay, admin, meeting, "rename", speaker="S1", name="Ana")
    ears.replaced = {"w12": "elephants"}
    again(relay, admin, meeting)
    found = relay.get(f"{PATH}/{meeting}/compare?a=r1&b=r2", admin).json["difference"]
    assert found["changes"] == [{"start": 12.0, "a": "w12", "b": "elephants"}]
    assert found["same_words"] == pytest.approx(39 / 40)
    runs = relay.get(f"{PATH}/{meeting}/runs", admin).json["runs"]
    assert [(run["run"], run["current"]) for run in runs] == [("r1", False), ("r2", True)]
    version = view(relay, admin, meeting)["meeting"]["version"]
    back = work(relay, admin, meeting, "use", run="r1", version=version).json
    assert back["text"]["speakers"][0]["name"] == "Ana"
    assert back["text"]["edits"] == 1
    assert work(relay, admin, meeting, "use", run="r2", version=version).code == "stale_version"
    assert work(relay, admin, meeting, "use", run="r9", version=version + 1).status == 404


def test_a_cancelled_run_says_so_and_goes_on_where_it_was(relay, admin, ears):
    ears.failures = {}
    meeting = upload(relay, admin, recording(90))
    eventually(lambda: len(ears.heard) >= 2)
    held = ears.hold()
    eventually(lambda: ears.running > 0)
    assert work(relay, admin, meeting, "cancel").status == 200
    found = ended(relay, admin, meeting)
    held.set()
    assert (found["meeting"]["state"], found["meeting"]["error"]["code"]) == ("failed", "cancelled")
    assert work(relay, admin, meeting, "cancel").code == "not_running"
    (line,) = relay.get("/admin/audit?q=meetings.cancel", admin).json["rows"]
    assert (line["actor"], line["target"]) == ("admin", meeting)
    ears.gate = None
    found = again(relay, admin, meeting)
    assert found["meeting"]["run"] == "r1", "it is the same run"
    assert spoken(found["text"]) == [f"w{n}" for n in range(90)]
    assert len(ears.heard) == len(set(ears.heard)), "no piece was done twice"


def test_a_meeting_that_is_deleted_during_its_run_leaves_nothing(relay, admin, ears):
    held = ears.hold()
    meeting = upload(relay, admin, recording(90))
    eventually(lambda: ears.running > 0)
    assert relay.call("DELETE", f"{PATH}/{meeting}", headers=admin).status == 200
    held.set()
    ears.gate = None
    other = ready(relay, admin)
    assert_gone(relay, admin, meeting)
    assert view(relay, admin, other)["meeting"]["state"] == "ready"


def test_a_piece_that_is_late_does_not_bring_a_deleted_meeting_back(relay, admin, ears):
    meeting = ready(relay, admin)
    late = Pieces(relay.core.storage, meeting, "r1")
    late.put("words/00099", Heard([]))
    relay.call("DELETE", f"{PATH}/{meeting}", headers=admin)
    with pytest.raises(NotFound):
        late.put("words/00100", Heard([]))
    assert_gone(relay, admin, meeting)


def assert_gone(relay: Live, admin: dict[str, str], meeting: str) -> None:
    assert relay.get(f"{PATH}/{meeting}", admin).status == 404
    for coll in ("meetings", "internal-meetings", "meeting-results", "meeting-pieces"):
        rows = relay.core.storage.read(lambda tx, coll=coll: tx.scan(coll, limit=10_000))
        assert [key for key, _ in rows if meeting in key] == [], coll
    assert list((relay.core.data_dir / "uploads").glob(f"{meeting}*")) == []
    assert not (relay.core.data_dir / "meetings-scratch" / meeting).exists()


def test_deleting_takes_every_run_and_both_copies_of_the_recording(relay, admin, ears):
    def blobs() -> set[Path]:
        return {path for path in (relay.core.data_dir / "blobs").rglob("*") if path.is_file()}

    before = blobs()
    meeting = ready(relay, admin)
    again(relay, admin, meeting)
    again(relay, admin, meeting, steps=["analyze"])
    assert len(blobs() - before) == 2
    assert relay.call("DELETE", f"{PATH}/{meeting}", headers=admin).status == 200
    assert_gone(relay, admin, meeting)
    assert blobs() == before


def test_two_meetings_wait_for_each_other_in_the_order_they_came(relay, admin, ears):
    held = ears.hold()
    first, second = (upload(relay, admin, recording(seconds)) for seconds in (40, 41))
    eventually(lambda: ears.running > 0)
    states = [view(relay, admin, meeting)["meeting"]["state"] for meeting in (first, second)]
    assert states == ["processing", "uploaded"]
    busy = work(relay, admin, second, "run")
    assert busy.status == 202, "a queued one may be told again what to do"
    held.set()
    for meeting, seconds in ((first, 40), (second, 41)):
        assert spoken(ended(relay, admin, meeting)["text"]) == [f"w{n}" for n in range(seconds)]


def test_progress_counts_each_piece_once(relay, admin, ears):
    seen: list[float] = []
    worker = relay.core.meetings.worker

    def look(_ctx: Any) -> None:
        if worker.current is not None and worker.current.run is not None:
            progress = worker.current.run.progress
            assert progress.done == progress.made
            seen.append(progress.fraction or 0.0)

    ears.act = look
    meeting = upload(relay, admin, recording(150))
    found = ended(relay, admin, meeting)
    assert found["meeting"]["state"] == "ready"
    pieces = len(ears.heard)
    assert seen[-1] == pytest.approx(pieces / (pieces + 1), abs=0.001), "all but the analysis, when that is asked for"
    assert max(seen) <= 1


def test_a_relay_that_stops_during_a_run_goes_on_with_it_at_the_next_start(tmp_path: Path):
    ears = Ears()
    with running(tmp_path, [ears], settings=PIECES) as live:
        admin = live.login()
        meeting = upload(live, admin, recording(90))
        eventually(lambda: len(ears.heard) >= 2)
        ears.hold()
        eventually(lambda: ears.running > 0)
        done = list(ears.heard)
    later = Ears()
    with running(tmp_path, [later], settings=PIECES) as live:
        found = ended(live, live.login(), meeting)
    assert found["meeting"]["state"] == "ready", found
    assert spoken(found["text"]) == [f"w{n}" for n in range(90)]
    assert set(later.heard).isdisjoint(done), "what was finished is not done again"


def test_a_run_with_nonsense_is_refused(relay, admin, ears):
    meeting = ready(relay, admin)
    for body in ({"steps": ["probe"]}, {"steps": ["dance"]}, {"steps": "analyze"}, {"options": {"num_speakers": True}}):
        assert work(relay, admin, meeting, "run", **body).status == 422, body
    assert work(relay, admin, meeting, "run", version=99).code == "stale_version"
    gone = again(relay, admin, meeting, options={"transcribe_backend": "nobody"})
    assert gone["meeting"]["state"] == "failed"
    assert "nobody" in gone["meeting"]["error"]["message"]
    version = gone["meeting"]["version"]
    assert work(relay, admin, meeting, "use", run="r1", version=version).json["meeting"]["state"] == "ready"


def test_a_run_is_followed_to_its_end(relay, admin, ears):
    held = ears.hold()
    meeting = upload(relay, admin, recording(90))
    eventually(lambda: ears.running > 0)
    threading.Timer(0.3, held.set).start()
    told = events(relay.get(f"{PATH}/{meeting}/events", admin).body)
    assert told[0][0] == "state"
    assert told[0][1]["state"] == "processing"
    assert (told[-1][0], told[-1][1]["meeting"]["state"]) == ("done", "ready")
    progress = [data["progress"] for name, data in told if name == "progress" and data["progress"] is not None]
    assert progress == sorted(progress)
    again_told = events(relay.get(f"{PATH}/{meeting}/events", admin).body)
    assert [name for name, _ in again_told] == ["state", "done"], "nothing is under way: it ends at once"


def test_following_a_meeting_that_is_deleted_ends_with_an_error(relay, admin, ears):
    ears.hold()
    meeting = upload(relay, admin, recording(90))
    eventually(lambda: ears.running > 0)
    timer = threading.Timer(0.3, lambda: relay.call("DELETE", f"{PATH}/{meeting}", headers=admin))
    timer.start()
    name, told = events(relay.get(f"{PATH}/{meeting}/events", admin).body)[-1]
    timer.join()
    assert name in {"error", "done"}
    assert name == "done" or told["error"]["code"] == "not_found"
    assert relay.get(f"{PATH}/{meeting}/events", admin).status == 404
