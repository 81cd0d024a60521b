"""Overview: what needs somebody, figures, charts, books, health; and that it looks again by itself."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.browser.conftest import Desk, expect
from tests.browser.history import HOSTILE

DASHBOARD = re.compile(r"/admin/dashboard$")


def changed(desk: Desk, **fields: Any) -> None:
    """Let the page see the real answer with these fields changed."""

    def answer(route: Any) -> None:
        body = route.fetch().json() | fields
        route.fulfill(json=body)

    desk.page.route(DASHBOARD, answer)


def test_the_figures_are_those_of_the_books(desk: Desk) -> None:
    today = desk.live.get("/admin/dashboard", desk.live.login()).json["totals"]["today"]
    assert today["calls"] > 20
    page = desk.open()
    for label, value in (("Calls today", today["calls"]), ("Credits charged today", today["charged"])):
        expect(page.locator(".figure", has_text=label).locator("strong")).to_have_text(str(value))
    expect(page.locator(".figure", has_text="Errors today")).to_contain_text("upstream_failed")
    page.get_by_role("link", name="Errors today").click()
    expect(page.get_by_role("tab", name="Jobs")).to_have_attribute("aria-selected", "true")
    assert "state=failed" in page.url


def test_every_chart_is_drawn_and_told_in_words_and_in_a_table(desk: Desk) -> None:
    page = desk.open()
    for title in ("Calls and credits", "Errors", "Latency", "Longest queue", "Money", "Credits sold and granted"):
        card = page.get_by_role("region", name=title, exact=True)
        card.locator("canvas").wait_for()
        assert title in card.get_by_role("img").get_attribute("aria-label")
    card = page.get_by_role("region", name="Calls and credits", exact=True)
    assert card.locator("table").count() == 0
    card.get_by_text("Calls and credits as a table").click()
    expect(card.locator("tbody tr")).to_have_count(48)
    calls = desk.live.get("/admin/dashboard", desk.live.login()).json["hours"][-1]["calls"]
    expect(card.locator("tbody tr").first.locator("td").nth(1)).to_have_text(str(calls))
    card.locator(".u-over").hover(position={"x": 40, "y": 40})
    expect(card.locator(".legend")).to_contain_text(re.compile("Calls 0"))


def test_the_span_of_the_charts_is_in_the_address(desk: Desk) -> None:
    page = desk.open()
    page.get_by_role("button", name="30 days").click()
    page.get_by_role("heading", name="Last 30 days").wait_for()
    assert page.url.endswith("#overview?span=days")
    page.get_by_text("Errors as a table").click()
    expect(page.get_by_role("region", name="Errors as a table").locator("tbody tr")).to_have_count(30)
    desk.screenshot("overview-30-days")


def test_alerts_are_words_with_a_link_and_hostile_ones_stay_words(desk: Desk) -> None:
    alerts = [
        {
            "id": "a",
            "level": "error",
            "text": f"The rail said {HOSTILE}",
            "at": "2026-01-01T00:00:00Z",
            "tab": "Payments",
        },
        {"id": "b", "level": "warning", "text": "A backend is failing.", "at": None, "tab": "Overview"},
    ]
    changed(desk, alerts=alerts)
    page = desk.open()
    found = page.get_by_role("list", name="Alerts").get_by_role("listitem")
    expect(found).to_have_count(2)
    expect(found.first).to_contain_text(HOSTILE)
    assert page.locator("#main img:not(.brand img)").count() == 0
    desk.screenshot("overview-alerts")
    found.first.get_by_role("link").click()
    expect(page.get_by_role("tab", name="Payments")).to_have_attribute("aria-selected", "true")


def test_books_that_differ_are_named_with_a_way_to_the_account(desk: Desk) -> None:
    books = {
        "balanced": False,
        "checked_at": "2026-01-01T00:00:00Z",
        "accounts": 1234,
        "progress": 0.5,
        "differing": [{"credit_key": "user:person-05", "difference": {"purchased": 1}}],
    }
    changed(desk, books=books)
    page = desk.open()
    section = page.get_by_role("region", name="Books")
    expect(section).to_contain_text("Books differ")
    expect(section).to_contain_text("50 %")
    section.get_by_role("link", name="user:person-05").click()
    page.get_by_role("dialog", name="user:person-05").wait_for()


def test_the_books_can_be_checked_now(desk: Desk) -> None:
    page = desk.open()
    page.get_by_role("button", name="Check now").click()
    page.get_by_text("The books are being checked.").wait_for()
    page.reload()
    expect(page.get_by_role("region", name="Books")).to_contain_text("Books balanced")


def test_backends_and_rails_say_in_words_how_they_are(desk: Desk) -> None:
    rails = [
        {"name": "btcpay", "state": "ok", "problem": None},
        {"name": "zaprite", "state": "down", "problem": f"it answered 500 {HOSTILE}"},
        {"name": "other", "state": "off", "problem": "not connected"},
    ]
    changed(desk, rails=rails)
    page = desk.open()
    shown = page.get_by_role("region", name="Payment rails")
    for words in ("well", "does not answer", "off", HOSTILE):
        expect(shown).to_contain_text(words)
    expect(page.get_by_role("region", name="Backends")).to_contain_text("studio")


def test_it_looks_again_every_ten_seconds_and_rests_while_nobody_looks(desk: Desk) -> None:
    asked: list[str] = []
    page = desk.page
    page.on("request", lambda request: DASHBOARD.search(request.url) and asked.append(request.url))
    page.clock.install()
    desk.open()
    page.get_by_text("Calls today").wait_for()
    first = len(asked)
    for n in (1, 2):
        page.clock.run_for(10_000)
        expect(page.locator("#main")).to_be_visible()
        assert len(asked) == first + n
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    page.clock.run_for(60_000)
    assert len(asked) == first + 2
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(200)
    assert len(asked) == first + 3
    desk.tab("Jobs")
    page.clock.run_for(60_000)
    assert len(asked) == first + 3, "a tab that is not shown asks nothing"


def test_a_failure_leaves_the_last_figures_and_can_be_tried_again(desk: Desk) -> None:
    desk.expect("503")
    page = desk.open()
    page.get_by_text("Calls today").wait_for()
    error = {"ok": False, "error": {"code": "storage_unavailable", "message": "the disk is full"}}
    page.route(
        DASHBOARD, lambda route: route.fulfill(status=503, body=json.dumps(error), headers={"X-Request-Id": "req_7"})
    )
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.get_by_text("the disk is full (req_7)").wait_for()
    assert page.get_by_text("Calls today").count() == 1
    page.unroute(DASHBOARD)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("the disk is full")).to_have_count(0)
