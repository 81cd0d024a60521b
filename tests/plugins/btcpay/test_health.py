"""Health: what an operator reads, in the order in which things go wrong; and the webhook that is looked after."""

import pytest
from relay_btcpay.health import enabled_methods

from relay.testing.sandbox.btcpay import GRANTED, KEY, STORE
from relay.testing.sandbox.btcpay_hooks import Webhook
from tests.loopback import Server, json_reply
from tests.plugins.btcpay.conftest import SECRET, WEBHOOK_URL
from tests.plugins.btcpay.test_connect import connect, hooks

MODIFY_STORE = "btcpay.store.canmodifystoresettings"


@pytest.fixture
def healthy(btcpay):
    """A store with the webhook an operator makes by hand."""
    btcpay.webhooks.by_id["hook"] = Webhook("hook", STORE, WEBHOOK_URL, SECRET)


@pytest.mark.usefixtures("healthy")
def test_a_store_that_can_sell_is_healthy_without_a_word(rail):
    health = rail.health()
    assert (health.ok, health.detail) == (True, "")


@pytest.mark.parametrize(
    ("fault", "route", "says"),
    [
        ("revoked_key", None, "does not accept the relay's API key"),
        ("missing_permission", "store", "may not do this"),
        ("html", "health", "502"),
        ("html", "store_methods", "502"),
        ("empty", "key", "these are none"),
        ("refuse", None, "reset"),
    ],
)
def test_what_goes_wrong_is_said(rail, box, fault, route, says):
    box.faults.add("btcpay", fault, route=route)
    health = rail.health()
    assert not health.ok
    assert says in health.detail


def test_a_node_that_is_not_ready_cannot_sell(rail, btcpay):
    btcpay.configure({"synced": False})
    health = rail.health()
    assert (health.ok, health.detail) == (
        False,
        "BTCPay's node is not synchronised yet; it cannot make invoices until it is",
    )


def test_a_key_that_may_not_sell_is_named(rail_for, box, btcpay):
    key = btcpay.add_key(["btcpay.store.canviewstoresettings"])["key"]
    health = rail_for(url=f"{box.url}/btcpay", api_key=key, store_id=STORE).health()
    assert not health.ok
    assert health.detail == f"the API key lacks btcpay.store.cancreateinvoice for store {STORE}"


def test_a_key_with_just_enough_is_healthy(rail_for, box, btcpay):
    key = btcpay.add_key(GRANTED[:2])["key"]
    rail = rail_for(url=f"{box.url}/btcpay", api_key=key, store_id=STORE, webhook_secret=SECRET)
    assert (rail.health().ok, rail.health().detail) == (True, "")


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize(("network", "warned"), [("mainnet", False), ("testnet", True), ("regtest", True)])
def test_a_test_network_is_warned_of(rail_for, box, btcpay, network, warned):
    btcpay.configure({"network": network})
    key = btcpay.add_key([MODIFY_STORE])["key"]
    health = rail_for(url=f"{box.url}/btcpay", api_key=key, store_id=STORE, webhook_secret=SECRET).health()
    assert health.ok
    assert ("worth nothing" in health.detail) == warned


@pytest.mark.parametrize(("height", "warned"), [(950_000, False), (120_000, True), (4_900_000, True), (5, True)])
@pytest.mark.parametrize("coin", [{"paymentMethodId": "BTC-CHAIN"}, {"cryptoCode": "BTC"}])
def test_the_height_of_the_chain_tells_where_an_address_may_not(rail_for, height, warned, coin):
    said = {
        "/api/v1/health": {"synchronized": True},
        "/api/v1/api-keys/current": {"permissions": ["btcpay.store.canmodifyinvoices"]},
        "/api/v1/server/info": {
            "syncStatus": [{"paymentMethodId": "LTC", "chainHeight": 1}, {**coin, "chainHeight": height}]
        },
    }
    with Server(lambda request: json_reply(said[request.path])) as server:
        health = rail_for(url=server.url, api_key="k", store_id="S", webhook_secret="w").health()
    assert health.ok
    assert ("worth nothing" in health.detail) == warned


