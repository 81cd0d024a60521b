"""Users: finding an account, and what is done for it."""

from __future__ import annotations

import re

import pytest

from tests.browser.conftest import Desk, expect
from tests.browser.history import HOSTILE, USERS, credit
from tests.flows.live import user


def names(desk: Desk):
    return desk.page.get_by_role("table", name="Users").locator("tbody tr td:first-child")


def act(desk: Desk, account: str, button: str, **fields: str) -> None:
    """Open the account, press the button, fill the dialog, send it."""
    page = desk.open(f"#users?open={account}")
    page.get_by_role("dialog", name=account).get_by_role("button", name=button, exact=True).click()
    dialog = page.get_by_role("dialog").last
    for label, value in fields.items():
        field = dialog.get_by_label(re.compile(f"^{label}"))
        if field.evaluate("(input) => input.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    dialog.locator("button[type=submit]").click()


def row(desk: Desk, account: str) -> dict:
    return desk.live.get(f"/admin/credits/{account}", desk.live.login()).json["account"]


def test_the_server_sorts_and_the_address_keeps_it(desk: Desk) -> None:
    page = desk.open("#users?q=person-")
    total = page.get_by_role("columnheader", name="Total")
    assert total.get_attribute("aria-sort") == "none"
    page.get_by_role("button", name="Total").click()
    expect(total).to_have_attribute("aria-sort", "descending")
    expect(names(desk).first).to_have_text(re.compile(f"person-{USERS - 1}"))
    page.get_by_role("button", name="Total").click()
    expect(total).to_have_attribute("aria-sort", "ascending")
    assert "sort=total" in page.url
    assert "order=asc" in page.url
    page.reload()
    expect(page.get_by_role("columnheader", name="Total")).to_have_attribute("aria-sort", "ascending")
    page.go_back()
    expect(page.get_by_role("columnheader", name="Total")).to_have_attribute("aria-sort", "descending")


@pytest.mark.parametrize(
    "column", ["Account", "Type", "Tier", "Remaining", "Purchased", "Total", "Used", "Last active"]
)
def test_every_column_can_be_sorted_by(desk: Desk, column: str) -> None:
    page = desk.open("#users?sort=type" if column != "Type" else "#users")
    page.get_by_role("columnheader", name=column).get_by_role("button").click()
    expect(page.get_by_role("columnheader", name=column)).to_have_attribute("aria-sort", re.compile("ending"))
    expect(names(desk)).not_to_have_count(0)
    assert page.locator(".failure").count() == 0


def test_pages_and_filters(desk: Desk) -> None:
    page = desk.open("#users")
    expect(names(desk)).to_have_count(50)
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text(re.compile(r"^51\D+\d+ of"))).to_be_visible()
    assert "offset=50" in page.url
    page.get_by_label("Type").select_option("install")
    expect(names(desk)).to_have_count(3)
    assert "offset" not in page.url
    page.get_by_label("Type").select_option("")
    page.get_by_label("Tier").select_option("pro")
    expect(names(desk)).to_have_text([re.compile("user:person-03")])
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("searchbox").fill("person-4")
    expect(names(desk)).to_have_count(10)
    page.get_by_role("searchbox").fill(HOSTILE)
    page.get_by_text("No account matches.").wait_for()
    page.get_by_role("button", name="Show all").click()
    expect(names(desk)).to_have_count(50)
    page.go_back()
    expect(page.get_by_role("searchbox")).to_have_value(HOSTILE)


def test_an_account_shows_what_it_has_its_ledger_and_its_jobs(desk: Desk) -> None:
    page = desk.open("#users?q=person-02")
    page.get_by_role("button", name="user:person-02").click()
    panel = page.get_by_role("dialog", name="user:person-02")
    expect(panel.get_by_role("table", name="Ledger of user:person-02")).to_contain_text("a welcome")
    panel.get_by_role("link", name="minutes-2").wait_for()
    assert "open=user" in page.url
    desk.screenshot("user")
    panel.get_by_role("link", name="minutes-2").click()
    page.get_by_role("dialog", name="Job minutes-2").wait_for()


