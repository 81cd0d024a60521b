"""The tab Settings: values, keys, sessions, the audit log, test runs, and the way to wipe everything."""

import pytest

from tests.browser.conftest import desk_for
from tests.browser.history import HOSTILE
from tests.browser.test_accessibility import AXE, assert_usable
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import PASSWORD, running

VALUES = """
[limits]
requests_per_minute = 0
new_installs_per_address_per_hour = 0
concurrent_calls = 40
"""


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    with running(tmp_path_factory.mktemp("office"), [FakeBackend("studio")], limits=VALUES) as live:
        yield live


@pytest.fixture
def desk(browser, office):
    desk = desk_for(browser, office)
    yield desk
    desk.context.close()
    assert desk.troubles == []


@pytest.fixture
def others(office):
    """What another operator saves meanwhile."""
    admin = office.login()

    def save(**changes):
        version = office.get("/admin/settings", admin).json["version"]
        body = {"version": version, "changes": {key.replace("__", "."): value for key, value in changes.items()}}
        reply = office.call("PUT", "/admin/settings", headers=admin, json=body)
        assert reply.status == 200, reply.body

    return save


def setting(live, key):
    rows = live.get("/admin/settings", live.login()).json["settings"]
    return next(row for row in rows if row["key"] == key)


def told(page, text):
    page.get_by_text(text).first.wait_for()


def submit(page, button, **typed):
    """Fill the open dialog and press its button."""
    box = page.get_by_role("dialog").last
    for label, text in typed.items():
        box.get_by_label(label).fill(text)
    box.get_by_role("button", name=button, exact=True).click()


def save(page):
    page.get_by_role("region", name="Unsaved changes").get_by_role("button", name="Save").click()


def end_sessions(live):
    live.call("POST", "/admin/logout", headers=live.login(), json={"everywhere": True})
    del live.shared_cookie


def test_a_value_is_changed_saved_and_reset(desk, office) -> None:
    page = desk.open("#settings?group=Limits")
    field = page.get_by_label("Concurrent calls")
    assert field.input_value() == "40"
    told(page, "from plugins.toml, takes effect at once")
    field.fill("50")
    told(page, "1 change not saved")
    desk.screenshot("settings-unsaved")
    save(page)
    told(page, "Saved 1 setting. In force now.")
    assert office.core.settings.limits.concurrent_calls == 50
    told(page, "from the dashboard")
    page.get_by_role("button", name="Reset limits.concurrent_calls").click()
    told(page, "Goes back to plugins.toml: 40")
    save(page)
    page.get_by_role("button", name="Reset limits.concurrent_calls").wait_for(state="detached")
    assert setting(office, "limits.concurrent_calls")["source"] == "file"
    page.get_by_text("Earlier changes").click()
    page.locator(".saves ins", has_text="50").wait_for()


def test_what_takes_a_restart_says_so(desk, office) -> None:
    page = desk.open("#settings?group=Jobs")
    page.get_by_label("Workers").fill("5")
    save(page)
    told(page, "Saved 1 setting. 1 of them take effect after a restart.")
    told(page, "waits for a restart")
    told(page, "Saved, and waiting for a restart of the relay: jobs.workers.")
    page.get_by_role("button", name="Reset jobs.workers").click()
    save(page)
    page.get_by_text("waits for a restart").wait_for(state="detached")


def test_wrong_values_say_what_is_wrong_beside_their_field(desk, office) -> None:
    page = desk.open("#settings?group=Retention")
    page.get_by_label("Jobs days").fill("many")
    save(page)
    told(page, "Write a whole number.")
    desk.expect("422")
    page.get_by_label("Jobs days").fill("0")
    save(page)
    page.locator(".setting .problem", has_text="jobs_days").wait_for()
    page.get_by_role("button", name="Discard").click()
    assert page.get_by_label("Jobs days").input_value() == "30"


def test_unlimited_switches_lists_and_texts_are_saved_as_such(desk, office) -> None:
    page = desk.open("#settings?group=Quotas")
    card = page.get_by_role("region", name="Tier pro")
    card.get_by_label("Monthly credits").fill("")
    page.get_by_role("link", name="Payments", exact=True).last.click()
    page.get_by_label("Grant late").check()
    page.get_by_label("On amount drift").select_option("grant")
    page.get_by_label("payment.credited").check()
    page.get_by_role("link", name="Prompts").click()
    page.get_by_label("Recap").fill(HOSTILE)
    told(page, "5 changes not saved")
    save(page)
    told(page, "Saved 5 settings.")
    settings = office.core.settings
    assert settings.tiers["pro"].monthly_credits is None
    assert settings.reconcile.grant_late is True
    assert settings.reconcile.on_amount_drift == "grant"
    assert settings.events.kinds == ("payment.credited",)
    assert setting(office, "prompts.recap")["value"] == HOSTILE
    assert page.locator("#main img").count() == 0


