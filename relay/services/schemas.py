"""JSON Schemas that callers give, and answers that must satisfy them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

from relay.errors import Invalid, NotAccepted
from relay.services.schema_refs import check_references

MAX_SCHEMA_BYTES = 32 * 1024
APPLY_SECONDS = 2.0
"""Processor time for holding one answer against its schema: a few nested references can ask for years of it."""


def check_schema(schema: dict[str, Any]) -> None:
    """Raises Invalid for what is not a JSON Schema, or could send the validator elsewhere or keep it busy.

    A `$ref` may only point inside the schema. Regular expressions are refused: Python's can take for ever
    on a text made for it.
    """
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for

    if len(msgspec.json.encode(schema)) > MAX_SCHEMA_BYTES:
        raise Invalid(f"the schema is larger than {MAX_SCHEMA_BYTES} bytes", "schema")
    _walk(schema, 0)
    try:
        dialect = validator_for(schema)
        dialect.check_schema(schema)
        check_references(schema, dialect.META_SCHEMA["$schema"])
    except Invalid:
        raise
    except SchemaError as exc:
        raise Invalid(f"not a JSON Schema: {exc.message}"[:300], "schema") from None
    except Exception as exc:
        raise Invalid(f"not a usable JSON Schema: {type(exc).__name__}", "schema") from exc


class Unfit(NotAccepted):
    """The answer is not what the schema asks for. Another try may do better; that says nothing of the service, as no
    answer fits some schemas."""

    retryable = True


def _walk(node: Any, depth: int) -> None:
    if depth > 64:
        raise Invalid("the schema is nested deeper than 64 levels", "schema")
    if isinstance(node, list):
        for item in node:
            _walk(item, depth + 1)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key in {"$ref", "$dynamicRef"} and isinstance(value, str) and not value.startswith("#"):
            raise Invalid("a $ref must point inside the schema (#/…)", "schema")
        if key == "$schema" and depth and isinstance(value, str):
            raise Invalid("$schema belongs at the top of a schema only", "schema")
        # A property may be called "pattern"; then its value is a schema, not a regular expression.
        if key == "patternProperties" or (key == "pattern" and isinstance(value, str)):
            raise Invalid(f"{key} is not supported in a schema here; check the text in your app", "schema")
        _walk(value, depth + 1)


def parse_answer(text: str, schema: Mapping[str, Any], backend: str) -> Any:
    """The JSON in `text`, valid against `schema`; a code fence around it is forgiven. Raises Unfit."""
    from jsonschema.validators import validator_for
    from referencing import Registry

    try:
        data = msgspec.json.decode(_unfenced(text))
    except (msgspec.DecodeError, RecursionError):
        raise Unfit(f"{backend} answered text that is not JSON, though a schema was given") from None
    # Without `$schema`, which would make a reference to the top leave our class, and its time limit, behind.
    rules = {name: rule for name, rule in schema.items() if name != "$schema"}
    _spent.until = time.thread_time() + APPLY_SECONDS
    try:
        validator = _limited(validator_for(schema))(rules, registry=Registry())
        error = next(validator.iter_errors(data), None)
    except _TooLong:
        raise Invalid(f"the schema takes more than {APPLY_SECONDS:g} seconds to apply; simplify it", "schema") from None
    except Exception as exc:
        raise Invalid(f"the schema cannot be applied: {type(exc).__name__}", "schema") from exc
    if error is not None:
        raise Unfit(f"{backend} answered JSON that does not fit the schema at {error.json_path}")
    return data


def _unfenced(text: str) -> str:
    text = text.strip()
    if text.startswith("```"):
        text = text.partition("\n")[2].rpartition("```")[0]
    return text


class _TooLong(Exception):
    """The time for one answer is used up."""


_spent = threading.local()


@cache
def _limited(validator: Any) -> Any:
    """The validator class with a look at the clock before each keyword."""
    from jsonschema.validators import extend

    keywords = {**validator.VALIDATORS, "uniqueItems": _unique}
    return extend(validator, {name: _timed(check) for name, check in keywords.items()})  # type: ignore[no-untyped-call]


def _timed(check: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    def timed(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if time.thread_time() > _spent.until:
            raise _TooLong
        yield from check(validator, value, instance, schema) or ()

    return timed


def _unique(_validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    """The library's own compares each item with each."""
    from jsonschema import ValidationError

    if wanted and isinstance(instance, list):
        different = {msgspec.json.encode(item, order="sorted") for item in instance}
        if len(different) < len(instance):
            yield ValidationError("the items are not unique")
