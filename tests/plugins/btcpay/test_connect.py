"""The connect wizard against the sandbox: consent, choice of a store, reconnecting, leaving nothing behind."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import requests
from relay_btcpay.credentials import DOC
from relay_btcpay.permissions import NEEDED
from relay_btcpay.rail import BTCPayRail
from relay_btcpay.settings import Settings
from structlog.testing import capture_logs

from relay.api import Invalid, RailUnavailable, Unauthenticated
from relay.testing.rails import purchase
from relay.testing.sandbox.btcpay import KEY, STORE
from tests.plugins.btcpay.conftest import WEBHOOK_URL
from tests.plugins.btcpay.test_webhook import EVENT, signed

RETURN_URL = "http://127.0.0.1:9/admin/btcpay/callback?state=once"


@pytest.fixture
def rail(box, rail_for):
    """Not connected yet: the settings have the address alone."""
    return rail_for(url=f"{box.url}/btcpay")


def consent(rail, *, stores=None):
    """What the operator's browser does: to BTCPay, and back with the form that it submits."""
    return submitted(rail.connect_start(RETURN_URL).redirect, stores)


def submitted(page, stores=None):
    """The form that BTCPay's page submits after consent, for all stores or for these."""
    if stores is None:
        html = requests.get(page, params={"auto": "1"}, timeout=5).text
    else:
        html = requests.post(page, data=[("store", store) for store in stores], timeout=5).text
    form = {}
    for name, value in re.findall(r'name="([^"]+)" value="([^"]*)"', html):
        form.setdefault(name, []).append(value)
    return form


def connect(rail, **options):
    return rail.connect_finish(consent(rail, **options), WEBHOOK_URL)


def hooks(btcpay):
    return list(btcpay.webhooks.by_id.values())


def secret_of(space):
    return space.read(lambda tx: tx.get(DOC))["secret"]


def test_the_consent_page_is_asked_for_the_least_that_is_needed(rail, box):
    redirect = rail.connect_start(RETURN_URL).redirect
    query = parse_qs(urlsplit(redirect).query)
    assert redirect.startswith(f"{box.url}/btcpay/api-keys/authorize?")
    assert query["permissions"] == list(NEEDED)
    assert query["redirect"] == [RETURN_URL]
    assert (query["strict"], query["selectiveStores"]) == (["true"], ["true"])
    assert query["applicationIdentifier"] == ["recap-relay"]
    assert not [name for name, value in parse_qsl(urlsplit(redirect).query) if not value]


def test_the_browser_is_sent_to_the_public_address(rail_for):
    rail = rail_for(url="http://in:1/btcpay", public_url="https://pay.example/shop/")
    assert rail.connect_start(RETURN_URL).redirect.startswith("https://pay.example/shop/api-keys/authorize?")


def test_the_key_of_a_payment_is_known_without_reading_the_storage(rail, monkeypatch):
    """The core asks for it inside a transaction, in which no other can begin."""
    connect(rail)

    def read(_fn):
        raise AssertionError("the storage was read")

    rail._credentials._cached = None
    monkeypatch.setattr(rail._credentials._space, "read", read)
    assert rail.dedup_key("i1") == f"{STORE}|i1"


def test_one_store_is_connected_at_once_and_can_sell(rail, btcpay, space):
    assert rail.off() == "no store is connected; connect one in the dashboard, or set plugins.btcpay.api_key"
    with pytest.raises(RailUnavailable):
        rail.create_checkout(purchase())
    step = connect(rail)
    assert step.done == "BTCPay store Sandbox shop is connected."
    assert rail.off() is None
    assert rail.store == STORE
    made = rail.create_checkout(purchase())
    assert rail.dedup_key(made.invoice_id) == f"{STORE}|{made.invoice_id}"
    (hook,) = hooks(btcpay)
    assert (hook.url, hook.store, hook.enabled, hook.redelivers) == (WEBHOOK_URL, STORE, True, True)
    assert "InvoiceSettled" in hook.events
    assert "InvoiceRefund" in hook.events
    assert hook.secret == secret_of(space)
    assert rail.read_webhook(signed(EVENT, hook.secret)).signed


