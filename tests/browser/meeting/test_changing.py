"""One meeting: names, lines and the summary put right, also by two people at once."""

from __future__ import annotations

from tests.browser.conftest import expect
from tests.browser.meeting.hands import (
    change,
    dialog,
    edit_elsewhere,
    line,
    side,
    speakers_of,
    stored,
)


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
    expect(line(page, 1).get_by_role("button", name="Change the line")).to_be_focused()


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
    expect(page.get_by_label("What it says")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Change: w62 elephants")).to_be_focused()
    page.keyboard.press("Enter")
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
