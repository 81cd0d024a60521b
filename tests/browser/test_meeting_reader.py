"""One meeting in the dashboard: heard, read, put right."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser import study
from tests.browser.conftest import Desk, desk_for, expect
from tests.browser.test_accessibility import AXE, assert_usable
from tests.flows.live import Live, running
from tests.flows.meeting_room import PIECES, Ears, ended, recording, upload

PATH = "/admin/internal-meetings"


@pytest.fixture(scope="module")
def ears() -> Ears:
    return Ears()


@pytest.fixture(scope="module")
def room(tmp_path_factory, ears) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("room"), [ears], settings=PIECES) as live:
        live.core.meetings.worker.pauses = (0.01, 0.01)
        yield live


@pytest.fixture(scope="module")
def template(room, ears) -> str:
    return study.made(room, ears)


@pytest.fixture(scope="module")
def long(room) -> str:
    return study.long_one(room)


@pytest.fixture(scope="module")
def admin(room) -> dict[str, str]:
    return room.login()


@pytest.fixture
def desk(browser, room) -> Iterator[Desk]:
    desk = desk_for(browser, room)
    yield desk
    desk.context.close()
    assert desk.troubles == []


@pytest.fixture
def page(desk, room, template):
    """A fresh copy of the meeting of two minutes, open."""
    return opened(desk, study.copied(room, template))


def opened(desk: Desk, meeting: str):
    page = desk.open(f"#internal-meetings?id={meeting}")
    page.locator(".line").first.wait_for()
    return page


def meeting_of(page) -> str:
    return page.url.partition("id=")[2].partition("&")[0]


def stored(room: Live, admin: dict[str, str], page) -> Any:
    return room.get(f"{PATH}/{meeting_of(page)}", admin).json["text"]


def edit_elsewhere(room: Live, admin: dict[str, str], page, **edit: Any) -> None:
    path = f"{PATH}/{meeting_of(page)}"
    version = room.get(path, admin).json["meeting"]["version"]
    reply = room.call("POST", f"{path}/edits", headers=admin, json={"version": version, "edit": edit})
    assert reply.status == 200, reply.body


def side(page, name: str) -> None:
    page.get_by_role("group", name="What is shown").get_by_role("button", name=name).click()


def now_playing(page) -> float:
    return page.evaluate("document.querySelector('audio').currentTime")


def line(page, number: int):
    return page.locator(f'.line[data-line="{number}"]')


def change(page, number: int):
    line(page, number).hover()
    line(page, number).get_by_role("button", name="Change the line").click()
    return line(page, number).locator("form")


def dialog(page, name: str):
    return page.get_by_role("dialog", name=name)


def speakers_of(page) -> list[str]:
    return page.locator(".people strong").all_inner_texts()


# Listening


def test_a_meeting_opens_from_the_list_and_by_its_link(desk, room, template) -> None:
    study.copied(room, template, "To be opened")
    page = desk.open("#internal-meetings")
    page.get_by_role("button", name="To be opened", exact=True).click()
    page.get_by_role("heading", name="To be opened").wait_for()
    page.locator(".line").first.wait_for()
    page.reload()
    page.get_by_role("heading", name="To be opened").wait_for()
    desk.settle()
    page.get_by_role("button", name="All meetings").click()
    page.get_by_role("table", name="Internal meetings").wait_for()


def test_a_click_on_a_word_plays_from_there_and_marks_it(page, desk) -> None:
    page.evaluate(
        """document.querySelector("audio").addEventListener("seeking", (event) => {
            window.sought ??= event.target.currentTime;
        })"""
    )
    page.get_by_text("w36", exact=True).click()
    page.locator(".being-said").wait_for()
    assert page.evaluate("window.sought") == pytest.approx(36, abs=0.5), "the word, and not its line"
    page.wait_for_timeout(300)
    said = page.locator(".being-said").inner_text()
    assert said in {f"w{n}" for n in range(36, 60)}
    desk.screenshot("meeting-reader")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Play", exact=True).wait_for()
    assert page.locator('.line[aria-current="true"]').count() == 1


def test_keys_play_seek_and_change_the_speed(page, room, admin) -> None:
    page.locator(".lines").focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Pause").wait_for()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Play", exact=True).wait_for()
    before = now_playing(page)
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert now_playing(page) == pytest.approx(before + 15, abs=0.5)
    page.keyboard.press("ArrowLeft")
    assert now_playing(page) == pytest.approx(before + 10, abs=0.5)
    page.keyboard.press("Shift+ArrowRight")
    starts = [one["start"] for one in stored(room, admin, page)["lines"]]
    following = next(start for start in starts if start > before + 10.1)
    assert now_playing(page) == pytest.approx(following, abs=0.1)
    page.keyboard.press("+")
    expect(page.get_by_label("Speed")).to_have_value("1.25")
    page.keyboard.press("-")
    expect(page.get_by_label("Speed")).to_have_value("1")
    page.keyboard.press("/")
    page.keyboard.type("w 5 + /")
    assert page.get_by_label("Search the transcript").input_value() == "w 5 + /", "typing is typing"


def test_the_lanes_say_who_speaks_when_and_a_click_jumps(page) -> None:
    canvas = page.get_by_role("img", name="Who speaks when in 2 min")
    assert "Speaker 1" in canvas.get_attribute("aria-label")
    assert canvas.get_attribute("aria-label").count("%") == 3
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 5)
    assert now_playing(page) == pytest.approx(60, abs=2)
    assert page.locator(".being-said").inner_text() in {"w58", "w59", "w60", "w61"}
    assert page.get_by_label("Place in the recording").get_attribute("aria-valuetext").startswith("1:0")
    page.get_by_label("Place in the recording").fill("90")
    assert now_playing(page) == pytest.approx(90, abs=1)


def test_following_ends_when_the_reader_scrolls(desk, room, template, long) -> None:
    page = opened(desk, long)
    follow = page.get_by_role("button", name="Follow")
    assert follow.get_attribute("aria-pressed") == "true"
    page.locator(".lines").hover()
    page.mouse.wheel(0, 900)
    expect(follow).to_have_attribute("aria-pressed", "false")
    follow.click()
    expect(follow).to_have_attribute("aria-pressed", "true")


def test_a_recording_that_cannot_be_played_says_so(desk, room, template) -> None:
    desk.expect("404")
    desk.page.route("**/audio", lambda route: route.fulfill(status=404, json={"ok": False}))
    page = opened(desk, study.copied(room, template))
    page.get_by_text("This browser cannot play the recording.").wait_for()
    page.get_by_text("w35", exact=True).click()
    assert page.locator(".line").count() > 3, "it can be read all the same"


# A long text


def test_a_long_text_keeps_few_rows_in_the_page(desk, long) -> None:
    desk.open("#internal-meetings")
    page = desk.page
    page.get_by_role("button", name="Two hours", exact=True).wait_for()
    begun = time.perf_counter()
    page.get_by_role("button", name="Two hours", exact=True).click()
    page.locator(".line").first.wait_for()
    shown = time.perf_counter() - begun
    assert page.locator(".line").count() < 80
    first = page.locator(".line").first
    assert first.get_attribute("aria-setsize") == "2500"
    assert first.get_attribute("aria-posinset") == "1"
    frames = page.evaluate(SCROLL)
    print(f"\n2 h, 2500 lines: open in {shown * 1000:.0f} ms; scrolled {frames}")
    assert page.locator(".line").count() < 80
    assert int(page.locator(".line").last.get_attribute("aria-posinset")) > 500
    page.locator(".lines").focus()
    page.keyboard.press("End")
    page.locator('.line[aria-posinset="2500"]').wait_for()
    page.keyboard.press("Home")
    page.locator('.line[aria-posinset="1"]').wait_for()
    desk.screenshot("meeting-long")


SCROLL = """async () => {
    const box = document.querySelector(".lines");
    const times = [];
    let before = performance.now();
    for (let n = 0; n < 120; n += 1) {
        box.scrollTop += 400;
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        times.push(now - before);
        before = now;
    }
    times.sort((a, b) => a - b);
    const [median, p95, worst] = [60, 114, 119].map((n) => Math.round(times[n]));
    return `${times.length} frames: median ${median} ms, p95 ${p95} ms, worst ${worst} ms`;
}"""


def test_the_search_counts_marks_and_goes_round(desk, long) -> None:
    page = opened(desk, long)
    field = page.get_by_label("Search the transcript")
    field.fill("LANDMARK")
    count = page.locator(".found")
    expect(count).to_have_text("1 of 5")
    page.locator("mark.present").wait_for()
    where = page.locator(".line:has(mark.present)")
    assert where.get_attribute("data-line") == "250"
    page.get_by_role("button", name="Next place").click()
    expect(where).to_have_attribute("data-line", "750")
    page.get_by_role("button", name="Previous place").click()
    expect(where).to_have_attribute("data-line", "250")
    field.press("Shift+Enter")
    expect(count).to_have_text("5 of 5")
    expect(where).to_have_attribute("data-line", "2250")
    assert page.locator("mark").first.is_visible()
    field.fill("no such words (")
    expect(count).to_have_text("Not found")


def test_the_lines_of_one_speaker_are_shown_alone(desk, long) -> None:
    page = opened(desk, long)
    page.get_by_label("Show", exact=True).select_option(label="Speaker 2")
    page.get_by_text("of 2,500, said by").wait_for()
    assert set(page.locator(".line .who bdi").all_inner_texts()) == {"Speaker 2"}
    page.get_by_role("button", name="Show everybody").click()
    expect(page.locator(".line").first).to_have_attribute("aria-setsize", "2500")
    side(page, "Speakers")
    page.get_by_role("button", name="Show only Speaker 3").click()
    page.get_by_text("of 2,500, said by").wait_for()


def test_a_place_of_the_summary_leads_to_its_lines(desk, long) -> None:
    page = opened(desk, long)
    page.get_by_role("button", name="where this was said: The landmark").click()
    line(page, 2250).wait_for()
    assert "stands" in line(page, 2250).get_attribute("class")
    assert line(page, 2250).is_visible()
    box, row = page.locator(".lines").bounding_box(), line(page, 2250).bounding_box()
    assert box["y"] <= row["y"] <= box["y"] + box["height"]


def test_on_a_phone_a_place_of_the_summary_opens_the_transcript(browser, room, long) -> None:
    desk = desk_for(browser, room, viewport={"width": 400, "height": 860}, is_mobile=True, has_touch=True)
    page = desk.open(f"#internal-meetings?id={long}")
    page.get_by_role("button", name="where this was said: The landmark").tap()
    expect(line(page, 2250)).to_be_in_viewport()
    desk.assert_fits()
    desk.context.close()
    assert desk.troubles == []


# Changing


def test_a_speaker_is_renamed_everywhere_and_back_again(page, room, admin) -> None:
    side(page, "Speakers")
    page.get_by_role("button", name="Rename Speaker 2").click()
    box = dialog(page, "Rename Speaker 2")
    box.get_by_label("Name").fill("Ana")
    box.get_by_role("button", name="Rename").click()
    page.locator(".people strong", has_text="Ana").wait_for()
    assert page.locator(".line .who bdi", has_text="Ana").count() >= 2
    assert page.locator(".lanes .names", has_text="Ana").count() == 1
    side(page, "Summary")
    page.get_by_text("Ana says w14 w15 w16").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Speaker 2 says w14 w15 w16").wait_for()
    page.get_by_role("button", name="Redo").click()
    page.get_by_text("Ana says w14 w15 w16").wait_for()
    page.locator(".lines").focus()
    page.keyboard.press("Control+z")
    page.get_by_text("Speaker 2 says w14 w15 w16").wait_for()
    page.keyboard.press("Control+y")
    page.get_by_text("Ana says w14 w15 w16").wait_for()
    assert stored(room, admin, page)["speakers"][1]["name"] == "Ana"


def test_undo_pressed_twice_at_once_takes_two_back(page, room, admin) -> None:
    for name in ("Ana", "Bo"):
        edit_elsewhere(room, admin, page, op="rename", speaker="S1", name=name)
    page.reload()
    page.locator(".line .who", has_text="Bo").first.wait_for()
    page.locator(".lines").focus()
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    page.locator(".line .who", has_text="Speaker 1").first.wait_for()
    assert page.get_by_text("Not saved.").count() == 0
    assert stored(room, admin, page)["can_undo"] is False


def test_two_speakers_become_one(page, room, admin) -> None:
    side(page, "Speakers")
    page.get_by_role("button", name="Merge Speaker 3 with somebody").click()
    box = dialog(page, "Speaker 3 is somebody else")
    box.get_by_label("Is in truth").select_option(label="Speaker 1")
    box.get_by_role("button", name="Merge").click()
    expect(page.locator(".people > li")).to_have_count(2)
    assert {one["speaker"] for one in stored(room, admin, page)["lines"]} == {"S1", "S2"}


def test_a_line_says_something_else(page, room, admin) -> None:
    form = change(page, 1)
    form.get_by_label("What is said").fill("w10 and then something else")
    form.get_by_label("What is said").press("Control+Enter")
    line(page, 1).get_by_text("something", exact=True).wait_for()
    assert stored(room, admin, page)["lines"][1]["text"] == "w10 and then something else"
    form = change(page, 1)
    form.get_by_label("What is said").press("Escape")
    expect(form).to_have_count(0)


def test_a_line_is_taken_out(page, room, admin) -> None:
    before = len(stored(room, admin, page)["lines"])
    change(page, 0).get_by_role("button", name="Take the line out").click()
    expect(line(page, 0)).to_have_count(0)
    assert len(stored(room, admin, page)["lines"]) == before - 1


def test_a_line_is_split_at_a_word_and_the_rest_given_away(page, room, admin) -> None:
    before = stored(room, admin, page)["lines"][0]["text"].split()
    form = change(page, 0)
    form.get_by_role("button", name="Split…").click()
    form.get_by_label("The second line is said by").select_option(label="a new speaker")
    form.get_by_role("button", name="w4", exact=True).click()
    expect(form).to_have_count(0)
    lines = stored(room, admin, page)["lines"]
    assert (lines[0]["text"].split(), lines[1]["text"].split()) == (before[:4], before[4:])
    assert lines[1]["speaker"] == "S4"


def test_a_line_is_given_to_somebody_else(page, room, admin) -> None:
    change(page, 0).get_by_label("Said by").select_option(label="Speaker 3")
    page.locator('.line[data-line="0"] .who', has_text="Speaker 3").wait_for()
    assert stored(room, admin, page)["lines"][0]["speaker"] == "S3"


def test_picked_lines_and_a_range_of_time_are_given_to_somebody(page, room, admin, desk) -> None:
    page.get_by_role("button", name="Pick lines").click()
    page.locator(".line .pick").nth(0).click()
    page.locator(".line .pick").nth(3).click(modifiers=["Shift"])
    page.get_by_text("4 lines picked").wait_for()
    desk.screenshot("meeting-pick")
    bar = page.get_by_role("group", name="Lines that were picked")
    bar.get_by_label("Said by").select_option(label="a new speaker")
    bar.get_by_role("button", name="Assign").click()
    page.get_by_text("Pick lines; Shift").wait_for()
    assert [one["speaker"] for one in stored(room, admin, page)["lines"][:4]] == ["S4"] * 4
    bar.get_by_role("button", name="Range of time…").click()
    box = dialog(page, "Give a range of time to somebody")
    box.get_by_label("From").fill("1:00")
    box.get_by_label("To", exact=True).fill("half past")
    box.get_by_label("Are said by", exact=True).select_option(label="Speaker 2")
    box.get_by_role("button", name="Assign").click()
    box.get_by_text("Write times as 12:30").wait_for()
    box.get_by_label("To", exact=True).fill("2:00")
    box.get_by_role("button", name="Assign").click()
    expect(box).to_have_count(0)
    late = [one["speaker"] for one in stored(room, admin, page)["lines"] if one["start"] >= 61]
    assert set(late) == {"S2"}
    bar.get_by_role("button", name="Done").click()
    expect(page.locator(".line .pick")).to_have_count(0)


def test_what_was_typed_survives_somebody_elses_change(page, room, admin, desk) -> None:
    desk.expect("409")
    form = change(page, 1)
    form.get_by_label("What is said").fill("my own words, typed with care")
    edit_elsewhere(room, admin, page, op="rename", speaker="S1", name="Renamed elsewhere")
    form.get_by_role("button", name="Save").click()
    notice = page.get_by_role("alert").filter(has_text="Not saved.")
    notice.wait_for()
    assert "my own words, typed with care" in notice.inner_text()
    page.locator(".line .who", has_text="Renamed elsewhere").first.wait_for()
    assert form.get_by_label("What is said").input_value() == "my own words, typed with care"
    desk.screenshot("meeting-conflict")
    notice.get_by_role("button", name="Do it again").click()
    expect(notice).to_have_count(0)
    assert stored(room, admin, page)["lines"][1]["text"] == "my own words, typed with care"
    assert stored(room, admin, page)["speakers"][0]["name"] == "Renamed elsewhere"


def test_a_change_that_no_longer_fits_is_not_done_again(page, room, admin, desk) -> None:
    desk.expect("409")
    page.get_by_role("button", name="Change: w31 w32").click()
    page.get_by_label("What it says").fill("we decided otherwise")
    edit_elsewhere(room, admin, page, op="item", section="decisions", index=0)
    page.get_by_role("button", name="Save").click()
    notice = page.get_by_role("alert").filter(has_text="Not saved.")
    notice.get_by_text("What it was made for is no longer there.").wait_for()
    assert "we decided otherwise" in notice.inner_text()
    assert notice.get_by_role("button", name="Do it again").count() == 0
    notice.get_by_role("button", name="Let it be").click()
    expect(notice).to_have_count(0)


def test_a_stale_dialog_keeps_its_words_and_works_the_second_time(page, room, admin, desk) -> None:
    desk.expect("409")
    side(page, "Speakers")
    page.get_by_role("button", name="Rename Speaker 1").click()
    box = dialog(page, "Rename Speaker 1")
    box.get_by_label("Name").fill("Ana")
    edit_elsewhere(room, admin, page, op="rename", speaker="S2", name="Bo")
    box.get_by_role("button", name="Rename").click()
    box.get_by_text("Somebody changed this meeting in the meantime").wait_for()
    assert box.get_by_label("Name").input_value() == "Ana"
    box.get_by_role("button", name="Rename").click()
    expect(box).to_have_count(0)
    assert speakers_of(page) == ["Ana", "Bo", "Speaker 3"]


def test_items_of_the_summary_are_changed_and_removed(page, room, admin) -> None:
    page.get_by_role("button", name="Change: w62 elephants").click()
    page.get_by_label("What it says").fill("Ana buys elephants")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Ana buys elephants").wait_for()
    assert page.locator(".findings li.marked").count() == 0, "a person has written it"
    page.get_by_role("button", name="Remove: w3 w4").click()
    expect(page.get_by_role("button", name="Remove: w3 w4")).to_have_count(0)
    assert [item["text"] for item in stored(room, admin, page)["analysis"]["summary"]] == ["S2 says w14 w15 w16"]


def test_what_hardly_stands_on_the_text_says_so(page) -> None:
    marked = page.locator(".findings li.marked")
    assert "w62 elephants giraffes zebras" in marked.inner_text()
    assert "Listen before you rely on it" in marked.inner_text()
    assert "Speaker 2, until Friday" in marked.inner_text()


# Voices


def test_a_voice_is_remembered_suggested_and_forgotten(desk, room, admin, template) -> None:
    page = opened(desk, study.copied(room, template))
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
    box.get_by_role("button", name="Delete the voice of Ana").click()
    box.get_by_role("button", name="Keep").click()
    box.get_by_role("button", name="Delete the voice of Ana").click()
    box.get_by_role("button", name="Really delete").click()
    box.get_by_text("No voice is remembered.").wait_for()
    assert room.get(f"{PATH}/voices", admin).json["voices"] == []
    box.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="All meetings").click()
    page.get_by_role("button", name="Voice library…").click()
    dialog(page, "Voice library").get_by_text("No voice is remembered.").wait_for()


# Runs


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


# Away with it


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


# For everybody


def test_hostile_names_and_texts_stay_text(desk, room, template) -> None:
    page = opened(desk, study.hostile(room, template))
    for name in ("Summary", "Speakers", "Runs"):
        side(page, name)
        desk.settle()
    assert page.locator("#main img:not([role]), #main script, #main b").count() == 0
    assert "onerror=alert(1)" in page.locator(".line .said").first.inner_text()
    side(page, "Speakers")
    page.get_by_role("button", name="Merge Speaker 2 with somebody").click()
    assert page.locator("dialog img, dialog script").count() == 0


@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core, which `npm ci --prefix tests/clients` installs")
@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 400), ("dark", 400)])
def test_the_reader_is_usable_for_everybody(browser, room, template, theme: str, width: int) -> None:
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": theme, "reduced_motion": "reduce"}
    desk = desk_for(browser, room, **options)
    page = desk.open(f"#internal-meetings?id={study.copied(room, template)}")
    for name in ("Runs", "Speakers", "Summary"):
        side(page, name)
        desk.settle()
        desk.assert_fits()
        assert_usable(desk)
    desk.screenshot(f"meeting-{theme}-{width}")
    if width == 400:
        side(page, "Transcript")
    change(page, 1).get_by_role("button", name="Split…").click()
    page.get_by_role("button", name="Pick lines").click()
    desk.assert_fits()
    assert_usable(desk)
    desk.screenshot(f"meeting-editing-{theme}-{width}")
    desk.context.close()
    assert desk.troubles == []
