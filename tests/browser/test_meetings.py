"""The tab Internal Meetings: bringing recordings in, and the list of them."""

import pytest

from tests.browser.conftest import desk_for
from tests.browser.history import HOSTILE
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import WAV, eventually, running

PIECE = 4 * 2**20


@pytest.fixture(scope="module")
def hall(tmp_path_factory):
    with running(tmp_path_factory.mktemp("hall"), [FakeBackend()]) as live:
        yield live


@pytest.fixture
def desk(browser, hall):
    desk = desk_for(browser, hall)
    yield desk
    desk.context.close()
    assert desk.troubles == []


def choose(page, name, data):
    page.get_by_label("Recordings to upload").set_input_files({"name": name, "mimeType": "audio/wav", "buffer": data})


def meetings(live):
    return {row["title"]: row for row in live.get("/admin/internal-meetings", live.login()).json["meetings"]}


def test_without_a_meeting_the_page_says_what_it_is_for(desk) -> None:
    page = desk.open("#internal-meetings")
    page.get_by_text("No meeting yet.").wait_for()
    assert "what was said and by whom" in page.locator(".welcome").inner_text()
    desk.screenshot("meetings-empty")


def test_a_recording_is_chosen_uploaded_and_deleted(desk, hall) -> None:
    page = desk.open("#internal-meetings")
    choose(page, "Weekly planning.wav", WAV)
    page.get_by_text("Weekly planning.wav is uploaded.").wait_for()
    row = page.locator("tbody tr", has_text="Weekly planning")
    row.wait_for()
    assert meetings(hall)["Weekly planning"]["bytes"] == len(WAV)
    assert meetings(hall)["Weekly planning"]["state"] != "uploading"
    page.get_by_role("button", name="Take Weekly planning.wav off this list").click()
    desk.screenshot("meetings-list")
    row.get_by_role("button", name="Delete Weekly planning").click()
    box = page.get_by_role("dialog", name="Delete this meeting")
    assert "are deleted for good" in box.inner_text()
    box.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("is deleted.").first.wait_for()
    eventually(lambda: "Weekly planning" not in meetings(hall))


def test_a_hostile_file_name_stays_text(desk, hall) -> None:
    page = desk.open("#internal-meetings")
    name = HOSTILE.replace("/", "_") + ".wav"
    choose(page, name, WAV)
    page.locator("tbody tr", has_text="onerror=alert(1)").wait_for()
    assert page.locator("#main img, #main script").count() == 0
    page.get_by_label("Search by title").fill("onerror")
    page.wait_for_url("**q=onerror*")
    page.locator("tbody tr", has_text="onerror=alert(1)").wait_for()
    page.get_by_label("Search by title").fill("nothing like it")
    page.get_by_text("No meeting matches.").wait_for()


def test_an_upload_is_paused_and_goes_on_after_the_page_was_loaded_again(desk, hall, tmp_path) -> None:
    recording = tmp_path / "long.wav"
    recording.write_bytes(bytes(range(256)) * (2 * PIECE // 256) + b"the end")
    page = desk.open("#internal-meetings")
    held, sent = [], []

    def hold(route) -> None:
        sent.append(int(route.request.headers["upload-offset"]))
        if sent[-1] == PIECE and not held:
            held.append(route)  # the second piece hangs until it is given up
        else:
            route.continue_()

    page.route(
        "**/admin/internal-meetings/*/upload",
        lambda route: hold(route) if route.request.method == "PUT" else route.continue_(),
    )
    page.get_by_label("Recordings to upload").set_input_files(recording)
    eventually_held(page, held)
    page.get_by_role("button", name="Pause long.wav").click()
    page.get_by_text("paused, 4.2 MB of 8.4 MB").wait_for()
    page.reload()
    page.locator("tbody tr", has_text="long").get_by_text("Waits for its recording").wait_for()
    page.get_by_label("Recordings to upload").set_input_files(recording)
    page.get_by_text("long.wav is uploaded.").wait_for()
    assert sent == [0, PIECE, PIECE, 2 * PIECE], "what had arrived was not sent again"
    assert meetings(hall)["long"]["bytes"] == recording.stat().st_size
    assert len([title for title in meetings(hall) if title == "long"]) == 1


def eventually_held(page, held) -> None:
    for _ in range(300):
        if held:
            return
        page.wait_for_timeout(20)
    raise AssertionError("the second piece was never sent")


def test_an_upload_survives_a_connection_that_breaks(desk, hall) -> None:
    desk.expect("ERR_CONNECTION_RESET", "Failed to load resource", "request failed")
    page = desk.open("#internal-meetings")
    broken = []

    def breaks_once(route) -> None:
        if route.request.method == "PUT" and not broken:
            broken.append(route.abort("connectionreset"))
        else:
            route.continue_()

    page.route("**/admin/internal-meetings/*/upload", breaks_once)
    choose(page, "shaky.wav", WAV)
    page.get_by_text("shaky.wav is uploaded.").wait_for()
    assert broken
    assert meetings(hall)["shaky"]["state"] != "uploading"


def test_an_empty_file_is_refused_with_words(desk) -> None:
    page = desk.open("#internal-meetings")
    choose(page, "nothing.wav", b"")
    page.get_by_text("The file is empty. Choose another one.").wait_for()


def test_files_may_be_dropped(desk, hall) -> None:
    page = desk.open("#internal-meetings")
    page.locator(".drop").wait_for()
    page.evaluate(
        """(bytes) => {
            const moved = new DataTransfer();
            moved.items.add(new File([new Uint8Array(bytes)], "dropped.wav", { type: "audio/wav" }));
            const where = document.querySelector(".drop");
            where.dispatchEvent(new DragEvent("dragover", { dataTransfer: moved, bubbles: true, cancelable: true }));
            where.dispatchEvent(new DragEvent("drop", { dataTransfer: moved, bubbles: true, cancelable: true }));
        }""",
        list(WAV[:2000]),
    )
    page.get_by_text("dropped.wav is uploaded.").wait_for()
    assert "dropped" in meetings(hall)


def test_meetings_are_of_use_on_a_phone(browser, hall) -> None:
    desk = desk_for(browser, hall, viewport={"width": 400, "height": 860}, is_mobile=True, has_touch=True)
    page = desk.open("#internal-meetings")
    choose(page, "on the way.wav", WAV)
    page.get_by_text("on the way.wav is uploaded.").wait_for()
    page.locator("tbody tr").first.wait_for()
    desk.assert_fits()
    desk.screenshot("meetings-phone")
    desk.context.close()
    assert desk.troubles == []
