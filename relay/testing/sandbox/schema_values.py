"""A value that fits a JSON Schema, always the same for the same schema; and one that does not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 12
MAX_ITEMS = 1000
OPTIONAL_DEPTH = 4
FORMATS = {
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "date-time": "2026-01-02T03:04:05Z",
    "email": "ann@example.org",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def fitting(schema: Any, text: str = "words of the sandbox") -> Any:
    """A value for `schema`; strings are made of `text`.

    Knows type, properties, required, items, prefixItems, enum, const, anyOf, oneOf, allOf, $ref inside the document,
    and the bounds of strings, numbers and arrays. Not: pattern, not, if, dependencies. Raises ValueError for a schema
    that needs itself without end.
    """
    return _Maker(schema, text).make(schema, 0)


def unfitting(schema: Any) -> Any:
    """A value of another type than the schema's outermost."""
    made = fitting(schema)
    return "not what was asked for" if not isinstance(made, str) else 17


class _Maker:
    def __init__(self, root: Any, text: str) -> None:
        self._root = root
        self._text = text or "text"

    def make(self, schema: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError("the schema needs itself without end")
        if not isinstance(schema, Mapping):
            return self._text
        schema = self._merged(schema, depth)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        kind = _type(schema)
        if kind in ("boolean", "null"):
            return True if kind == "boolean" else None
        makers = {"object": self._object, "array": self._array, "integer": _integer, "number": _number}
        return makers.get(kind, self._string)(schema, depth)

    def _merged(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """Without $ref, allOf, anyOf and oneOf: of the last two the first choice is taken."""
        merged = {key: value for key, value in schema.items() if key not in ("$ref", "allOf", "anyOf", "oneOf")}
        others = [self._resolve(schema["$ref"])] if "$ref" in schema else []
        others += schema.get("allOf", [])
        for several in ("anyOf", "oneOf"):
            others += schema.get(several, [])[:1]
        for other in others:
            if depth > MAX_DEPTH:
                raise ValueError("the schema needs itself without end")
            found = self._merged(other, depth + 1)
            found["properties"] = {**merged.get("properties", {}), **found.get("properties", {})}
            found["required"] = [*merged.get("required", []), *found.get("required", [])]
            merged = {**merged, **{key: value for key, value in found.items() if value not in ({}, [])}}
        return merged

    def _resolve(self, ref: str) -> Any:
        found = self._root
        for step in ref.removeprefix("#").strip("/").split("/"):
            if step:
                found = found[step.replace("~1", "/").replace("~0", "~")]
        return found

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = set(schema.get("required", []))
        made = {
            name: self.make(inner, depth + 1)
            for name, inner in schema.get("properties", {}).items()
            if name in required or depth < OPTIONAL_DEPTH
        }
        return made | dict.fromkeys(sorted(required - made.keys()), self._text)

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        made = [self.make(inner, depth + 1) for inner in schema.get("prefixItems", [])]
        wanted = schema.get("minItems", 0 if made or depth >= OPTIONAL_DEPTH else 1)
        wanted = min(wanted, schema.get("maxItems", wanted), MAX_ITEMS)
        return made + [self.make(schema.get("items", {}), depth + 1) for _ in range(wanted - len(made))]

    def _string(self, schema: Mapping[str, Any], _depth: int) -> str:
        text = FORMATS.get(schema.get("format", ""), self._text)
        least = schema.get("minLength", 0)
        text *= math.ceil(least / len(text)) if least else 1
        return text[: max(least, schema.get("maxLength", len(text)))]


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind is None:
        kind = "object" if schema.get("properties") else "array" if "items" in schema else "string"
    return str(kind)


def _integer(schema: Mapping[str, Any], _depth: int) -> int:
    return int(_numeric(schema, int(schema.get("multipleOf", 1))))


def _number(schema: Mapping[str, Any], _depth: int) -> int | float:
    return _numeric(schema, schema.get("multipleOf", 1))


def _numeric(schema: Mapping[str, Any], step: float) -> float:
    """The least multiple of `step` within the bounds; without a lower one the greatest up to `step`."""
    low, high = float(schema.get("minimum", -math.inf)), float(schema.get("maximum", math.inf))
    above, below = float(schema.get("exclusiveMinimum", -math.inf)), float(schema.get("exclusiveMaximum", math.inf))
    least, most = max(low, above), min(high, below)
    value = math.ceil(least / step) * step if least > -math.inf else math.floor(min(most, step) / step) * step
    if value <= above:
        value += step
    if value >= below:
        value -= step
    return value if least <= value <= most and value not in (above, below) else (least + most) / 2
