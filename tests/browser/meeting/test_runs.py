"""One meeting: its voices, its runs, and the ways out."""

from __future__ import annotations

import threading

from tests.browser.conftest import expect
from tests.browser.meeting import study
from tests.browser.meeting.hands import (
    PATH,
    dialog,
    now_playing,
    opened,
    side,
    stored,
)
from tests.flows.meeting_room import ended, recording, upload


def test_a_voice_is_remembered_suggested_and_forgotten(desk, room, admin, template) -> None:
    first = study.copied(room, template)
    page = opened(desk, first)
    assert room.get(f"{PATH}/voices", admin).json["voices"] == []
    side(page, "Speakers")
    assert page.get_by_role("button", name="Remember this voice").count() == 0, "nobody has a name"
    page.get_by_role("button", name="Rename Speaker 1").click()
    dialog(page, "Rename Speaker 1").get_by_label("Name").fill("Ana")
    dialog(page, "Rename Speaker 1").get_by_role("button", name="Rename").click()
    page.get_by_role("button", name="Remember this voice: Ana").click()
    page.get_by_text("Voice is remembered").wait_for()
    other = ended(room, admin, upload(room, admin, recording(60)))
    page = opened(desk, other["meeting"]["id"])
    side(page, "Speakers")
    page.get_by_text("Sounds like").wait_for()
    desk.screenshot("meeting-speakers")
    page.get_by_role("button", name="Yes, it is Ana").click()
    page.locator(".people strong", has_text="Ana").wait_for()
    page.get_by_role("button", name="Voice library…").click()
    box = dialog(page, "Voice library")
    page.wait_for_timeout(300)  # the panel slides in
    desk.screenshot("meeting-voices")
    box.get_by_role("button", name="Rename the voice of Ana").click()
    again = dialog(page, "Rename the voice of Ana")
    again.get_by_label("Name").fill("Anna")
    again.get_by_role("button", name="Rename").click()
    page.get_by_text("1 meeting changed with it.").wait_for()
    assert speaker_of(room, admin, first)["name"] == "Anna"
    box.get_by_role("button", name="Delete the voice of Anna").click()
    box.get_by_role("button", name="Keep").click()
    box.get_by_role("button", name="Delete the voice of Anna").click()
    box.get_by_role("button", name="Really delete").click()
    box.get_by_text("No voice is remembered.").wait_for()
    assert room.get(f"{PATH}/voices", admin).json["voices"] == []
    box.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="All meetings").click()
    page.get_by_role("button", name="Voice library…").click()
    dialog(page, "Voice library").get_by_text("No voice is remembered.").wait_for()


def speaker_of(room, admin, meeting: str):
    return room.get(f"{PATH}/{meeting}", admin).json["text"]["speakers"][0]


def test_the_summary_alone_is_written_again(desk, room, admin, template) -> None:
    meeting = study.copied(room, template)
    page = opened(desk, meeting)
    asked = []
    page.route("**/run", lambda route: (asked.append(route.request.post_data_json), route.fulfill(json={"ok": True})))
    side(page, "Runs")
    page.get_by_role("button", name="Run again…").click()
    box = dialog(page, "Run again")
    box.get_by_label("Write down what is said").uncheck()
    box.get_by_label("Tell the speakers apart").uncheck()
    box.get_by_label("What the summary is asked for").fill("Only what was decided.")
    box.get_by_role("button", name="Run", exact=True).click()
    expect(box).to_have_count(0)
    assert asked == [{"version": 1, "steps": ["analyze"], "options": {"prompt": "Only what was decided."}}]