def test_a_store_without_a_payment_method_cannot_sell(rail_for):
    said = {
        "/api/v1/health": {"synchronized": True},
        "/api/v1/api-keys/current": {"permissions": ["unrestricted"]},
        "/api/v1/stores/S": {"id": "S"},
        "/api/v1/stores/S/payment-methods?onlyEnabled=true": [{"paymentMethodId": "BTC-CHAIN", "enabled": False}],
    }
    with Server(lambda request: json_reply(said[request.path])) as server:
        health = rail_for(url=server.url, api_key="k", store_id="S").health()
    assert (health.ok, "no payment method is enabled" in health.detail) == (False, True)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ([{"paymentMethodId": "BTC-CHAIN", "enabled": True}, {"paymentMethodId": "BTC-LN"}], ["BTC-CHAIN", "BTC-LN"]),
        ([{"paymentMethodId": "BTC-CHAIN", "enabled": False}], []),
        ([{"paymentMethod": "BTC-LightningNetwork", "enabled": True}], ["BTC-LightningNetwork"]),
        ({"BTC": {"enabled": True}, "BTC-LightningNetwork": {"enabled": False}}, ["BTC"]),
        ([], []),
        ({}, []),
        (None, []),
        ("x", []),
        ([7, {"enabled": True}, {"paymentMethodId": 7}], []),
    ],
)
def test_payment_methods_are_read_in_old_and_new_shapes(said, found):
    assert enabled_methods(said) == found


def test_a_missing_or_sleeping_webhook_is_warned_of(rail, btcpay, monkeypatch):
    monkeypatch.setattr("relay_btcpay.health.LOOK_SOON_SECONDS", 0)
    health = rail.health()
    assert health.ok
    assert "no webhook to the relay" in health.detail
    btcpay.webhooks.by_id["hook"] = Webhook("hook", STORE, WEBHOOK_URL, SECRET, enabled=False)
    assert "switched off" in rail.health().detail
    btcpay.webhooks.by_id["hook"].enabled = True
    assert rail.health().detail == ""


def test_without_a_secret_payments_are_polled_and_that_is_said(rail_for, box):
    health = rail_for(url=f"{box.url}/btcpay", api_key=KEY, store_id=STORE).health()
    assert health.ok
    assert "payments are polled" in health.detail


@pytest.mark.usefixtures("healthy")
def test_the_webhook_is_looked_for_once_an_hour(rail, box, btcpay):
    for _ in range(5):
        assert rail.health().ok
    assert len(box.requests("btcpay", "webhooks")) == 1


def test_a_webhook_of_the_wizard_that_is_gone_is_made_again(rail_for, box, btcpay):
    rail = rail_for(url=f"{box.url}/btcpay")
    connect(rail)
    assert rail.health().detail == ""
    (first,) = hooks(btcpay)
    btcpay.webhooks.by_id.clear()
    assert rail.health().detail == "", "looked at within the hour"
    rail._checkup.look_again()
    assert "was made again" in rail.health().detail
    (second,) = hooks(btcpay)
    assert (second.url, second.secret) == (first.url, first.secret)
    assert rail.connection()["webhook_id"] == second.id != first.id


def test_health_takes_no_longer_than_it_may(rail, box, monkeypatch):
    monkeypatch.setattr("relay_btcpay.health.SECONDS", 0.3)
    box.faults.add("btcpay", "hang")
    health = rail.health()
    assert not health.ok
    assert "did not answer in time" in health.detail


def test_health_without_a_storage_is_the_settings_alone(box, rail_for):
    rail = rail_for(attached=False, url=f"{box.url}/btcpay", api_key=KEY, store_id=STORE)
    assert rail.health().ok
    assert "no store is connected" in rail_for(attached=False, url=f"{box.url}/btcpay").health().detail
