"""What a person does in the reader, and what is stored then."""

from __future__ import annotations

from typing import Any

from tests.browser.conftest import Desk
from tests.flows.live import Live

PATH = "/admin/internal-meetings"


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
