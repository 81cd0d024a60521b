"""Schemas of bodies, from the very types that handlers decode."""

from __future__ import annotations

from typing import Any

import msgspec

from relay.http.openapi.operation import Json

TEMPLATE = "#/components/schemas/{name}"
FILE: Json = {"type": "string", "contentMediaType": "application/octet-stream", "description": "The recording."}


class Schemas:
    """The components of a document, and where each type is among them."""

    def __init__(self, *kinds: Any) -> None:
        unique = list(dict.fromkeys(kinds))
        found, self.components = msgspec.json.schema_components(unique, ref_template=TEMPLATE)
        self._of = dict(zip(unique, found, strict=True))

    def of(self, kind: Any) -> Json:
        found: Json = self._of[kind]
        return found

    def struct(self, kind: Any) -> Json:
        """The component of a Struct itself."""
        found: Json = self.components[self._of[kind]["$ref"].rpartition("/")[2]]
        return found


def form_schema(kinds: tuple[Any, ...], schemas: Schemas) -> Json:
    """Fields of a form beside its `file`. A field that is an object in JSON is its text here."""
    forms = [_form(schemas.struct(kind)) for kind in kinds]
    return forms[0] if len(forms) == 1 else {"oneOf": forms}


def _form(struct: Json) -> Json:
    fields = {name: _field(schema) for name, schema in struct["properties"].items() if name != "url"}
    required = [name for name in struct.get("required", ()) if name != "url"]
    return {"type": "object", "properties": {"file": FILE, **fields}, "required": ["file", *required]}


def _field(schema: Json) -> Json:
    """Forms have no null: a field that may be null is one that may be left out."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if kinds:
        schema = kinds[0]
    if schema.get("type") == "object":
        return {"type": "string", "contentMediaType": "application/json"}
    return schema