def test_the_connection_outlives_a_restart_and_is_shown_without_secrets(rail, rail_for, box, btcpay, space):
    connect(rail)
    again = rail_for(url=f"{box.url}/btcpay")
    assert again.off() is None
    shown = again.connection()
    assert shown["connected"] is True
    assert (shown["store_id"], shown["store_name"]) == (STORE, "Sandbox shop")
    assert (shown["api_key_from"], shown["store_from"], shown["webhook_secret_from"]) == ("wizard",) * 3
    assert shown["webhook_url"] == WEBHOOK_URL
    stored = space.read(lambda tx: tx.get(DOC))
    assert stored["api_key"] not in str(shown)
    assert stored["secret"] not in str(shown)


def test_of_several_stores_the_operator_chooses(rail, btcpay):
    other = btcpay.add_store("Another shop")["id"]
    step = connect(rail)
    assert step.choose == {STORE: "Sandbox shop", other: "Another shop"}
    assert rail.off() is not None
    assert rail.connection()["choose"] == step.choose
    with pytest.raises(Invalid, match="none of the stores"):
        rail.connect_choose("Elsewhere", WEBHOOK_URL)
    assert rail.connect_choose(other, WEBHOOK_URL).done == "BTCPay store Another shop is connected."
    assert rail.store == other
    assert [hook.store for hook in hooks(btcpay)] == [other]
    with pytest.raises(Invalid, match="no store waits"):
        rail.connect_choose(other, WEBHOOK_URL)


def test_a_key_for_one_of_several_stores_leaves_no_choice(rail, btcpay):
    other = btcpay.add_store("Another shop")["id"]
    assert connect(rail, stores=[other]).done == "BTCPay store Another shop is connected."


def test_a_choice_waits_an_hour(btcpay, box, space):
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    rail = BTCPayRail(Settings(url=f"{box.url}/btcpay"), "plugins.btcpay", lambda: now[0])
    rail.attach(space)
    btcpay.add_store()
    assert connect(rail).choose
    now[0] += timedelta(hours=1)
    assert rail.connection()["choose"] is None
    with pytest.raises(Invalid, match="begin again"):
        rail.connect_choose(STORE, WEBHOOK_URL)
    rail.close()


def test_a_store_in_the_settings_is_the_only_one(btcpay, box, rail_for):
    other = btcpay.add_store("Another shop")["id"]
    rail = rail_for(url=f"{box.url}/btcpay", store_id=other)
    assert connect(rail).done == "BTCPay store Another shop is connected."
    stranger = rail_for(url=f"{box.url}/btcpay", store_id="NoSuchStore")
    with pytest.raises(Invalid, match="for no store"):
        connect(stranger)


def test_a_secret_in_the_settings_is_the_webhooks(box, btcpay, rail_for):
    connect(rail_for(url=f"{box.url}/btcpay", webhook_secret="from-the-file"))
    assert [hook.secret for hook in hooks(btcpay)] == ["from-the-file"]


def test_a_key_in_the_settings_wins_and_the_wizard_says_so(box, rail_for):
    rail = rail_for(url=f"{box.url}/btcpay", api_key=KEY, store_id=STORE)
    for step in (lambda: rail.connect_start(RETURN_URL), lambda: rail.connect_finish({"apiKey": ["x"]}, WEBHOOK_URL)):
        with pytest.raises(Invalid, match=r"plugins\.btcpay\.api_key is set"):
            step()
    assert rail.connection()["api_key_from"] == "settings"
    assert "removed there" in rail.disconnect()


def test_without_an_address_there_is_nothing_to_connect(rail_for):
    rail = rail_for()
    assert rail.off() == "plugins.btcpay.url is not set; set it to your BTCPay server's address"
    assert rail.health().ok is False
    assert rail.connection()["connected"] is False
    with pytest.raises(Invalid, match=r"set plugins\.btcpay\.url"):
        rail.connect_start(RETURN_URL)


