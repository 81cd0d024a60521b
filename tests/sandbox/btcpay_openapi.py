"""Checks answers against BTCPay's own OpenAPI files, where `BTCPAY_OPENAPI` names a folder that has them."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import jsonschema
import pytest

FOLDER = os.environ.get("BTCPAY_OPENAPI", "")
needed = pytest.mark.skipif(not FOLDER or not Path(FOLDER).is_dir(), reason="BTCPAY_OPENAPI names no folder")


def check(value: object, schema: str) -> None:
    """Raises when `value` is not a `schema`, or has a field that the schema does not name."""
    jsonschema.validate(value, {"$ref": f"#/components/schemas/{schema}", "components": {"schemas": _schemas()}})
    named = _names({"$ref": f"#/components/schemas/{schema}"})
    unknown = set(value) - named if isinstance(value, dict) and named else set()
    assert unknown == set()


@cache
def _schemas() -> dict:
    merged: dict = {}
    for path in sorted(Path(FOLDER).glob("swagger.template*.json")):
        merged.update(json.loads(path.read_text()).get("components", {}).get("schemas", {}))
    return _json_schema(merged)


def _json_schema(part):
    """OpenAPI 3.0 as JSON Schema: `nullable` becomes a type, closed objects are opened."""
    if isinstance(part, list):
        return [_json_schema(item) for item in part]
    if not isinstance(part, dict):
        return part
    kept = {k: _json_schema(v) for k, v in part.items() if k != "additionalProperties" or isinstance(v, dict)}
    if kept.pop("nullable", False) is True:
        rest = {k: kept.pop(k) for k in ("type", "allOf", "$ref", "enum", "oneOf", "properties", "items") if k in kept}
        kept["anyOf"] = [{"type": "null"}, rest]
    return kept


def _names(schema: dict) -> set[str]:
    if "$ref" in schema:
        return _names(_schemas()[schema["$ref"].rsplit("/", 1)[1]])
    found = set(schema.get("properties", {}))
    for part in [*schema.get("allOf", ()), *(schema.get("anyOf") or ())]:
        found |= _names(part)
    return found
