"""axe-core looks at every tab, the login, a panel, a dialog and the page at `/`, light and dark."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.conftest import Desk, desk_for

AXE = Path(__file__).parents[1] / "clients" / "node_modules" / "axe-core" / "axe.min.js"
pytestmark = pytest.mark.skipif(
    not AXE.exists(), reason="needs axe-core, which `npm ci --prefix tests/clients` installs"
)
TABS = ["overview", "jobs", "users", "payments", "internal-meetings", "settings"]
RUN = "axe.run(document, { resultTypes: ['violations'] })"


def assert_usable(desk: Desk) -> None:
    """Serious and critical violations fail; what is shown is the rule and where."""
    # Through the debugger: the page's own policy allows no script but its own.
    desk.page.evaluate(AXE.read_text(encoding="utf-8") + "; void 0")
    found = desk.page.evaluate(RUN)["violations"]
    bad = [
        f"{rule['impact']} {rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found
        if rule["impact"] in {"serious", "critical"}
        for node in rule["nodes"]
    ]
    assert bad == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("tab", TABS)
def test_each_tab_is_usable(browser, house, tab: str, theme: str) -> None:
    desk = desk_for(browser, house, color_scheme=theme, reduced_motion="reduce")
    desk.open(f"#{tab}")
    desk.settle()
    if tab == "overview":
        desk.page.wait_for_selector("canvas")
        desk.page.get_by_text("Errors as a table").click()
    assert_usable(desk)
    desk.context.close()


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("what", ["users?open=user:person-00", "jobs?q=hostile"])
def test_panels_and_dialogs_are_usable(browser, house, what: str, width: int) -> None:
    options = {"viewport": {"width": width, "height": 900}, "reduced_motion": "reduce"}
    desk = desk_for(browser, house, **options)
    page = desk.open(f"#{what}")
    if what.startswith("jobs"):
        page.get_by_role("button", name="hostile-answer").click()
        page.get_by_role("button", name="Show the output").click()
        page.get_by_role("button", name="Copy").wait_for()
    else:
        page.get_by_role("table", name="Jobs of user:person-00").wait_for()
    assert_usable(desk)
    desk.assert_fits()
    page.get_by_role("button", name="Refund" if what.startswith("jobs") else "Debit").click()
    assert_usable(desk)
    desk.context.close()


@pytest.mark.parametrize("path", ["/dashboard", "/"])
def test_the_pages_before_the_login_are_usable(browser, house, path: str) -> None:
    desk = desk_for(browser, house, reduced_motion="reduce")
    desk.page.goto(desk.url + path)
    desk.page.wait_for_selector("h1")
    assert_usable(desk)
    desk.context.close()
