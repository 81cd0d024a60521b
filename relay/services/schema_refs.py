"""References inside a JSON Schema: each must lead somewhere, and none back to itself on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from relay.errors import Invalid

REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
LISTS = ("allOf", "anyOf", "oneOf")
ONE = ("not", "if", "then", "else")
MAPPINGS = ("dependentSchemas", "dependencies")
"""Keywords whose schemas apply to the very value their own schema applies to."""


def check_references(schema: dict[str, Any], dialect: str) -> None:
    """Raises Invalid for a reference to nowhere, and for a loop in which no step goes into the value, like
    `{"$ref": "#"}`: whoever applies it never comes to an end. `dialect`: the URI of the meta-schema."""
    from referencing import Registry
    from referencing.jsonschema import specification_with

    specification = specification_with(dialect)
    resource = specification.create_resource(schema)
    try:
        _Walk(specification).everywhere(schema, Registry().with_resource("", resource).resolver())
    except RecursionError:
        raise Invalid("the schema has too long a chain of $ref", "schema") from None


class _Walk:
    """`_open`: the schemas on the way here; `_done`: those that lead into no loop. By identity: a reference yields
    the very object that stands in the schema."""

    def __init__(self, specification: Any) -> None:
        self._specification = specification
        self._open: set[int] = set()
        self._done: set[int] = set()

    def everywhere(self, node: Any, resolver: Any) -> None:
        if isinstance(node, list):
            for item in node:
                self.everywhere(item, resolver)
        elif isinstance(node, dict):
            resolver = self._inside(node, resolver)
            self._follow(node, resolver)
            for value in node.values():
                self.everywhere(value, resolver)

    def _follow(self, node: Any, resolver: Any) -> None:
        if not isinstance(node, dict) or id(node) in self._done:
            return
        if id(node) in self._open:
            raise Invalid("a $ref leads back to itself; there must be properties or items on the way", "schema")
        self._open.add(id(node))
        for following, its_resolver in self._applied(node, resolver):
            self._follow(following, self._inside(following, its_resolver))
        self._open.remove(id(node))
        self._done.add(id(node))

    def _applied(self, node: dict[str, Any], resolver: Any) -> Iterator[tuple[Any, Any]]:
        """The schemas that apply to the same value as `node`."""
        from referencing.exceptions import Unresolvable

        for name in REFERENCES:
            if isinstance(reference := node.get(name), str):
                try:
                    found = resolver.lookup(reference)
                except (Unresolvable, ValueError):
                    raise Invalid(f"the {name} {reference[:100]!r} leads nowhere", "schema") from None
                yield found.contents, found.resolver
        for name in LISTS:
            yield from ((item, resolver) for item in _list(node.get(name)))
        for name in ONE:
            yield node.get(name), resolver
        for name in MAPPINGS:
            yield from ((item, resolver) for item in _list(node.get(name)))

    def _inside(self, node: Any, resolver: Any) -> Any:
        """An `$id` begins a document of its own."""
        if not isinstance(node, dict) or not isinstance(node.get("$id"), str):
            return resolver
        return resolver.in_subresource(self._specification.create_resource(node))


def _list(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