def test_a_run_is_watched_cancelled_taken_up_compared_and_gone_back_to(desk, room, admin, ears) -> None:
    meeting = ended(room, admin, upload(room, admin, recording(90)))["meeting"]["id"]
    page = opened(desk, meeting)
    ears.gate = threading.Event()
    try:
        side(page, "Runs")
        page.get_by_role("button", name="Run again…").click()
        box = dialog(page, "Run again")
        box.get_by_label("Number of speakers").fill("2")
        assert box.get_by_label("Backend that writes down").locator("option").all_inner_texts()[1:] == ["ears"]
        desk.screenshot("meeting-run-again")
        box.get_by_role("button", name="Run", exact=True).click()
        progress = page.get_by_role("group", name="The run under way")
        progress.get_by_text("Writing down what is said").wait_for()
        assert page.get_by_role("button", name="Change the line").count() == 0, "it is read only now"
        desk.screenshot("meeting-running")
        progress.get_by_role("button", name="Cancel the run").click()
        progress.get_by_role("button", name="Really end this run").click()
        page.get_by_text("The run was ended.").wait_for()
    finally:
        ears.gate.set()
        ears.gate = None
    page.get_by_role("button", name="Go on where it stopped").click()
    page.get_by_text("The run was ended.").wait_for(state="detached")
    runs = page.get_by_role("list", name="Runs")
    expect(runs.locator("li")).to_have_count(2, timeout=60_000)
    assert "2 speakers" in runs.locator("li").first.inner_text()
    assert "shown" in runs.locator("li").first.inner_text()
    page.get_by_role("button", name="Compare").click()
    box = dialog(page, "Run 1 and run 2")
    box.get_by_text("Every word is the same.").wait_for()
    box.get_by_role("table", name="Seconds of each speaker").wait_for()
    desk.screenshot("meeting-compare")
    box.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Use Run 1").click()
    page.get_by_text("Run 1 is shown now").wait_for()
    expect(runs.locator("li", has_text="shown")).to_contain_text("Run 1")


def test_differing_words_stand_side_by_side(desk, room, admin, template) -> None:
    meeting = study.copied(room, template)
    page = opened(desk, meeting)
    answer = {
        "a": "r1", "b": "r2", "same_words": 0.98, "changes_count": 1, "speakers": {"a": 1, "b": 1},
        "seconds": {"a": {"S1": 3.0}, "b": {"S1": 4.0}}, "changes": [{"start": 35.0, "a": "<b>old</b>", "b": ""}],
    }  # fmt: skip
    runs = [
        {"run": name, "at": "2026-11-22T10:00:00Z", "current": name == "r1", "options": {}, "models": {},
         "speakers": 3, "lines": 12, "notes": [], "timings": {}} for name in ("r1", "r2")
    ]  # fmt: skip
    page.route("**/compare?*", lambda route: route.fulfill(json={"ok": True, "difference": answer}))
    page.route("**/runs", lambda route: route.fulfill(json={"ok": True, "runs": runs}))
    side(page, "Runs")
    page.get_by_role("button", name="Compare").click()
    table = page.get_by_role("table", name="Where the words differ")
    assert table.locator("del").inner_text() == "<b>old</b>"
    assert "nothing" in table.inner_text()
    table.get_by_role("button", name="Play from 0:35").click()
    assert now_playing(page) >= 34.9


def test_the_text_is_taken_away_in_every_format(page) -> None:
    page.locator("summary", has_text="Export").click()
    for name, ending in [("Plain text", "txt"), ("Markdown", "md"), ("SRT", "srt"), ("WebVTT", "vtt"),
                         ("Web page", "html"), ("JSON", "json")]:  # fmt: skip
        if not page.get_by_role("link", name=name).is_visible():
            page.locator("summary", has_text="Export").click()
        with page.expect_download() as given:
            page.get_by_role("link", name=name).click()
        assert given.value.suggested_filename == f"Weekly-planning.{ending}"


def test_the_title_is_changed(page, room, admin) -> None:
    page.locator("summary", has_text="More").click()
    page.get_by_role("button", name="Change the title…").click()
    box = dialog(page, "Change the title")
    box.get_by_label("Title").fill("Another title")
    box.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="Another title").wait_for()
    assert stored(room, admin, page)["title"] == "Another title"
    page.locator("summary", has_text="More").click()
    page.get_by_role("button", name="Keys…").click()
    dialog(page, "Keys").get_by_text("play, pause").wait_for()


def test_deleting_asks_for_the_word_and_really_deletes(desk, room, admin) -> None:
    desk.expect("404")
    meeting = ended(room, admin, upload(room, admin, recording(20)))["meeting"]["id"]
    page = opened(desk, meeting)
    page.locator("summary", has_text="More").click()
    page.get_by_role("button", name="Delete…").click()
    box = dialog(page, "Delete this meeting")
    button = box.get_by_role("button", name="Delete for good")
    assert button.is_disabled()
    box.get_by_label("Type “delete”").fill("delete")
    button.click()
    page.get_by_role("table", name="Internal meetings").wait_for()
    assert room.get(f"{PATH}/{meeting}", admin).status == 404
    page = desk.open(f"#internal-meetings?id={meeting}")
    page.get_by_text("there is no meeting").wait_for()
    page.get_by_role("button", name="All meetings").click()
    page.get_by_role("table", name="Internal meetings").wait_for()
