"""Jobs: what runs now, the history with its filters, one job in detail."""

from __future__ import annotations

import re
import threading

import pytest

from tests.browser.conftest import Desk, desk_for, expect
from tests.browser.history import HOSTILE
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import Live, eventually, install, running, user


def rows(desk: Desk, table: str = "Jobs that are over"):
    return desk.page.get_by_role("table", name=table).locator("tbody tr")


def test_the_history_is_filtered_by_the_address_and_by_hand(desk: Desk) -> None:
    page = desk.open("#jobs?state=failed")
    expect(rows(desk)).to_have_count(1)
    expect(rows(desk).first).to_contain_text("upstream_failed")
    assert page.get_by_label("State").input_value() == "failed"
    page.get_by_label("State").select_option("completed")
    page.get_by_label("Task").select_option("transcribe")
    expect(rows(desk)).to_have_count(12)
    assert "state=completed" in page.url
    assert "task=transcribe" in page.url
    page.get_by_role("searchbox").fill("recording-3")
    expect(rows(desk)).to_have_count(1)
    page.get_by_role("searchbox").fill("nothing like it")
    page.get_by_text("No job matches these filters.").wait_for()
    desk.screenshot("jobs-none")
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_text("No job matches")).to_have_count(0)
    assert page.url.endswith("#jobs")
    expect(page.get_by_role("searchbox")).to_have_value("")


def test_the_days_of_the_history_can_be_chosen(desk: Desk) -> None:
    desk.open("#jobs?to=2001-01-01")
    desk.page.get_by_text("No job matches these filters.").wait_for()


def test_one_job_says_who_tried_what_it_cost_and_what_it_answered(desk: Desk) -> None:
    page = desk.open("#jobs")
    page.get_by_role("button", name="hostile-answer").click()
    panel = page.get_by_role("dialog", name="Job hostile-answer")
    expect(panel).to_contain_text("user:person-00")
    expect(panel).to_contain_text("answered")
    expect(panel.locator("svg rect.good")).to_have_count(1)
    expect(panel).to_contain_text(re.compile("credit", re.IGNORECASE))
    panel.get_by_role("button", name=re.compile("Show the output")).click()
    expect(panel.locator("pre")).to_have_text(HOSTILE)
    assert panel.locator("img").count() == 0
    desk.screenshot("job")
    panel.get_by_role("button", name="Copy").click()
    panel.get_by_role("button", name="Copied").wait_for()
    panel.get_by_role("link", name="user:person-00").click()
    page.get_by_role("dialog", name="user:person-00").wait_for()


def test_a_link_to_a_job_opens_it_and_closing_it_cleans_the_address(desk: Desk) -> None:
    session = desk.live.login()
    job = desk.live.get("/admin/jobs-history?q=broken", session).json["rows"][0]["job_id"]
    page = desk.open(f"#jobs?job={job}")
    panel = page.get_by_role("dialog", name="Job broken")
    expect(panel).to_contain_text("upstream_failed")
    expect(panel.locator("svg rect.failed")).not_to_have_count(0)
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_have_count(0)
    assert "job=" not in page.url
    page.go_back()
    panel.wait_for()


@pytest.mark.parametrize("job", ["job_nothing", "../credits", "%2e%2e%2fcredits", HOSTILE, "x" * 3000])
def test_a_job_that_does_not_exist_is_said(desk: Desk, job: str) -> None:
    desk.expect("404", "400", "431", "414")
    page = desk.open()
    page.evaluate("(job) => { location.hash = `#jobs?job=${encodeURIComponent(job)}` }", job)
    page.get_by_role("dialog").get_by_role("alert").wait_for()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_charge_is_given_back_with_a_reason(desk: Desk) -> None:
    who = user("person-30")
    assert desk.live.analyze(who, job="to-refund").status == 200
    before = desk.live.credits(who)["total"]
    page = desk.open("#jobs?q=to-refund")
    page.get_by_role("button", name="to-refund").click()
    panel = page.get_by_role("dialog", name="Job to-refund")
    panel.get_by_role("button", name="Refund").click()
    asking = page.get_by_role("dialog", name="Give the credit back")
    asking.get_by_role("button", name="Refund").click()
    assert asking.count() == 1, "it needs a reason"
    asking.get_by_label("Reason").fill("the summary was useless")
    asking.get_by_role("button", name="Refund").click()
    page.get_by_text("The credit has been given back.").wait_for()
    expect(panel.get_by_role("button", name="Refund")).to_have_count(0)
    assert desk.live.credits(who)["total"] == before + 1


@pytest.fixture
def small(tmp_path):
    """A relay of its own that works on one job at a time."""
    backend = FakeBackend("slow", max_concurrent=1)
    with running(tmp_path, [backend], settings="[jobs]\nworkers = 1\n") as live:
        yield live, backend


def test_what_runs_and_waits_now_is_shown_and_can_be_cancelled(browser, small: tuple[Live, FakeBackend]) -> None:
    live, backend = small
    backend.gate = threading.Event()
    job = {"task": "analyze", "prompt": "Say something."}
    for n in range(2):
        headers = install(f"laptop-{n}") | {"X-Recap-Job-Id": f"background-{n}"}
        assert live.call("POST", "/relay/jobs", headers=headers, json=job).status == 202
    eventually(lambda: backend.running == 1)
    desk = desk_for(browser, live)
    page = desk.open("#jobs")
    shown = rows(desk, "Running and waiting jobs")
    expect(shown).to_have_count(2)
    expect(page.get_by_role("region", name="Now", exact=True)).to_contain_text("running")
    desk.screenshot("jobs-live")
    shown.filter(has_text="waiting").first.get_by_role("button").click()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the job").click()
    page.get_by_text("The job is being cancelled.").wait_for()
    page.keyboard.press("Escape")
    backend.gate.set()
    # It looks again by itself.
    expect(page.get_by_text("Nothing is running.")).to_be_visible(timeout=15_000)
    desk.context.close()
    assert desk.troubles == []


def test_older_jobs_are_a_page_away_and_back_works(browser, small: tuple[Live, FakeBackend]) -> None:
    live, _ = small
    for n in range(55):
        live.analyze(user(f"u{n % 9}"), job=f"call-{n:02}")
    desk = desk_for(browser, live)
    page = desk.open("#jobs")
    expect(rows(desk)).to_have_count(50)
    page.get_by_role("button", name="Older").click()
    expect(rows(desk)).to_have_count(5)
    assert page.get_by_role("button", name="Older").is_disabled()
    page.go_back()
    expect(rows(desk)).to_have_count(50)
    page.go_forward()
    expect(rows(desk)).to_have_count(5)
    page.get_by_role("button", name="Newest").click()
    expect(rows(desk)).to_have_count(50)
    desk.context.close()
    assert desk.troubles == []
