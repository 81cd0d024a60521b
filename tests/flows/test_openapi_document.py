"""`GET /relay/openapi.json`: every route is in it, with what it takes and how it ends, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from falcon.inspect import inspect_routes
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from relay.domain.access import MASTER
from relay.http.admin.access import SCOPES
from relay.http.openapi.document import COVERED, OPERATIONS, routes_of
from tests.flows.live import FakeBackend, Live, running

METHODS = {"get", "head", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("relay"), [FakeBackend()]) as live:
        yield live


@pytest.fixture(scope="module")
def document(relay: Live) -> Any:
    return relay.get("/relay/openapi.json").json


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            yield method.upper(), path, item[method]


def test_it_is_a_valid_openapi_document(document: Any) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1")


def test_every_route_is_in_it_and_nothing_else(relay: Live, document: Any) -> None:
    routes = {
        (each.method, re.sub(r":[^}]*}", "}", route.path))
        for route in inspect_routes(relay.app)
        for each in route.methods
        if not each.internal and route.path.startswith(COVERED)
    }
    assert {(method, path) for method, path, _ in operations(document)} == routes


def test_every_route_is_described(relay: Live) -> None:
    there = set(routes_of(relay.app))
    assert sorted(there - OPERATIONS.keys()) == []
    assert sorted(OPERATIONS.keys() - there) == [], "described, but not there"


def test_every_route_says_how_it_can_end(document: Any) -> None:
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"], where
        good = [status for status in operation["responses"] if status[0] in "23"]
        bad = [status for status in operation["responses"] if status[0] in "45"]
        assert good, where
        assert {"400", "500", "503"} <= set(bad), where
        if method != "HEAD" and good[0] != "303":
            assert operation["responses"][good[0]]["content"], where


def test_no_two_operations_share_an_id(document: Any) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))


def test_each_admin_route_says_which_scope_it_needs(document: Any) -> None:
    for method, path, operation in operations(document):
        scope = SCOPES.get((method, path))
        if scope is None:
            continue
        assert operation["x-scope"] == scope
        keys = [each["scopedKey"] for each in operation["security"] if "scopedKey" in each]
        assert keys == ([] if scope == MASTER else [[scope]])


def test_what_is_open_needs_no_credentials(relay: Live, document: Any) -> None:
    open_paths = {path for _, path, operation in operations(document) if not operation["security"]}
    assert {"/relay/health", "/relay/openapi.json", "/admin/login", "/admin/status", "/pay/{token}"} <= open_paths
    for method, path, operation in operations(document):
        if method == "GET" and "{" not in path and path != "/metrics":
            expected = {200} if not operation["security"] else {401}
            assert relay.get(path).status in expected, path


def test_every_example_fits_its_schema(document: Any) -> None:
    seen = 0
    for holder in nodes(document):
        if "schema" in holder and "example" in holder:
            schema = {**holder["schema"], "components": document["components"]}
            Draft202012Validator(schema).validate(holder["example"])
            seen += 1
    described = [each for each in OPERATIONS.values() if each.sends is not None or each.gives is not None]
    assert seen >= len(described)


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value)


def test_the_server_is_where_the_operator_says(tmp_path: Any) -> None:
    with running(tmp_path, [FakeBackend()], relay='public_url = "https://relay.example/"\n') as live:
        assert live.get("/relay/openapi.json").json["servers"] == [{"url": "https://relay.example"}]


def test_anybody_may_read_it_also_from_a_page(relay: Live) -> None:
    reply = relay.get("/relay/openapi.json", {"Origin": "https://app.example"})
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, "*")
    assert reply.headers["content-type"] == "application/json"


def test_it_is_not_sent_again_to_who_has_it(relay: Live) -> None:
    etag = relay.get("/relay/openapi.json").headers["etag"]
    reply = relay.get("/relay/openapi.json", {"If-None-Match": etag})
    assert (reply.status, reply.body) == (304, b"")
    assert relay.get("/relay/openapi.json", {"If-None-Match": '"another"'}).status == 200


def test_it_holds_nothing_of_the_machine(document: Any, relay: Live) -> None:
    text = relay.get("/relay/openapi.json").body.decode()
    assert "/home/" not in text
    assert str(relay.core.data_dir) not in text
