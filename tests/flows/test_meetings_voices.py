"""The voice library: put in by hand, suggested later, renamed, and gone when somebody takes it out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.flows.live import Live, running
from tests.flows.meeting_room import PATH, PEOPLE, PIECES, Ears, edit, ended, recording, upload, vector, view, work


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("voices"), [Ears()], settings=PIECES) as live:
        live.core.meetings.worker.pauses = (0.01,)
        yield live


@pytest.fixture(scope="module")
def admin(relay: Live) -> dict[str, str]:
    return relay.login()


@pytest.fixture
def ears(relay: Live, admin: dict[str, str]) -> Ears:
    """As new, and so is the library."""
    ears: Any = relay.core.infer.candidates("transcribe", None, None)[0]
    ears.__init__()
    for voice in voices(relay, admin):
        relay.call("DELETE", f"{PATH}/voices/{voice['id']}", headers=admin)
    return ears


def voices(relay: Live, admin: dict[str, str]) -> Any:
    return relay.get(f"{PATH}/voices", admin).json["voices"]


def meeting_of(relay: Live, admin: dict[str, str]) -> Any:
    found = ended(relay, admin, upload(relay, admin, recording(40)))
    assert found["meeting"]["state"] == "ready", found
    return found


def named(relay: Live, admin: dict[str, str], name: str) -> tuple[str, Any]:
    """A meeting whose first speaker has this name and is in the library; its id, and what the library says."""
    meeting = meeting_of(relay, admin)["meeting"]["id"]
    edit(relay, admin, meeting, "rename", speaker="S1", name=name)
    return meeting, keep(relay, admin, meeting)


def keep(relay: Live, admin: dict[str, str], meeting: str, speaker: str = "S1") -> Any:
    return relay.call("POST", f"{PATH}/voices", headers=admin, json={"meeting": meeting, "speaker": speaker})


def speakers(relay: Live, admin: dict[str, str], meeting: str) -> list[tuple[str, str]]:
    found = view(relay, admin, meeting)["text"]["speakers"]
    return [(one.get("name", ""), one.get("suggestion", "")) for one in found]


def rename(relay: Live, admin: dict[str, str], voice: str, name: str, **more: Any) -> Any:
    return relay.call("PATCH", f"{PATH}/voices/{voice}", headers=admin, json={"name": name, **more})


def stored(relay: Live) -> str:
    return str(relay.core.storage.read(lambda tx: tx.scan("voices", limit=100)))


def test_a_voice_is_kept_only_when_somebody_says_so_and_suggested_in_later_meetings(relay, admin, ears):
    first = meeting_of(relay, admin)["meeting"]["id"]
    edit(relay, admin, first, "rename", speaker="S1", name="Ana")
    assert voices(relay, admin) == [], "a name alone keeps no voice"
    kept = keep(relay, admin, first)
    assert (kept.status, kept.json["voice"]["meetings"]) == (201, [first])
    assert "vector" not in str(kept.json)
    later = meeting_of(relay, admin)
    suggested = later["text"]["speakers"][0]
    assert (suggested.get("name", ""), suggested["suggestion"]) == ("", "Ana"), "nobody is renamed by itself"
    assert suggested["confidence"] == pytest.approx(1, abs=0.01)
    assert [speaker.get("suggestion") for speaker in later["text"]["speakers"][1:]] == [None, None]


def test_a_suggestion_comes_back_when_the_name_is_taken_back(relay, admin, ears):
    named(relay, admin, "Ana")
    later = meeting_of(relay, admin)["meeting"]["id"]
    edit(relay, admin, later, "rename", speaker="S1", name="Eva")
    version = view(relay, admin, later)["meeting"]["version"]
    work(relay, admin, later, "undo", version=version)
    assert speakers(relay, admin, later)[0] == ("", "Ana")


def test_a_voice_that_is_not_sure_is_not_suggested(relay, admin, ears, monkeypatch):
    named(relay, admin, "Ana")
    alike = tuple(a + b for a, b in zip(vector(PEOPLE[0]), vector(PEOPLE[1]), strict=True))
    monkeypatch.setattr("tests.flows.meeting_room.vector", lambda who: alike if who == PEOPLE[0] else vector(who))
    confidence = meeting_of(relay, admin)["text"]["speakers"][0].get("confidence")
    assert confidence is None or confidence < 0.9


def test_voices_of_different_models_are_never_compared(relay, admin, ears):
    named(relay, admin, "Ana")
    ears.voice_model = "voices-2"
    later = meeting_of(relay, admin)["meeting"]["id"]
    assert all(not suggestion for _, suggestion in speakers(relay, admin, later))
    edit(relay, admin, later, "rename", speaker="S1", name="ANA")
    assert keep(relay, admin, later).json["voice"]["samples"] == 2, "one person, a voice for each model"
    for model in ("voices-1", "voices-2"):
        ears.voice_model = model
        assert speakers(relay, admin, meeting_of(relay, admin)["meeting"]["id"])[0][1] == "Ana"


def test_who_has_no_name_no_voice_or_too_little_to_say_is_not_kept(relay, admin, ears):
    meeting = meeting_of(relay, admin)["meeting"]["id"]
    assert keep(relay, admin, meeting).code == "no_name"
    assert keep(relay, admin, meeting, "S9").status == 404
    assert keep(relay, admin, "../../credits").status == 404
    edit(relay, admin, meeting, "assign", lines=[0], to="new")
    edit(relay, admin, meeting, "rename", speaker="S4", name="Who")
    assert keep(relay, admin, meeting, "S4").status == 409, "who was made by hand has no voice"
    ears.voices = False
    mute = meeting_of(relay, admin)["meeting"]["id"]
    edit(relay, admin, mute, "rename", speaker="S1", name="Ana")
    assert keep(relay, admin, mute).status == 409
    assert voices(relay, admin) == []


def test_a_voice_that_is_taken_out_is_gone_with_its_embeddings(relay, admin, ears):
    _, kept = named(relay, admin, "Ana")
    assert relay.call("DELETE", f"{PATH}/voices/{kept.json['voice']['id']}", headers=admin).status == 200
    assert stored(relay) == "[]"
    assert relay.call("DELETE", f"{PATH}/voices/{kept.json['voice']['id']}", headers=admin).status == 404
    assert speakers(relay, admin, meeting_of(relay, admin)["meeting"]["id"])[0][1] == ""


def test_deleting_a_meeting_takes_its_embeddings_out_of_the_library(relay, admin, ears):
    first, _ = named(relay, admin, "Ana")
    second, _ = named(relay, admin, "Ana")
    relay.call("DELETE", f"{PATH}/{first}", headers=admin)
    assert voices(relay, admin)[0]["meetings"] == [second]
    assert first not in stored(relay)
    relay.call("DELETE", f"{PATH}/{second}", headers=admin)
    assert stored(relay) == "[]"


def test_a_voice_is_renamed_everywhere_by_edits_that_can_be_taken_back(relay, admin, ears):
    first, kept = named(relay, admin, "Ana")
    second, _ = named(relay, admin, "ana")
    other = meeting_of(relay, admin)["meeting"]["id"]
    edit(relay, admin, other, "rename", speaker="S2", name="Ana")
    found = rename(relay, admin, kept.json["voice"]["id"], "Anna Karenina", everywhere=True).json
    assert found["voice"]["name"] == "Anna Karenina"
    assert (sorted(found["renamed"]), found["left"]) == (sorted([first, second]), [])
    for meeting in (first, second):
        assert speakers(relay, admin, meeting)[0][0] == "Anna Karenina"
    assert speakers(relay, admin, other)[1][0] == "Ana", "her voice was not taken from there"
    version = view(relay, admin, first)["meeting"]["version"]
    work(relay, admin, first, "undo", version=version)
    assert speakers(relay, admin, first)[0][0] == "Ana"
    assert [voice["name"] for voice in voices(relay, admin)] == ["Anna Karenina"]
    later = meeting_of(relay, admin)["meeting"]["id"]
    assert speakers(relay, admin, later)[0][1] == "Anna Karenina"
    actions = [row["action"] for row in relay.get("/admin/audit?q=Karenina&limit=5", admin).json["rows"]]
    assert actions == ["meetings.voice_renamed"]


def test_a_voice_renamed_in_the_library_alone_leaves_the_meetings_as_they_are(relay, admin, ears):
    meeting, kept = named(relay, admin, "Ana")
    found = rename(relay, admin, kept.json["voice"]["id"], "Eva").json
    assert (found["renamed"], found["left"]) == ([], [])
    assert speakers(relay, admin, meeting)[0][0] == "Ana"
    assert rename(relay, admin, kept.json["voice"]["id"], "Eva").status == 404, "its id went with its name"


def test_a_meeting_that_is_worked_on_is_left_and_named(relay, admin, ears):
    meeting, kept = named(relay, admin, "Ana")
    held = ears.hold()
    work(relay, admin, meeting, "run")
    found = rename(relay, admin, kept.json["voice"]["id"], "Eva", everywhere=True).json
    held.set()
    assert (found["renamed"], found["left"]) == ([], [meeting])
    ended(relay, admin, meeting)


def test_two_voices_do_not_get_one_name(relay, admin, ears):
    _, ana = named(relay, admin, "Ana")
    named(relay, admin, "Eva")
    taken = rename(relay, admin, ana.json["voice"]["id"], "  eva ")
    assert (taken.status, taken.code) == (409, "name_taken")
    assert rename(relay, admin, ana.json["voice"]["id"], "ANA").json["voice"]["name"] == "ANA"


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, 5, None])
def test_a_name_that_is_none_is_refused(relay, admin, ears, name):
    _, kept = named(relay, admin, "Ana")
    assert rename(relay, admin, kept.json["voice"]["id"], name).status == 422


@pytest.mark.parametrize(
    "name", ["../../credits", "<img src=x onerror=alert(1)>", "a/b\\c", "Robert'); DROP", "\u202eanA", "\x00\x07"]
)
def test_hostile_names_are_only_names(relay, admin, ears, name):
    meeting, kept = named(relay, admin, name)
    assert kept.status == 201, kept.body
    assert voices(relay, admin)[0]["name"] == " ".join(name.split())
    assert rename(relay, admin, kept.json["voice"]["id"], f"{name} II", everywhere=True).status == 200
    for voice in ("..%2f..%2fcredits", name.encode().hex(), "%00"):
        assert relay.call("DELETE", f"{PATH}/voices/{voice}", headers=admin).status in {400, 404}
    assert speakers(relay, admin, meeting)[0][0] == " ".join(f"{name} II".split())