def test_unsaved_changes_wait_in_another_tab_and_are_warned_about(desk) -> None:
    page = desk.open("#settings?group=Limits")
    page.get_by_label("Requests per minute").fill("77")
    desk.tab("Overview")
    told(page, "1 change of settings not saved: kept here until you come back.")
    asked = []
    page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.close(run_before_unload=True)
    page.wait_for_timeout(300)
    assert asked == ["beforeunload"]
    desk.tab("Settings")
    told(page, "1 change not saved")
    page.goto(f"{desk.url}/dashboard#settings?group=Limits")
    assert page.get_by_label("Requests per minute").input_value() == "77"
    page.get_by_role("button", name="Discard").click()


def test_two_operators_choose_key_by_key(desk, office, others) -> None:
    page = desk.open("#settings?group=Limits")
    page.get_by_label("Concurrent calls").fill("11")
    page.get_by_label("Requests per minute").fill("12")
    page.get_by_label("New installs per address per hour").fill("13")
    others(limits__concurrent_calls=21, limits__requests_per_minute=22)
    desk.expect("409")
    save(page)
    box = page.get_by_role("dialog", name="Somebody else saved settings meanwhile")
    box.wait_for()
    assert box.get_by_role("button", name="2 still to choose").is_disabled()
    desk.screenshot("settings-conflict")
    box.get_by_role("group", name="Limits: Concurrent calls").get_by_label("Keep mine").check()
    box.get_by_role("group", name="Limits: Requests per minute").get_by_label("Take theirs").check()
    assert "22" in box.get_by_role("group", name="Limits: Requests per minute").inner_text()
    box.get_by_role("button", name="Save", exact=True).click()
    told(page, "Saved 2 settings.")
    limits = office.core.settings.limits
    assert (limits.concurrent_calls, limits.requests_per_minute) == (11, 22)
    assert limits.new_installs_per_address_per_hour == 13
    others(limits__requests_per_minute=0, limits__new_installs_per_address_per_hour=0, limits__concurrent_calls=0)