@pytest.mark.parametrize(
    "form", [{}, {"apiKey": []}, {"apiKey": [""]}, {"apiKey": ["a b"]}, {"apiKey": ["é"]}, {"apiKey": ["x" * 201]}]
)
def test_a_form_without_a_key_changes_nothing(rail, space, form):
    with pytest.raises(Invalid, match="sent no key"):
        rail.connect_finish(form, WEBHOOK_URL)
    assert space.read(lambda tx: tx.get(DOC)) is None


def test_a_forged_key_is_refused_and_the_reason_is_kept_for_the_admin_page(rail, btcpay):
    with pytest.raises(RailUnavailable):
        rail.connect_finish({"apiKey": ["f" * 40]}, WEBHOOK_URL)
    assert "does not accept" in rail.connection()["problem"]
    assert hooks(btcpay) == []
    connect(rail)
    assert rail.connection()["problem"] is None


def test_an_old_server_sends_the_key_under_another_name(rail):
    form = consent(rail)
    assert rail.connect_finish({"api-key": form["apiKey"]}, WEBHOOK_URL).done


def test_a_key_with_too_few_permissions_is_revoked_and_what_lacks_is_named(rail, btcpay):
    key = btcpay.add_key([f"{name}:{STORE}" for name in NEEDED[:-1]])["key"]
    with pytest.raises(
        Invalid, match=r"lacks permissions; connect again and allow: btcpay\.store\.canviewstoresettings$"
    ):
        rail.connect_finish({"apiKey": [key]}, WEBHOOK_URL)
    few = btcpay.add_key([NEEDED[1], NEEDED[3]])["key"]
    with pytest.raises(Invalid, match=r"btcpay\.store\.cancreateinvoice, btcpay\.store\.webhooks"):
        rail.connect_finish({"apiKey": [few]}, WEBHOOK_URL)
    assert few not in btcpay.keys
    assert hooks(btcpay) == []


def test_a_wide_permission_implies_the_narrow_ones(rail, btcpay):
    for wide in ("btcpay.store.canmodifystoresettings", "unrestricted", f"btcpay.store.canmodifystoresettings:{STORE}"):
        assert rail.connect_finish({"apiKey": [btcpay.add_key([wide])["key"]]}, WEBHOOK_URL).done


def test_reconnecting_renews_the_webhook_and_ends_the_old_key(rail, btcpay, space):
    connect(rail)
    (first,) = hooks(btcpay)
    old_secret, old_keys = first.secret, set(btcpay.keys)
    assert connect(rail).done == "BTCPay store Sandbox shop is connected."
    (second,) = hooks(btcpay)
    assert (second.id, second.url) == (first.id, WEBHOOK_URL)
    assert second.secret == secret_of(space) != old_secret
    assert set(btcpay.keys) & old_keys == {KEY}, "the key of the first connection is gone"
    for secret in (old_secret, second.secret):
        assert rail.read_webhook(signed(EVENT, secret)).signed
    assert rail.health().ok


def test_the_old_secret_is_good_for_a_day(box, btcpay, space):
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    rail = BTCPayRail(Settings(url=f"{box.url}/btcpay"), "plugins.btcpay", lambda: now[0])
    rail.attach(space)
    connect(rail)
    old = secret_of(space)
    connect(rail)
    now[0] += timedelta(hours=23, minutes=59)
    assert rail.read_webhook(signed(EVENT, old)).signed
    now[0] += timedelta(minutes=1)
    with pytest.raises(Unauthenticated):
        rail.read_webhook(signed(EVENT, old))
    assert rail.read_webhook(signed(EVENT, secret_of(space))).signed
    rail.close()


def test_another_store_takes_over_and_the_first_ones_webhook_goes(rail, btcpay):
    connect(rail)
    other = btcpay.add_store("Another shop")["id"]
    assert connect(rail, stores=[other]).done == "BTCPay store Another shop is connected."
    assert [hook.store for hook in hooks(btcpay)] == [other]


def test_another_address_of_the_relay_takes_over(rail, btcpay):
    connect(rail)
    moved = "http://127.0.0.1:9/elsewhere/relay/btcpay/webhook"
    rail.connect_finish(consent(rail), moved)
    assert [hook.url for hook in hooks(btcpay)] == [moved]