def test_an_account_that_does_not_exist_is_said(desk: Desk) -> None:
    desk.expect("404", "400")
    page = desk.open("#users?open=user:nobody")
    page.get_by_role("dialog").get_by_role("alert").first.wait_for()


def test_credits_are_granted_and_shown_at_once(desk: Desk) -> None:
    before = row(desk, "user:person-40")["purchased"]
    act(desk, "user:person-40", "Grant", Credits="7", Reason="<i>sorry</i>")
    desk.page.get_by_text("7 credits granted to user:person-40").wait_for()
    assert row(desk, "user:person-40")["purchased"] == before + 7
    panel = desk.page.get_by_role("dialog", name="user:person-40")
    expect(panel.get_by_role("table", name=re.compile("Ledger"))).to_contain_text("<i>sorry</i>")
    desk.screenshot("user-granted")


def test_an_amount_that_makes_no_sense_never_leaves_the_browser(desk: Desk) -> None:
    page = desk.open("#users?open=user:person-41")
    page.get_by_role("button", name="Grant").click()
    dialog = page.get_by_role("dialog", name=re.compile("Grant"))
    sent: list[str] = []
    page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
    for amount in ("", "0", "-1", "1.5", "1000001"):
        dialog.get_by_label("Credits").fill(amount)
        dialog.get_by_role("button", name="Grant").click()
    assert sent == []
    assert dialog.count() == 1


def test_more_than_there_is_cannot_be_taken_and_the_dialog_says_so(desk: Desk) -> None:
    desk.expect("409", "422", "400")
    act(desk, "user:person-42", "Debit", Credits="999999", Reason="a test")
    dialog = desk.page.get_by_role("dialog").last
    dialog.get_by_role("alert").wait_for()
    assert "(req_" in dialog.get_by_role("alert").inner_text()
    desk.screenshot("debit-refused")
    dialog.get_by_label("Credits").fill("1")
    dialog.locator("button[type=submit]").click()
    desk.page.get_by_text("1 credit taken from user:person-42").wait_for()


def test_a_tier_is_changed(desk: Desk) -> None:
    act(desk, "user:person-43", "Tier", Tier="max", Days="30", Reason="a friend")
    desk.page.get_by_text("user:person-43 is in the tier max now.").wait_for()
    assert row(desk, "user:person-43")["tier_snapshot"] == "max"


def test_an_account_is_blocked_and_unblocked(desk: Desk) -> None:
    act(desk, "user:person-44", "Block", Reason="too loud")
    desk.page.get_by_text("user:person-44 is blocked.").wait_for()
    assert desk.live.analyze(user("person-44")).code == "blocked"
    page = desk.page
    page.keyboard.press("Escape")
    page.get_by_role("checkbox", name="blocked only").check()
    expect(names(desk)).to_have_text([re.compile("user:person-44")])
    act(desk, "user:person-44", "Unblock", Reason="it was a mistake")
    page.get_by_text("user:person-44 is not blocked any more.").wait_for()
    assert desk.live.analyze(user("person-44")).status == 200


def test_credits_are_moved_to_another_account(desk: Desk) -> None:
    to = row(desk, "user:person-46")["purchased"]
    act(desk, "user:person-45", "Move", To="user:person-46", Credits="5", Reason="a new phone")
    desk.page.get_by_text("Moved to user:person-46.").wait_for()
    assert row(desk, "user:person-46")["purchased"] == to + 5


def test_erasing_needs_the_name_typed(desk: Desk) -> None:
    credit(desk.live, "leaver", 5)
    page = desk.open("#users?open=user:leaver")
    page.get_by_role("button", name="Erase").click()
    dialog = page.get_by_role("dialog", name=re.compile("Erase"))
    dialog.get_by_label("Reason").fill("asked for it")
    button = dialog.get_by_role("button", name="Erase for ever")
    dialog.get_by_label(re.compile("^Type")).fill("user:leave")
    assert button.is_disabled()
    dialog.get_by_label(re.compile("^Type")).fill("user:leaver")
    desk.screenshot("erase")
    button.click()
    page.get_by_text("user:leaver is erased.").wait_for()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert desk.live.get("/admin/credits/user:leaver", desk.live.login()).status == 404
