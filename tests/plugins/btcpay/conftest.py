"""The sandbox's BTCPay and the rail set up for it; and a server that says just what a test wants."""

import pytest
from relay_btcpay import Plugin

from relay.books.spaces import PluginSpace
from relay.ports.storage import COLLECTIONS, STREAMS
from relay.tables import Table
from relay.testing.memory import MemoryStorage
from relay.testing.sandbox import sandbox
from relay.testing.sandbox.btcpay import KEY, STORE, BTCPay

SECRET = "a-secret-of-the-webhook"
WEBHOOK_URL = "http://127.0.0.1:9/relay/btcpay/webhook"


@pytest.fixture
def box():
    with sandbox([BTCPay()]) as box:
        yield box


@pytest.fixture
def btcpay(box):
    return box["btcpay"]


@pytest.fixture
def space(tmp_path):
    storage = MemoryStorage()
    storage.open(tmp_path, COLLECTIONS, STREAMS)
    return PluginSpace(storage, "btcpay")


@pytest.fixture
def rail_for(space):
    """A rail with these settings, attached to the test's one space."""
    made = []

    def make(attached=True, **settings):
        plugin = Plugin(Table(settings, "plugins.btcpay"))
        (rail,) = plugin.relay_rails()
        made.append(rail)
        if attached:
            plugin.relay_attach(space)
        return rail

    yield make
    for rail in made:
        rail.close()


@pytest.fixture
def rail(box, rail_for):
    """Set up by hand: everything stands in the settings."""
    return rail_for(url=f"{box.url}/btcpay", api_key=KEY, store_id=STORE, webhook_secret=SECRET)
