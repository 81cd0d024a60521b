"""A browser on a real relay. Every page is watched: what goes wrong in it fails its test.

All browser tests are one xdist group, so that they share one browser and one relay with some history.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from relay.http.admin.guard import COOKIE
from tests.browser.history import make_history
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import PASSWORD, Live, running

try:
    from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
except ImportError:
    expect = sync_playwright = None

CHROMIUM = shutil.which("chromium")
MISSING = (
    "playwright is not installed (make test installs it)"
    if sync_playwright is None
    else "Debian's chromium is not installed (apt-get install chromium)"
    if CHROMIUM is None
    else None
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 15_000
"""A loaded machine is slow; what is there at once costs no wait."""
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))
            if MISSING is not None and "browser" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason=MISSING))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def house(tmp_path_factory) -> Iterator[Live]:
    """A relay with accounts, jobs that went well, failed and wait, and hostile names among them."""
    backends = [FakeBackend("studio"), FakeBackend("cloud", cost_class="gemini")]
    with running(tmp_path_factory.mktemp("house"), backends) as live:
        make_history(live, backends[0])
        yield live


@dataclass
class Desk:
    """One operator's browser. `page` is its tab; `troubles` is what went wrong in it and fails the test.

    A test that provokes an error names it first: `desk.expect("401")` lets console lines with that pattern pass.
    """

    live: Live
    context: BrowserContext
    page: Page
    troubles: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.live.port}"

    def expect(self, *patterns: str) -> None:
        self.expected += patterns

    def trouble(self, text: str) -> None:
        if not any(re.search(pattern, text) for pattern in self.expected):
            self.troubles.append(text)

    def open(self, hash_: str = "") -> Page:
        """The dashboard at this hash, in the session that the tests of one relay share: a login costs its hash."""
        for _ in range(2):
            if not hasattr(self.live, "shared_cookie"):
                self.live.shared_cookie = self.live.login()["Cookie"].partition("=")[2]
            self.context.add_cookies([{"name": COOKIE, "value": self.live.shared_cookie, "url": self.url}])
            self.page.goto(f"{self.url}/dashboard{hash_}")
            self.page.wait_for_selector('[role="tab"], form.login')
            if not self.page.locator("form.login").count():
                break
            del self.live.shared_cookie  # a test has ended that session
        self.page.wait_for_selector('[role="tab"]')
        return self.page

    def enter(self, hash_: str = "") -> Page:
        """The same through the form, in a session of its own."""
        self.page.goto(f"{self.url}/dashboard{hash_}")
        self.page.get_by_label("Admin password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_selector('[role="tab"]')
        return self.page

    def settle(self) -> None:
        """Wait until nothing on the page is loading. (Not wait_for_function: the page forbids eval.)"""
        self.page.wait_for_selector("#main > *")
        expect(self.page.locator("#main .spinner")).to_have_count(0)

    def tab(self, name: str) -> Page:
        self.page.get_by_role("tab", name=name, exact=True).click()
        return self.page

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        whole = self.page.locator("dialog").count() == 0
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)

    def assert_fits(self) -> None:
        """Nothing is wider than the window."""
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"the page is {wide} pixels too wide"


def desk_for(browser: Browser, live: Live, **options: Any) -> Desk:
    """A fresh browser session on this relay. `options`: playwright's, such as viewport and color_scheme."""
    options = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", "timezone_id": "UTC"} | options
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    desk = Desk(live, context, context.new_page())
    page = desk.page
    page.on("console", lambda line: line.type == "error" and desk.trouble(f"console: {line.text} {line.location}"))
    page.on("pageerror", lambda error: desk.trouble(f"page error: {error}"))
    page.on("requestfailed", lambda request: _failed(desk, request))
    context.on("request", lambda request: _left_the_host(desk, request.url))
    context.expose_function("reportViolation", lambda text: desk.trouble(f"csp: {text}"))
    context.add_init_script(
        "addEventListener('securitypolicyviolation', (e) => reportViolation(`${e.violatedDirective} ${e.blockedURI}`))"
    )
    return desk


def _left_the_host(desk: Desk, url: str) -> None:
    if not url.startswith((desk.url + "/", "blob:", "data:")):
        desk.trouble(f"a request left the host: {url}")


def _failed(desk: Desk, request: Any) -> None:
    # What the page itself gave up, because the tab was left or the words of a search changed, is no trouble.
    if request.failure != "net::ERR_ABORTED":
        desk.trouble(f"request failed: {request.url} {request.failure}")


@pytest.fixture
def desk(browser: Browser, house: Live) -> Iterator[Desk]:
    desk = desk_for(browser, house)
    yield desk
    desk.context.close()
    assert desk.troubles == []


@pytest.fixture
def phone(browser: Browser, house: Live) -> Iterator[Desk]:
    desk = desk_for(browser, house, viewport={"width": 400, "height": 860}, has_touch=True, is_mobile=True)
    yield desk
    desk.context.close()
    assert desk.troubles == []


@pytest.fixture
def dark(browser: Browser, house: Live) -> Iterator[Desk]:
    desk = desk_for(browser, house, color_scheme="dark")
    yield desk
    desk.context.close()
    assert desk.troubles == []
