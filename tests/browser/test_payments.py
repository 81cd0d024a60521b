"""The tab Payments, with the sandbox's BTCPay as the outside world."""

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from relay.domain.deliveries import Delivery
from relay.domain.instants import utcnow
from relay.testing.sandbox import sandbox
from relay.testing.sandbox.btcpay import BTCPay
from tests.browser.conftest import desk_for
from tests.browser.history import HOSTILE
from tests.browser.test_accessibility import AXE, assert_usable
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import PASSWORD, eventually, install, running

SHOP = """
[[packages]]
id = "small"
credits = 20
price = "5.00"
currency = "USD"
[reconcile]
initial_delay_seconds = 0
interval_seconds = 3600
"""
PERMISSIONS = (
    "btcpay.store.cancreateinvoice",
    "btcpay.store.canviewinvoices",
    "btcpay.store.webhooks.canmodifywebhooks",
    "btcpay.store.canviewstoresettings",
)


@pytest.fixture(scope="module")
def box():
    with sandbox([BTCPay()]) as box:
        yield box


@pytest.fixture(scope="module")
def shop(tmp_path_factory, box):
    """A relay that sells through the sandbox's BTCPay."""
    plugins = f'[plugins.btcpay]\nurl = "{box.url}/btcpay"\n'
    with running(tmp_path_factory.mktemp("shop"), [FakeBackend()], settings=SHOP, plugins=plugins) as live:
        # The tests learn the port when it is open; BTCPay must find the way back.
        live.core.till.connecting._base = f"http://127.0.0.1:{live.port}"
        yield live


@pytest.fixture
def connected(shop, box):
    """The wizard's way without a browser, unless a store is connected already."""
    admin = shop.login()
    if not shop.get("/admin/btcpay/connect", admin).json["connection"]["connected"]:
        where = shop.call("POST", "/admin/btcpay/connect", headers=admin).json["redirect"]
        back = parse_qs(urlsplit(where).query)["redirect"][0]
        key = box["btcpay"].add_key([f"{name}:{next(iter(box['btcpay'].stores))}" for name in PERMISSIONS])
        form = [("apiKey", key["key"]), *[("permissions", name) for name in key["permissions"]]]
        assert requests.post(back, urlencode(form), headers=FORM, allow_redirects=False, timeout=10).status_code == 303
    return shop


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def desk(browser, connected):
    desk = desk_for(browser, connected)
    yield desk
    desk.context.close()
    assert desk.troubles == []


def bought(live, who, **body):
    """An order, as the operator sees it."""
    reply = live.call("POST", "/relay/credits/checkout", headers=install(who), json={"package": "small"} | body)
    assert reply.status == 201, reply.body
    return seen(live, reply.json["invoice"]["id"])


def seen(live, order):
    return live.get(f"/admin/payments/{order}", live.login()).json["payment"]


def look(live):
    assert live.core.till.reconciler.all().failed == 0


def paid_late(live, box, who, **body):
    """An order whose payment came after its end: the rules leave it to a person."""
    order = bought(live, who, **body)
    btcpay = box["btcpay"]
    btcpay.expire(order["invoice_id"])
    btcpay.pay(order["invoice_id"])
    btcpay.confirm(order["invoice_id"], 6)
    look(live)
    order = seen(live, order["id"])
    assert order["review"]["reason"] == "paid_late"
    return order


def change(live, order, **fields):
    """Change a stored order, as another rail or an older version would have left it."""
    live.core.storage.transact(lambda tx: tx.put("orders", order, {**tx.get("orders", order), **fields}))


def pay_in_silence(box, order):
    """Paid, but none of its webhooks arrives."""
    box["btcpay"].wait()
    box["btcpay"].disturb("drop", times=3)
    box["btcpay"].pay(order["invoice_id"])
    box["btcpay"].wait()


def log_out_everywhere(live):
    live.call("POST", "/admin/logout", headers=live.login(), json={"everywhere": True})
    del live.shared_cookie