def test_a_session_that_ends_loses_no_setting(desk, office) -> None:
    page = desk.open("#settings?group=Limits")
    page.get_by_label("Concurrent calls").fill("99")
    desk.expect("401")
    end_sessions(office)
    save(page)
    told(page, "Your session has ended.")
    page.get_by_label("Admin password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    told(page, "1 change not saved")
    assert page.get_by_label("Concurrent calls").input_value() == "99"
    save(page)
    told(page, "Saved 1 setting.")
    assert office.core.settings.limits.concurrent_calls == 99


def test_settings_are_found_by_a_word(desk) -> None:
    page = desk.open("#settings")
    page.get_by_label("Search all settings").fill("megabytes")
    page.get_by_label("Max upload (MB)").wait_for()
    page.get_by_label("Search all settings").fill("no such thing")
    told(page, "No setting matches “no such thing”.")


def test_a_key_is_made_shown_once_used_and_revoked(desk, office) -> None:
    page = desk.open("#settings?view=access")
    page.get_by_role("button", name="New key…").click()
    page.get_by_label("Role").select_option("read-only")
    submit(page, "Make the key", **{"What it is for": "Grafana <b>"})
    box = page.get_by_role("dialog", name="The key for “Grafana <b>”")
    key = box.locator(".secret code").inner_text()
    assert key.startswith("ks_")
    desk.screenshot("settings-key")
    holder = {"Authorization": f"Bearer {key}"}
    assert office.get("/admin/payments", holder).status == 200
    assert office.call("POST", "/admin/reconcile", headers=holder, json={}).status == 403
    box.get_by_role("button", name="I have copied it").click()
    assert key not in page.content()
    page.get_by_role("button", name="Revoke Grafana <b>").click()
    submit(page, "Revoke")
    told(page, "is revoked.")
    assert office.get("/admin/payments", holder).status == 401


def test_a_browser_is_logged_out_from_the_list_of_sessions(desk, office) -> None:
    page = desk.open("#settings?view=access")
    told(page, "this browser")
    other = office.login()
    page.reload()
    page.get_by_role("button", name="Log out the browser at").first.click()
    told(page, "That browser is logged out.")
    assert office.get("/admin/payments", other).status == 401


def test_log_out_everywhere_ends_this_session_too(browser, office) -> None:
    desk = desk_for(browser, office)
    desk.expect("401")
    page = desk.enter("#settings?view=access")
    page.get_by_role("button", name="Log out everywhere…").click()
    submit(page, "Log out everywhere")
    page.get_by_label("Admin password").wait_for()
    del office.shared_cookie
    desk.context.close()
    assert desk.troubles == []


def test_the_password_form_says_what_is_wrong(desk) -> None:
    page = desk.open("#settings?view=access")
    page.get_by_label("Present password").fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill("one long new password")
    page.get_by_label("New password again").fill("another long new password")
    page.get_by_role("button", name="Change the password").click()
    told(page, "The new password and its repetition differ.")
    desk.expect("409")
    page.get_by_label("New password again").fill("one long new password")
    page.get_by_role("button", name="Change the password").click()
    told(page, "It can only be changed there.")


def test_the_audit_log_tells_before_and_after(desk, others) -> None:
    others(limits__concurrent_calls=31)
    page = desk.open("#settings?view=audit&q=limits.concurrent_calls")
    row = page.locator("tbody tr").first
    row.wait_for()
    assert "Settings: changed" in row.inner_text()
    assert row.locator("ins").inner_text() == "31"
    assert row.locator("del").count() == 1
    desk.screenshot("settings-audit")
    page.get_by_label("Search by who").fill("nothing-like-it")
    told(page, "Nothing matches.")


def test_plugins_and_the_configuration_are_shown_without_secrets(desk) -> None:
    page = desk.open("#settings?view=plugins")
    page.get_by_role("region", name="jsonfile").wait_for()
    assert "keeps the books" in page.get_by_role("region", name="jsonfile").inner_text()
    page.get_by_role("button", name="Ask them all now").click()
    told(page, "Installed and not switched on")
    page.get_by_role("link", name="Configuration").click()
    page.get_by_role("region", name="plugins.operator_key").get_by_text("••••").wait_for()
    assert "operator-key-for-tests" not in page.content()
    page.get_by_label("Search the configuration").fill("reserve_threads")
    page.get_by_role("region", name="tiers.core").wait_for(state="detached")


def test_the_backends_are_tried_and_a_prompt_is_put_in_use(desk, office) -> None:
    page = desk.open("#settings?view=backends")
    page.get_by_role("button", name="Run", exact=True).click()
    told(page, "The test run has ended.")
    assert page.locator("tbody tr").count() == 2
    assert "Speech to text" in page.locator("tbody").inner_text()
    page.locator("tbody meter").first.wait_for()
    desk.screenshot("settings-test-run")
    page.get_by_label("Prompt", exact=True).fill("Summarise it in one sentence.")
    page.get_by_role("button", name="Try it").click()
    told(page, "studio answered in")
    page.get_by_role("button", name="Put it in use").click()
    told(page, "This prompt is in use from now on.")
    assert setting(office, "prompts.meeting_summary")["value"] == "Summarise it in one sentence."


def test_settings_are_of_use_on_a_phone_in_the_dark(browser, office) -> None:
    desk = desk_for(
        browser,
        office,
        viewport={"width": 400, "height": 860},
        is_mobile=True,
        has_touch=True,
        color_scheme="dark",
        reduced_motion="reduce",
    )
    views = [f"group={group}" for group in ("Quotas", "Payments", "Prompts", "Server")]
    views += [f"view={view}" for view in ("plugins", "backends", "access", "audit", "config", "wipe")]
    for view in views:
        page = desk.open(f"#settings?{view}")
        page.locator("#main .card, #main tbody tr").first.wait_for()
        desk.assert_fits()
        desk.screenshot(f"settings-{view.partition('=')[2].lower()}-phone")
        if AXE.exists():
            assert_usable(desk)
    desk.context.close()
    assert desk.troubles == []


def test_everything_is_wiped_only_after_typing(desk, office) -> None:
    office.credits("inst-gone")
    assert office.analyze("inst-gone").status == 200
    page = desk.open("#settings?view=wipe")
    page.get_by_role("button", name="Wipe everything…").click()
    box = page.get_by_role("dialog", name="Wipe everything")
    assert box.get_by_role("button", name="Wipe everything", exact=True).is_disabled()
    submit(page, "Wipe everything", **{"Type “wipe all” to go on": "wipe all"})
    told(page, "Everything is wiped.")
    assert office.row("inst:inst-gone") is None
