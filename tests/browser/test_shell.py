"""The shell: the way in and out, the tabs, the address, colours, keys, and what happens when the relay goes away."""

from __future__ import annotations

import re

import pytest

from tests.browser.conftest import Desk, desk_for, expect
from tests.flows.live import PASSWORD, running

TABS = ["Overview", "Jobs", "Users", "Payments", "Internal Meetings", "Settings"]
TRANSFERRED_BYTES = 150_000


def selected(desk: Desk) -> str:
    return desk.page.locator('[role="tab"][aria-selected="true"]').inner_text()


def test_a_wrong_password_is_said_and_can_be_mended(desk: Desk) -> None:
    desk.expect("401")
    page = desk.page
    page.goto(f"{desk.url}/dashboard")
    field = page.get_by_label("Admin password")
    assert field.evaluate("(input) => input === document.activeElement"), "one can type at once"
    field.fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("wrong password").wait_for()
    assert field.input_value() == ""
    desk.screenshot("login-wrong")
    field.fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("tab", name="Overview").wait_for()


def test_the_password_is_not_in_the_address_or_the_page(desk: Desk) -> None:
    page = desk.enter()
    assert PASSWORD not in page.url
    assert PASSWORD not in page.content()
    assert page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])") == '[{},{},""]'


@pytest.mark.parametrize("name", TABS)
def test_each_tab_opens_and_has_its_address(desk: Desk, name: str) -> None:
    desk.open()
    page = desk.tab(name)
    desk.settle()
    assert selected(desk) == name
    assert page.title() == f"{name} · Relay"
    slug = name.lower().replace(" ", "-")
    assert page.url.endswith(f"#{slug}") or slug == "overview"
    assert page.locator('[role="tab"]').all_inner_texts() == TABS
    assert page.locator('[role="tabpanel"]').get_attribute("aria-labelledby") == f"tab-{slug}"
    assert page.locator(".failure").count() == 0, page.locator(".failure").all_inner_texts()
    desk.assert_fits()
    desk.screenshot(slug)


@pytest.mark.parametrize("name", TABS)
def test_each_tab_is_useful_on_a_phone(phone: Desk, name: str) -> None:
    phone.open()
    phone.tab(name)
    phone.settle()
    phone.assert_fits()
    phone.screenshot(f"phone-{name.lower().replace(' ', '-')}")


@pytest.mark.parametrize("name", TABS)
def test_each_tab_in_the_dark(dark: Desk, name: str) -> None:
    dark.open()
    dark.tab(name)
    dark.settle()
    red, green, blue = map(
        int, re.findall(r"\d+", dark.page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]
    )
    assert red + green + blue < 150
    dark.screenshot(f"dark-{name.lower().replace(' ', '-')}")


def test_back_and_forward_walk_through_the_tabs(desk: Desk) -> None:
    page = desk.open()
    desk.tab("Users")
    desk.tab("Jobs")
    page.go_back()
    expect(page).to_have_title(re.compile("^Users"))
    page.go_back()
    expect(page).to_have_title(re.compile("^Overview"))
    page.go_forward()
    expect(page).to_have_title(re.compile("^Users"))
    assert selected(desk) == "Users"


def test_an_address_that_means_nothing_opens_the_overview(desk: Desk) -> None:
    for hash_ in ("#nothing", "#<img src=x onerror=alert(1)>", "#?x=%", "#users%00"):
        desk.open(hash_)
        assert selected(desk) == "Overview"
        desk.page.goto("about:blank")


def test_the_way_back_from_a_payment_service_ends_at_a_clean_address(desk: Desk) -> None:
    desk.expect("404")  # there is no BTCPay behind this relay
    desk.open()
    desk.page.goto(f"{desk.url}/dashboard?btcpay=connected#payments")
    desk.page.wait_for_selector('[role="tab"]')
    assert selected(desk) == "Payments"
    assert "?btcpay" not in desk.page.url.partition("#")[0]


def test_logging_out_ends_the_session_and_nothing_stays_behind(desk: Desk) -> None:
    desk.expect("401")
    page = desk.enter("#users")
    page.get_by_text("user:person-").first.wait_for()
    page.get_by_role("button", name="Log out").click()
    page.get_by_text("You have logged out.").wait_for()
    assert "user:person" not in page.content()
    page.reload()
    page.get_by_label("Admin password").wait_for()