def log_in(page):
    page.get_by_label("Admin password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def submit(page, button, **typed):
    """Fill the open dialog and press its button; it closes."""
    box = page.get_by_role("dialog").last
    for label, text in typed.items():
        box.get_by_label(label).fill(text)
    box.get_by_role("button", name=button, exact=True).click()


def told(page, text):
    page.get_by_text(text).first.wait_for()


def test_a_late_payment_is_understood_and_credited(desk, connected, box) -> None:
    order = paid_late(connected, box, "late-1")
    page = desk.open("#payments")
    card = page.locator("article.review", has_text="inst:late-1")
    card.wait_for()
    assert card.get_by_role("heading").inner_text() == "Paid after the end"
    assert "expired when the full payment came (5.00 USD)" in card.inner_text()
    assert "grant_late is off" in card.inner_text()
    assert "“Expired/PaidLate”" in card.inner_text()
    desk.screenshot("payments-review")
    card.get_by_role("button", name="Credit").click()
    assert "20 credits will be given to inst:late-1" in page.get_by_role("dialog").inner_text()
    submit(page, "Credit", Reason="seen in the wallet")
    told(page, "Credited: 20 credits for inst:late-1.")
    card.wait_for(state="detached")
    assert connected.credits("late-1")["purchased"] == 20
    assert seen(connected, order["id"])["status"] == "settled"
    assert "seen in the wallet" in connected.entries("inst:late-1")[-1]["actor"]


def test_a_review_is_dismissed_and_gives_nothing(desk, connected, box) -> None:
    order = paid_late(connected, box, "late-2")
    page = desk.open("#payments")
    card = page.locator("article.review", has_text="inst:late-2")
    card.get_by_role("button", name="Dismiss").click()
    submit(page, "Dismiss", Reason="the money went back")
    told(page, "Dismissed. The order ended without credit.")
    card.wait_for(state="detached")
    assert connected.credits("late-2")["purchased"] == 0
    assert seen(connected, order["id"])["status"] == "invalid"


def test_check_again_says_what_the_service_says(desk, connected, box) -> None:
    order = bought(connected, "again")
    page = desk.open(f"#payments?view=orders&payment={order['id']}")
    sheet = page.get_by_role("dialog", name="Order")
    sheet.get_by_text("Waiting for the buyer.").wait_for()
    pay_in_silence(box, order)
    sheet.get_by_role("button", name="Check again").click()
    told(page, "it was credited just now")
    sheet.get_by_text("ledger entry").first.wait_for()
    assert connected.credits("again")["purchased"] == 20


def test_an_order_tells_its_life_and_is_reversed(desk, connected, box) -> None:
    order = bought(connected, "back", email="buyer@example.com")
    box["btcpay"].pay(order["invoice_id"])
    look(connected)
    page = desk.open("#payments?view=orders&q=inst:back")
    page.get_by_role("button", name="20 credits").click()
    sheet = page.get_by_role("dialog", name="Order")
    life = sheet.get_by_role("list", name="The life of this order")
    life.wait_for()
    steps = [line.split("(")[0].strip() for line in life.locator("li").all_inner_texts()]
    assert [step.split("\n")[-1] for step in steps] == ["Made", "Paid", "Settled", "Credited"]
    assert life.locator("li.done").count() == 4
    assert "5.00 USD arrived, as btcpay says." in life.inner_text()
    assert "buyer@example.com" in sheet.inner_text()
    desk.screenshot("payments-order")
    sheet.get_by_role("button", name="Reverse").click()
    submit(page, "Reverse", Reason="asked for it back")
    told(page, "Taken back in full.")
    life.get_by_text("Taken back", exact=True).wait_for()
    assert connected.credits("back")["purchased"] == 0
    page.keyboard.press("Escape")
    page.wait_for_url(lambda url: "payment=" not in url)
    sheet.wait_for(state="detached")


def test_orders_are_filtered_searched_and_paged(desk, connected) -> None:
    for n in range(3):
        bought(connected, f"many-{n}")
    page = desk.open("#payments?view=orders")
    page.get_by_label("State").select_option(label="Waiting")
    page.get_by_label("Search by order").fill("inst:many-1")
    page.get_by_text("inst:many-0").wait_for(state="detached")
    assert page.locator("tbody tr").count() == 1
    page.get_by_label("Search by order").fill("nobody-at-all")
    told(page, "No order matches.")
    assert "q=nobody-at-all" in page.url


def test_hostile_words_in_an_order_stay_text(desk, connected) -> None:
    order = bought(connected, "hostile")
    change(
        connected,
        order["id"],
        email=HOSTILE,
        title=HOSTILE,
        word=HOSTILE,
        checkout_url="javascript:alert(1)",
        state="review",
    )
    reason = {"reason": "paid_late", "word": HOSTILE, "asked": HOSTILE, "paid": HOSTILE, "invoice_id": "x", "owed": 0}
    at = utcnow().isoformat()
    change(connected, order["id"], review=reason, review_at=at)
    page = desk.open("#payments")
    card = page.locator("article.review", has_text="inst:hostile")
    card.wait_for()
    assert "<img src=x onerror=alert(1)>" in card.inner_text()
    card.get_by_role("button", name="Details").click()
    sheet = page.get_by_role("dialog", name="Order")
    sheet.get_by_text("javascript:alert(1)").wait_for()
    assert sheet.locator("a[href^=javascript]").count() == 0
    assert page.locator("#main img, dialog img").count() == 0
    change(connected, order["id"], state="invalid", review=None, review_at=None)


def test_webhooks_say_what_became_of_them(desk, connected, box) -> None:
    order = bought(connected, "hooks")
    box["btcpay"].pay(order["invoice_id"])
    box["btcpay"].wait()
    box["btcpay"].forge(order["invoice_id"])
    eventually(lambda: connected.credits("hooks")["purchased"] == 20)
    page = desk.open("#payments?view=inbox")
    page.get_by_text("Acted on").first.wait_for()
    assert page.get_by_text("Refused").count() >= 1
    page.get_by_label("Search by order").fill(order["id"])
    page.get_by_text("Refused").first.wait_for(state="detached")
    desk.screenshot("payments-webhooks")
    page.get_by_role("button", name=order["id"]).first.click()
    page.get_by_role("dialog", name="Order").get_by_text("inst:hooks").first.wait_for()


def test_reconcile_and_rescan_say_what_they_found(desk, connected, box) -> None:
    order = bought(connected, "lost")
    pay_in_silence(box, order)
    page = desk.open("#payments?view=services")
    page.get_by_role("button", name="Reconcile now").click()
    result = page.get_by_role("status").filter(has_text="looked at")
    result.wait_for()
    assert "1 credited now" in result.inner_text()
    assert connected.credits("lost")["purchased"] == 20
    page.get_by_role("button", name="Rescan btcpay").click()
    told(page, "Its settled invoices of the last 30 days:")
    told(page, "nothing new to credit")
    desk.screenshot("payments-services")


def consent(page, box, *, stores):
    """What the operator does at BTCPay."""
    page.wait_for_url(f"{box.url}/**")
    boxes = page.locator("input[name=store]")
    for n in range(boxes.count()):
        if boxes.nth(n).get_attribute("value") not in stores:
            boxes.nth(n).uncheck()
    page.get_by_role("button", name="Authorize").click()


def test_the_connect_wizard_goes_to_btcpay_and_comes_back(browser, connected, box) -> None:
    desk = desk_for(browser, connected)
    desk.expect(box.url)
    first = next(iter(box["btcpay"].stores))
    second = box["btcpay"].add_store("Second shop <b>")["id"]
    page = desk.open("#payments?view=services&rail=btcpay")
    sheet = page.get_by_role("dialog", name="Connection of btcpay")
    sheet.get_by_role("button", name="Disconnect…").click()
    box_ = page.get_by_role("dialog", name="Disconnect btcpay")
    assert box_.get_by_role("button", name="Disconnect", exact=True).is_disabled()
    submit(page, "Disconnect", **{"Type “disconnect” to go on": "disconnect"})
    told(page, "is disconnected.")
    sheet.get_by_role("button", name="Connect…").click()
    submit(page, "Go on")
    consent(page, box, stores=[first, second])
    told(page, "You consented for several stores of btcpay.")
    page.get_by_role("button", name="Choose a store…").click()
    page.get_by_label("Second shop <b>").check()
    page.get_by_role("button", name="Use this store").click()
    told(page, "Second shop <b> is connected.")
    assert connected.get("/admin/btcpay/connect", connected.login()).json["connection"]["store_id"] == second
    sheet.get_by_role("button", name="Connect again…").click()
    submit(page, "Go on")
    consent(page, box, stores=[first])
    told(page, "btcpay is connected")
    page.get_by_role("button", name="OK").click()
    page.get_by_text("Payments go to the store").wait_for(state="detached")
    assert "btcpay=" not in page.url
    assert connected.get("/admin/btcpay/connect", connected.login()).json["connection"]["store_id"] == first
    desk.context.close()
    assert desk.troubles == []


def test_a_wizard_that_fails_says_why(browser, connected, box) -> None:
    desk = desk_for(browser, connected)
    desk.expect(box.url)
    page = desk.open("#payments?view=services&rail=btcpay")
    page.get_by_role("button", name="Connect again…").click()
    submit(page, "Go on")
    consent(page, box, stores=[])
    page.get_by_text("btcpay was not connected").wait_for()
    assert "connect again" in page.get_by_role("alert").filter(has_text="btcpay was not connected").inner_text()
    page.get_by_role("button", name="Begin again…").click()
    submit(page, "Go on")
    consent(page, box, stores=[next(iter(box["btcpay"].stores))])
    told(page, "Payments go to the store")
    desk.context.close()
    assert desk.troubles == []


def test_a_package_is_put_on_sale_changed_and_taken_off(desk, connected) -> None:
    page = desk.open("#payments?view=packages")
    page.get_by_role("button", name="New package…").click()
    submit(page, "Put on sale", Id="large", Credits="100", Price="20.00")
    told(page, "large is on sale.")
    page.get_by_role("button", name="Change large").click()
    submit(page, "Save", Price="19")
    told(page, "19 USD")
    on_sale = connected.get("/relay/credits/packages", install("i")).json["packages"]
    assert [(pack["credits"], pack["price"]) for pack in on_sale if pack["id"] == "large"] == [(100, "19")]
    desk.expect("422")
    page.get_by_role("button", name="New package…").click()
    submit(page, "Put on sale", Id="free", Credits="100", Price="0")
    page.get_by_role("alert").filter(has_text="price must be more than 0").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Take off sale: large").click()
    submit(page, "Take off sale")
    page.get_by_text("19 USD").wait_for(state="detached")


def test_a_code_is_made_used_switched_off_and_deleted(desk, connected) -> None:
    page = desk.open("#payments?view=codes")
    page.get_by_role("button", name="New code…").click()
    page.get_by_label("What it does").select_option("fixed")
    submit(page, "Make the code", Code="minus2", **{"How much": "2", "Currency": "usd", "Note for yourself": HOSTILE})
    told(page, "MINUS2 is made: 2.00 USD off.")
    assert bought(connected, "coded", code="minus2")["amount"] == "3.00"
    page.get_by_role("button", name="Switch off MINUS2").click()
    told(page, "switched off")
    page.get_by_role("button", name="New code…").click()
    submit(page, "Make the code", Code="quarter", **{"How much": "25"})
    told(page, "25 % off")
    page.get_by_role("button", name="Delete QUARTER").click()
    submit(page, "Delete")
    told(page, "QUARTER is deleted.")
    assert page.locator("#main img").count() == 0


def test_what_could_not_be_delivered_is_sent_again_or_dropped(desk, connected) -> None:
    now = utcnow().replace(microsecond=0)
    for name in ("dlv_one", "dlv_two"):
        row = Delivery(
            "http://127.0.0.1:9/in", "{}", "s", "job.completed", HOSTILE, now, dead_at=now, tries=9, error="refused"
        )
        connected.core.storage.transact(lambda tx, name=name, row=row: tx.insert("outbox", name, row))
    page = desk.open("#payments?view=callbacks")
    told(page, "Could not be delivered: 2 messages")
    page.get_by_role("button", name="Send now: dlv_one").click()
    told(page, "It is sent again now")
    page.get_by_role("button", name="Drop dlv_two").click()
    submit(page, "Drop")
    told(page, "Dropped. It will not be sent.")
    told(page, "Everything was delivered, or is still being tried.")


def test_a_session_that_ends_in_the_middle_loses_no_reason(desk, connected, box) -> None:
    paid_late(connected, box, "late-3")
    page = desk.open("#payments")
    page.locator("article.review", has_text="inst:late-3").get_by_role("button", name="Dismiss").click()
    page.get_by_label("Reason").fill("a long story that took a while to type")
    desk.expect("401")
    log_out_everywhere(connected)
    submit(page, "Dismiss")
    told(page, "Your session has ended.")
    log_in(page)
    page.locator("article.review", has_text="inst:late-3").get_by_role("button", name="Dismiss").click()
    assert page.get_by_label("Reason").input_value() == "a long story that took a while to type"
    submit(page, "Dismiss")
    told(page, "Dismissed.")


def test_payments_are_of_use_on_a_phone_in_the_dark(browser, connected, box) -> None:
    paid_late(connected, box, "late-4")
    desk = desk_for(
        browser,
        connected,
        viewport={"width": 400, "height": 860},
        is_mobile=True,
        has_touch=True,
        color_scheme="dark",
        reduced_motion="reduce",
    )
    for view in ("review", "orders", "inbox", "services", "packages", "codes", "callbacks"):
        page = desk.open(f"#payments?view={view}")
        page.locator("#main .card, #main tbody tr, #main .state").first.wait_for()
        desk.assert_fits()
        desk.screenshot(f"payments-{view}-phone")
        if AXE.exists():
            assert_usable(desk)
    desk.context.close()
    assert desk.troubles == []