def test_webhooks_of_others_are_left_alone_and_doubles_of_ours_go(rail, btcpay):
    connect(rail)
    (ours,) = hooks(btcpay)
    twin = type(ours)("twin", STORE, WEBHOOK_URL, "x")
    shop = type(ours)("shop", STORE, "http://127.0.0.1:9/shop", "x")
    btcpay.webhooks.by_id |= {"twin": twin, "shop": shop}
    connect(rail)
    assert {hook.id for hook in hooks(btcpay)} == {ours.id, "shop"}


def test_what_cannot_be_removed_is_said(rail, btcpay, box):
    connect(rail)
    box.faults.add("btcpay", "status", route="revoke", times=1, status=500)
    assert "remove them there: the relay's API key" in connect(rail).done
    (hook,) = hooks(btcpay)
    box.faults.add("btcpay", "status", route="webhook_delete", times=1, status=500)
    said = rail.disconnect()
    assert said.startswith("BTCPay store Sandbox shop is disconnected. These could not be removed")
    assert hook.id in said


def test_a_webhook_that_cannot_be_made_leaves_the_old_connection(rail, btcpay, box):
    connect(rail)
    old = rail.connection()
    box.faults.add("btcpay", "status", route="webhook_update", times=1, status=500)
    with pytest.raises(Exception, match="not known"):
        connect(rail)
    assert {**rail.connection(), "choose": None, "problem": None} == {**old, "choose": None}
    assert rail.health().ok
    assert rail.connect_choose(STORE, WEBHOOK_URL).done, "the key is still there to go on with"


def test_disconnecting_leaves_nothing_behind(rail, btcpay, space):
    connect(rail)
    secret = secret_of(space)
    assert rail.disconnect() == "BTCPay store Sandbox shop is disconnected."
    assert hooks(btcpay) == []
    assert set(btcpay.keys) == {KEY}
    assert rail.off() is not None
    assert rail.store == ""
    assert rail.read_webhook(signed(EVENT, secret)).signed, "for what is still on its way"
    assert "no store was connected" in rail.disconnect()


def test_disconnecting_from_a_server_that_is_gone_works(rail, box):
    connect(rail)
    box.close()
    said = rail.disconnect()
    assert "webhook" in said
    assert "the relay's API key" in said
    assert rail.off() is not None


def test_an_old_server_with_a_closed_list_of_events_is_connected(rail, btcpay):
    btcpay.configure({"version": "1.11.7"})
    assert connect(rail).done
    (hook,) = hooks(btcpay)
    assert len(hook.events) == 5
    assert rail.create_checkout(purchase()).status == "pending"


def test_no_secret_is_logged(rail, btcpay, space):
    with capture_logs() as logs:
        form = consent(rail)
        rail.connect_finish(form, WEBHOOK_URL)
        secret = secret_of(space)
        connect(rail)
        rail.disconnect()
    assert form["apiKey"][0] not in str(logs)
    assert secret not in str(logs)


def test_two_processes_on_one_storage_see_a_change_within_a_second(rail, rail_for, box, monkeypatch):
    monkeypatch.setattr("relay_btcpay.credentials.FRESH_SECONDS", 0)
    other = rail_for(url=f"{box.url}/btcpay")
    assert other.off() is not None
    connect(rail)
    assert other.off() is None
    assert other.create_checkout(purchase()).status == "pending"


def test_a_grant_for_one_store_is_none_for_another(rail, btcpay):
    other = btcpay.add_store("Another shop")["id"]
    half = [f"{name}:{STORE}" for name in NEEDED[:2]] + [f"{name}:{other}" for name in NEEDED[2:]]
    with pytest.raises(Invalid, match="lacks permissions"):
        rail.connect_finish({"apiKey": [btcpay.add_key(half)["key"]]}, WEBHOOK_URL)
    mixed = [f"{name}:{STORE}" for name in NEEDED[:2]] + [f"{name}:{other}" for name in NEEDED]
    assert rail.connect_finish({"apiKey": [btcpay.add_key(mixed)["key"]]}, WEBHOOK_URL).done
    assert rail.store == other