def test_an_expired_session_asks_for_the_password_and_goes_on_where_one_was(desk: Desk) -> None:
    desk.expect("401")
    page = desk.open("#users?q=person-07")
    page.get_by_role("button", name="user:person-07").wait_for()
    desk.context.clear_cookies()
    page.get_by_role("button", name="Total", exact=False).first.click()
    page.get_by_text("Your session has ended").wait_for()
    desk.screenshot("expired")
    page.get_by_label("Admin password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="user:person-07").wait_for()
    assert "q=person-07" in page.url
    assert selected(desk) == "Users"


def test_a_tab_left_open_over_a_login_in_another_goes_on(desk: Desk) -> None:
    desk.expect("403")
    page = desk.enter("#users?open=user:person-20")
    page.get_by_role("button", name="Grant").wait_for()
    other = desk.context.new_page()
    desk.context.clear_cookies()
    other.goto(f"{desk.url}/dashboard")
    other.get_by_label("Admin password").fill(PASSWORD)
    other.keyboard.press("Enter")
    other.wait_for_selector('[role="tab"]')
    # The first tab still has the CSRF token of a session that is not its own any more.
    page.get_by_role("button", name="Grant").click()
    page.get_by_label("Credits", exact=True).fill("3")
    page.get_by_role("dialog").last.get_by_role("button", name="Grant").click()
    page.get_by_text("3 credits granted to user:person-20").wait_for()


def test_the_tabs_and_a_dialog_work_with_the_keyboard_alone(desk: Desk) -> None:
    page = desk.open()
    desk.settle()
    keys = page.keyboard
    page.evaluate("document.activeElement.blur()")
    keys.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    keys.press("Tab")
    assert page.evaluate("document.activeElement.id") == "tab-overview"
    keys.press("ArrowRight")
    keys.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-users"
    keys.press("End")
    assert selected(desk) == "Settings"
    keys.press("ArrowRight")
    assert selected(desk) == "Overview", "it goes round"
    keys.press("ArrowRight")
    keys.press("ArrowRight")
    row = page.get_by_role("button", name=re.compile("user:person-"))
    row.first.wait_for()
    opener = row.first.inner_text()
    row.first.focus()
    keys.press("Enter")
    page.get_by_role("dialog", name=opener).wait_for()
    grant = page.get_by_role("button", name="Grant")
    grant.focus()
    keys.press("Enter")
    page.get_by_role("dialog", name=re.compile("Grant credits")).wait_for()
    for _ in range(12):
        keys.press("Tab")
        inside = "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        assert page.evaluate(inside), "the focus left the dialog"
    keys.press("Escape")
    expect(grant).to_be_focused()
    keys.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name=opener)).to_be_focused()
    keys.press("Enter")
    page.get_by_role("button", name="Close", exact=True).press("Enter")
    expect(page.get_by_role("button", name=opener)).to_be_focused()


def test_the_colours_can_be_chosen_and_are_remembered(desk: Desk) -> None:
    page = desk.open()
    button = page.get_by_role("button", name="Colours")
    button.click()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    button.click()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    page.reload()
    page.wait_for_selector('[role="tab"]')
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    button.click()
    assert page.evaluate("document.documentElement.dataset.theme") is None


def test_a_relay_that_goes_away_is_said_and_found_again(browser, tmp_path) -> None:
    with running(tmp_path) as live:
        desk = desk_for(browser, live)
        desk.expect("ERR_INTERNET_DISCONNECTED")
        page = desk.open("#users")
        page.get_by_text("There is no account yet").wait_for()
        desk.screenshot("users-empty")
        desk.context.set_offline(True)
        page.get_by_role("checkbox", name="blocked only").check()
        page.get_by_text("The relay cannot be reached").wait_for()
        desk.screenshot("unreachable")
        desk.context.set_offline(False)
        page.get_by_role("button", name="Try again").click()
        page.get_by_text("No account matches").wait_for()
        desk.context.close()
        assert desk.troubles == []


def test_a_page_from_before_an_upgrade_says_that_it_must_be_loaded_again(desk: Desk) -> None:
    desk.expect("404")
    page = desk.open()
    page.route(re.compile(r"/tabs/users\.js$"), lambda route: route.fulfill(status=404, json={"ok": False}))
    desk.tab("Users")
    page.get_by_text("load the page again").wait_for()
    assert page.get_by_role("tab").count() == len(TABS), "the other tabs still work"
    desk.tab("Jobs")
    page.get_by_role("heading", name="History").wait_for()


def test_messages_are_read_out_and_can_be_closed(desk: Desk) -> None:
    page = desk.open("#users?open=user:person-21")
    page.get_by_role("button", name="Grant").click()
    page.get_by_label("Credits", exact=True).fill("2")
    page.get_by_role("dialog").last.get_by_role("button", name="Grant").click()
    page.locator('[aria-live="polite"]').get_by_text("2 credits granted").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Close this message").click()
    expect(page.locator(".toast")).to_have_count(0)


def test_the_first_view_is_small(desk: Desk) -> None:
    """Everything the overview needs, the API's answers among it. The first paint is printed, not asserted."""
    sizes: dict[str, int] = {}
    desk.context.clear_cookies()
    desk.open()
    desk.page.on("requestfinished", lambda request: sizes.update({request.url: request.sizes()["responseBodySize"]}))
    client = desk.context.new_cdp_session(desk.page)
    client.send("Network.clearBrowserCache")
    desk.page.reload()
    desk.page.wait_for_selector("canvas")
    desk.settle()
    paint = desk.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    print(f"first paint {paint:.0f} ms, {len(sizes)} requests, {sum(sizes.values())} bytes")
    assert any(url.endswith("uplot.js") for url in sizes)
    assert sum(sizes.values()) < TRANSFERRED_BYTES
