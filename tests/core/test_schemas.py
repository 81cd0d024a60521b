"""References in the schemas that callers give."""

from typing import Any

import pytest

from relay.errors import Invalid
from relay.services.schemas import check_schema

DRAFT_4, DRAFT_7 = (f"http://json-schema.org/draft-0{n}/schema#" for n in (4, 7))
DRAFT_2019 = "https://json-schema.org/draft/2019-09/schema"
NAMED: dict[str, Any] = {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}]}}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$ref": "#/$defs/a", "$defs": NAMED},
        {"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}},
        {"$id": "http://x/y", "$ref": "#"},
        {"$dynamicAnchor": "n", "not": {"$dynamicRef": "#n"}},
        {"dependentSchemas": {"a": {"if": {"$ref": "#"}}}},
        {"$schema": DRAFT_7, "$ref": "#/definitions/a", "definitions": {"a": {"$id": "#q", "if": {"$ref": "#q"}}}},
    ],
)
def test_a_reference_that_leads_back_to_itself_is_refused(schema):
    with pytest.raises(Invalid, match="leads back to itself"):
        check_schema(schema)


@pytest.mark.parametrize("reference", ["#nope", "#/$defs/nope", "#/%", "#/allOf/x"])
def test_a_reference_to_nowhere_is_refused(reference):
    with pytest.raises(Invalid, match="leads nowhere"):
        check_schema({"allOf": [{}], "properties": {"x": {"$ref": reference}}})


def test_a_chain_of_references_without_an_end_in_sight_is_refused():
    names = {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(1000)}
    with pytest.raises(Invalid, match="chain"):
        check_schema({"$defs": names, "$ref": "#/$defs/a0"})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"next": {"$ref": "#/$defs/a"}}}}},
        {"$defs": {"a": {"$anchor": "z", "type": "string"}}, "allOf": [{"$ref": "#z"}, {"$ref": "#z"}]},
        {"$schema": DRAFT_7, "definitions": {"a": {"$id": "#q"}}, "properties": {"x": {"$ref": "#q"}}},
        {"properties": {"not": {"type": "string"}, "$ref": {"type": "string"}, "x": {"$ref": "#/properties/not"}}},
        {"$schema": DRAFT_4, "properties": {"x": {"$ref": "#"}}},
        {"$dynamicAnchor": "n", "properties": {"c": {"$dynamicRef": "#n"}}},
        {"$schema": DRAFT_2019, "properties": {"a": {"$recursiveRef": "#"}}},
    ],
)
def test_a_reference_that_goes_into_the_value_may_come_back(schema):
    check_schema(schema)


@pytest.mark.parametrize("schema", [{"$schema": []}, {"$schema": 7}, {"$ref": "#", "$id": "http://["}])
def test_what_confuses_the_library_is_refused(schema):
    with pytest.raises(Invalid):
        check_schema(schema)
