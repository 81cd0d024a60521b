"""Connecting a payment service: the secret of the way back is good once, for half an hour."""

from urllib.parse import parse_qs, urlsplit

import pytest

from relay.ports.rails import Step
from tests.flows.fake_backend import FakeBackend
from tests.flows.fake_rail import FakeRail
from tests.flows.live import assert_error, running
from tests.flows.test_money import SHOP


class ConnectableRail(FakeRail):
    def __init__(self, name="fake"):
        super().__init__(name)
        self.way_back = ""
        self.forms = []
        self.stores = None
        self.chosen = ""

    def connect_start(self, return_url):
        self.way_back = return_url
        return Step(redirect="https://pay.example/authorize")

    def connect_finish(self, form, webhook_url):
        self.forms.append((dict(form), webhook_url))
        return Step(choose=self.stores) if self.stores else Step(done="connected")

    def connect_choose(self, store, webhook_url):
        self.chosen = store
        return Step(done="connected")

    def disconnect(self):
        return "disconnected"

    def connection(self):
        return {"connected": bool(self.forms)}


@pytest.fixture
def rail():
    return ConnectableRail()


@pytest.fixture
def live(tmp_path, rail):
    with running(tmp_path, [FakeBackend()], settings=SHOP, rails=[rail]) as live:
        yield live


def begin(live, rail):
    reply = live.call("POST", "/admin/fake/connect", headers=live.login())
    assert reply.json == {"ok": True, "redirect": "https://pay.example/authorize"}
    back = urlsplit(rail.way_back)
    assert back.path == "/admin/fake/callback"
    return f"{back.path}?{back.query}"


def come_back(live, path, body=b"apiKey=secret&permissions=a&permissions=b%3Astore"):
    return live.call("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})


def test_the_browser_comes_back_without_a_cookie_and_leaves_for_a_clean_address(live, rail) -> None:
    reply = come_back(live, begin(live, rail))
    assert reply.status == 303
    assert reply.headers["location"] == "/dashboard?fake=connected#payments"
    form, webhook = rail.forms[0]
    assert form == {"apiKey": ["secret"], "permissions": ["a", "b:store"]}
    assert webhook == "http://127.0.0.1:8484/relay/fake/webhook"
    assert live.get("/admin/fake/connect", live.login()).json["connection"] == {"connected": True}


def test_the_secret_is_good_once(live, rail) -> None:
    path = begin(live, rail)
    come_back(live, path)
    assert_error(come_back(live, path), 403, "forbidden")
    assert len(rail.forms) == 1


@pytest.mark.parametrize("query", ["", "?state=", "?state=guess"])
def test_a_wrong_secret_is_refused_and_spoils_nothing(live, rail, query) -> None:
    path = begin(live, rail)
    assert_error(come_back(live, "/admin/fake/callback" + query), 403, "forbidden")
    assert come_back(live, path).status == 303


def test_after_half_an_hour_it_is_void(live, rail) -> None:
    path = begin(live, rail)
    live.core.storage.transact(
        lambda tx: tx.put("settings", "connect:fake", {**tx.get("settings", "connect:fake"), "expires_at": "2020"})
    )
    assert_error(come_back(live, path), 403, "forbidden")


def test_only_its_hash_is_kept(live, rail) -> None:
    state = parse_qs(urlsplit(begin(live, rail)).query)["state"][0]
    assert state not in str(live.core.storage.read(lambda tx: tx.get("settings", "connect:fake")))


def test_with_several_stores_the_operator_chooses(live, rail) -> None:
    rail.stores = {"s1": "Shop", "s2": "Relay"}
    assert come_back(live, begin(live, rail)).headers["location"] == "/dashboard?fake=choose#payments"
    reply = live.call("POST", "/admin/fake/choose", headers=live.login(), json={"store": "s2"})
    assert (reply.json["done"], rail.chosen) == ("connected", "s2")


def test_starting_and_disconnecting_need_the_operator(live, rail) -> None:
    for path in ("/admin/fake/connect", "/admin/fake/disconnect", "/admin/fake/choose"):
        assert_error(live.call("POST", path, json={}), 401, "unauthenticated")
    assert live.call("POST", "/admin/fake/disconnect", headers=live.login()).json["done"] == "disconnected"


def test_a_rail_without_a_wizard_says_so(tmp_path) -> None:
    with running(tmp_path, [FakeBackend()], settings=SHOP, rails=[FakeRail()]) as live:
        assert_error(live.call("POST", "/admin/fake/connect", headers=live.login()), 404, "not_found")
