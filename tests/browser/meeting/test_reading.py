"""One meeting: heard, read, and searched, by everybody."""

from __future__ import annotations

import time

import pytest

from relay.domain.meetings import Line, Said
from tests.browser.conftest import desk_for, expect
from tests.browser.meeting import study
from tests.browser.meeting.hands import (
    change,
    line,
    now_playing,
    opened,
    side,
    stored,
)
from tests.browser.test_accessibility import AXE, assert_usable


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


def test_words_of_a_script_without_spaces_are_clicked_one_by_one(desk, room, template) -> None:
    words = [Said(word, n * 10.0, n * 10.0 + 9) for n, word in enumerate(("今天", "我们", "谈", "预算"))]
    text = "今天我们谈预算"
    page = opened(desk, study.copied(room, template, lines=[Line(0, 0.0, 40.0, text, "S1", words)]))
    assert page.locator(".said .w").all_inner_texts() == ["今天", "我们", "谈", "预算"]
    page.get_by_text("谈", exact=True).click()
    assert now_playing(page) >= 19.9
    page.get_by_label("Search the transcript").fill("我们谈")
    expect(page.locator("mark")).to_have_count(2)
    assert change(page, 0).get_by_role("button", name="Split…").is_disabled()


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


def test_scrolling_back_moves_no_row_by_more_than_was_scrolled(browser, room, long) -> None:
    desk = desk_for(browser, room, viewport={"width": 620, "height": 900})
    page = desk.open(f"#internal-meetings?id={long}")
    side(page, "Transcript")
    page.locator(".line").first.wait_for()
    assert page.evaluate(SCROLL_BACK) == []
    desk.context.close()
    assert desk.troubles == []


SCROLL_BACK = """async () => {
    const box = document.querySelector(".lines");
    const drawn = async () => { for (let n = 0; n < 3; n += 1) await new Promise(requestAnimationFrame); };
    const middle = () => [...box.querySelectorAll(".line")]
        .find((row) => row.getBoundingClientRect().top > box.getBoundingClientRect().top + 150);
    box.scrollTop = 60_000;
    await drawn();
    const jumps = [];
    for (let n = 0; n < 60; n += 1) {
        const id = middle().dataset.line;
        const before = middle().getBoundingClientRect().top;
        box.scrollTop -= 100;
        await drawn();
        const after = box.querySelector(`[data-line="${id}"]`)?.getBoundingClientRect().top ?? NaN;
        if (!(Math.abs(after - before - 100) < 3)) jumps.push(after - before - 100);
    }
    return jumps;
}"""
