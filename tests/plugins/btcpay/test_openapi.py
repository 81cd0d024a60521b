"""Everything the rail sends, against what BTCPay takes: our own schemas, and BTCPay's published ones.

BTCPay's files (`BTCPayServer/wwwroot/swagger/v1/*.json` of its repository) are not part of this one. Put them into a
folder and name it in BTCPAY_OPENAPI to have the second part run.
"""

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from relay.testing.rails import purchase
from tests.plugins.btcpay.conftest import WEBHOOK_URL
from tests.plugins.btcpay.test_connect import connect, consent
from tests.plugins.btcpay.wire_schemas import BODIES, QUERIES

FOLDER = os.environ.get("BTCPAY_OPENAPI", "")
UNPUBLISHED = {"includeArchived"}
"""Parameters that the server has and the files leave out."""


@pytest.fixture
def sent(box, btcpay, rail_for):
    """One of each request the rail makes."""
    rail = rail_for(url=f"{box.url}/btcpay")
    connect(rail)
    rail.connect_finish(consent(rail), WEBHOOK_URL)
    for price, currency in (("5.00", "USD"), ("21000", "SATS"), ("0.001", "BTC")):
        wish = purchase(price, currency)
        made = rail.create_checkout(wish)
        btcpay.expire(made.invoice_id)
        btcpay.pay(made.invoice_id)
        rail.fetch(made.invoice_id)
        rail.find(wish.order_id)
    list(rail.list_recent(datetime.now(UTC) - timedelta(days=1)))
    rail.health()
    rail.disconnect()
    return [record for record in box.requests("btcpay") if record.path.startswith("/api/")]


def test_the_requests_fit_our_schemas(sent):
    assert {record.route for record in sent} >= {*BODIES, *QUERIES, "invoice", "key", "revoke", "webhook_delete"}
    for record in sent:
        assert set(record.query) <= QUERIES.get(record.route, set()), record.path
        if record.route in BODIES:
            Draft7Validator(BODIES[record.route]).validate(record.json)
        else:
            assert record.json is None, record.path


@pytest.mark.skipif(not FOLDER, reason="BTCPAY_OPENAPI names no folder with BTCPay's published files")
def test_the_requests_fit_btcpays_published_api(sent):
    api = merged(Path(FOLDER))
    for record in sent:
        operation = find(api, record.method, record.path)
        known = {parameter_name(api, one) for one in operation["parameters"]} | UNPUBLISHED
        assert set(record.query) <= known, record.path
        if record.json is None:
            continue
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        whole = {**loosened(schema), "components": loosened(api["components"])}
        Draft7Validator(whole).validate(record.json)
        assert_known_names(api, schema, record.json, record.path)


def merged(folder):
    api = {"paths": {}, "components": {}}
    files = sorted(folder.glob("*.json"))
    assert files, f"{folder} has no JSON files"
    for file in files:
        part = json.loads(file.read_text(encoding="utf-8-sig"))
        api["paths"] |= part.get("paths", {})
        for kind, found in part.get("components", {}).items():
            api["components"].setdefault(kind, {}).update(found)
    return api


def find(api, method, path):
    """The operation; what is published without the store in its path is the same with it."""
    short = re.sub(r"/stores/[^/]+/(invoices|webhooks)/", r"/\1/", path)
    for candidate in (path, short):
        for pattern, operations in api["paths"].items():
            if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", pattern), candidate) and method.lower() in operations:
                own = operations[method.lower()]
                return {**own, "parameters": [*operations.get("parameters", []), *own.get("parameters", [])]}
    raise AssertionError(f"BTCPay publishes no {method} {path}")


def resolved(api, schema):
    while "$ref" in schema:
        found = api
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        schema = found
    return schema


def parameter_name(api, parameter):
    return resolved(api, parameter)["name"]


def loosened(schema):
    """`nullable` as JSON Schema says it. `additionalProperties: false` inside `allOf` would refuse everything."""
    if isinstance(schema, list):
        return [loosened(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: loosened(value) for name, value in schema.items() if (name, value) != ("additionalProperties", False)}
    if kept.get("nullable") is True and isinstance(kept.get("type"), str):
        kept["type"] = [kept["type"], "null"]
    return kept


def names_of(api, schema):
    """Name to schema over all branches; None when any name may be there."""
    schema = resolved(api, schema)
    found = dict(schema.get("properties", {}))
    free = schema.get("additionalProperties") is True
    for branch in schema.get("allOf", []):
        more = names_of(api, branch)
        free = free or more is None
        found |= more or {}
    return None if free else found


def assert_known_names(api, schema, body, where):
    names = names_of(api, schema)
    if names is None or not isinstance(body, dict):
        return
    assert set(body) <= set(names), where
    for name, value in body.items():
        assert_known_names(api, names[name], value, f"{where} {name}")
