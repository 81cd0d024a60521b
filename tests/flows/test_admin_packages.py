"""Credit packs: put on sale, changed and taken off by a merchant's key, at once and with a line in the audit log."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.flows.fake_backend import FakeBackend
from tests.flows.fake_rail import FakeRail
from tests.flows.live import Live, Reply, assert_error, at_once, install, running

SHOP = """
[[packages]]
id = "small"
credits = 20
price = "5.00"
"""
BIG = {"id": "big", "credits": 100, "price": "20.00", "currency": "USD"}


class Shop:
    def __init__(self, live: Live) -> None:
        self.live = live
        self.operator = live.login()
        self.merchant, self.reader = self.key("merchant-onboard"), self.key("read-only")

    def key(self, role: str) -> dict[str, str]:
        reply = self.live.call("POST", "/admin/keys", headers=self.operator, json={"role": role, "label": role})
        assert reply.status == 201, reply.body
        return {"Authorization": f"Bearer {reply.json['key']}"}

    def ask(self, method: str, path: str = "", body: Any = None, who: dict[str, str] | None = None) -> Reply:
        more = {} if body is None else {"json": body}
        return self.live.call(method, f"/admin/packages{path}", headers=who or self.merchant, **more)

    def on_sale(self) -> list[str]:
        return [package["id"] for package in self.live.get("/relay/policy").json["packages"]]

    def audit(self) -> Any:
        return self.live.get("/admin/audit?limit=1", self.operator).json["rows"][0]


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("relay")
    with running(folder, [FakeBackend()], settings=SHOP, rails=[FakeRail()]) as live:
        yield Shop(live)


@pytest.fixture
def shop(relay: Shop) -> Iterator[Shop]:
    yield relay
    body = {"version": relay.ask("GET").json["version"], "reset": ["packages"]}
    assert relay.live.call("PUT", "/admin/settings", headers=relay.operator, json=body).status == 200


def test_a_merchant_puts_a_package_on_sale_changes_it_and_takes_it_off(shop: Shop) -> None:
    assert shop.ask("GET").json["packages"][0]["source"] == "file"
    added = shop.ask("POST", body=BIG)
    assert added.status == 201
    assert added.json["packages"] == [
        {"id": "small", "credits": 20, "price": "5.00", "currency": "USD", "source": "dashboard"},
        BIG | {"source": "dashboard"},
    ]
    assert shop.on_sale() == ["small", "big"]
    line = shop.audit()
    assert (line["action"], line["target"]) == ("packages.add", "big")
    assert line["actor"].startswith("key:")
    assert len(line["after"]["packages"]) == 2

    bought = shop.live.call("POST", "/relay/credits/checkout", headers=install("b"), json={"package": "big"})
    assert bought.json["invoice"]["amount"] == "20.00"
    assert shop.ask("PUT", "/big", {"credits": 90, "price": "19.00"}).status == 200
    assert shop.ask("DELETE", "/small").status == 200
    assert shop.on_sale() == ["big"]
    invoice = bought.json["invoice"]["id"]
    assert shop.live.get(f"/relay/invoices/{invoice}", install("b")).json["invoice"]["amount"] == "20.00"
    gone = shop.live.call("POST", "/relay/credits/checkout", headers=install("b"), json={"package": "small"})
    assert_error(gone, 404, "not_found")


def test_the_last_package_can_go_too(shop: Shop) -> None:
    reply = shop.ask("DELETE", "/small")
    assert (reply.status, reply.json["packages"]) == (200, [])
    assert shop.on_sale() == []


def test_who_may_only_read_changes_nothing(shop: Shop) -> None:
    assert shop.ask("GET", who=shop.reader).status == 200
    for method, path, body in (("POST", "", BIG), ("PUT", "/small", BIG), ("DELETE", "/small", None)):
        assert_error(shop.ask(method, path, body, shop.reader), 403, "forbidden")
    assert shop.on_sale() == ["small"]


WRONG = [
    {"credits": 1, "price": "1.00"},
    BIG | {"id": "../../etc/passwd"},
    BIG | {"id": "<b>"},
    BIG | {"id": ""},
    BIG | {"credits": True},
    BIG | {"credits": "5"},
    BIG | {"credits": 0},
    BIG | {"price": 5},
    BIG | {"price": "0.00"},
    BIG | {"price": "-1"},
    BIG | {"price": "1.001"},
    BIG | {"price": "=1+1"},
    BIG | {"currency": "dollars"},
    BIG | {"colour": "red"},
    BIG | {"version": True},
    [],
]


@pytest.mark.parametrize("body", WRONG, ids=str)
def test_a_package_that_cannot_be_is_refused(shop: Shop, body: Any) -> None:
    assert shop.ask("POST", body=body).status == 422
    assert shop.on_sale() == ["small"]


def test_ids_are_taken_once_and_kept(shop: Shop) -> None:
    assert_error(shop.ask("POST", body=BIG | {"id": "small"}), 409, "package_exists")
    assert_error(shop.ask("PUT", "/none", {"credits": 1, "price": "1.00"}), 404, "not_found")
    assert_error(shop.ask("PUT", "/small", BIG), 422, "invalid")
    assert_error(shop.ask("DELETE", "/..%2F..%2Fetc"), 404, "not_found")


def test_a_stale_version_is_refused(shop: Shop) -> None:
    version = shop.ask("GET").json["version"]
    assert shop.ask("POST", body=BIG | {"version": version}).status == 201
    stale = shop.ask("PUT", "/big", {"credits": 1, "price": "1.00", "version": version})
    assert_error(stale, 409, "stale_settings")
    assert_error(shop.ask("DELETE", f"/big?version={version}"), 409, "stale_settings")
    assert "big" in shop.on_sale()


def test_packages_added_at_once_are_all_there(shop: Shop) -> None:
    replies = at_once(6, lambda n: shop.ask("POST", body=BIG | {"id": f"p{n}"}))
    assert [reply.status for reply in replies] == [201] * 6
    assert sorted(shop.on_sale()) == ["p0", "p1", "p2", "p3", "p4", "p5", "small"]
