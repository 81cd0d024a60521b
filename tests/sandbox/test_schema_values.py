"""Values that fit a schema, judged by jsonschema."""

from __future__ import annotations

import jsonschema
import pytest

from relay.testing.sandbox.schema_values import fitting, unfitting

NESTED = {
    "$defs": {"node": {"type": "object", "properties": {"name": {"type": "string"}, "next": {"$ref": "#/$defs/node"}}}},
    "$ref": "#/$defs/node",
}
SCHEMAS = [
    {"type": "string"},
    {"type": "string", "minLength": 100, "maxLength": 120},
    {"type": "string", "maxLength": 3},
    {"type": "string", "format": "date-time"},
    {"enum": ["red", "green"]},
    {"const": {"a": 1}},
    {"type": "integer"},
    {"type": "integer", "minimum": 7},
    {"type": "integer", "maximum": -7},
    {"type": "integer", "exclusiveMinimum": 2, "maximum": 3},
    {"type": "integer", "minimum": 1, "multipleOf": 5},
    {"type": "integer", "exclusiveMaximum": 0},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "number", "minimum": 0.2, "maximum": 0.4},
    {"type": "boolean"},
    {"type": "null"},
    {"type": ["null", "integer"]},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3},
    {"type": "array", "items": {"type": "string"}, "maxItems": 0},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a", "b"]},
    {"properties": {"a": {"items": {"enum": [1, 2]}}}, "additionalProperties": False},
    {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"required": ["c"]}], "type": "object"},
    NESTED,
    {},
    True,
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=repr)
def test_a_value_fits_its_schema(schema):
    jsonschema.validate(fitting(schema), schema)


@pytest.mark.parametrize("kind", ["object", "array", "integer", "string", "boolean"])
def test_a_value_can_be_made_that_does_not_fit(kind):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(unfitting({"type": kind}), {"type": kind})


def test_a_schema_that_needs_itself_is_refused():
    endless = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    with pytest.raises(ValueError, match="without end"):
        fitting(endless)
    with pytest.raises(ValueError, match="without end"):
        fitting({"$ref": "#"})
