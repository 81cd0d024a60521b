"""The whole document, from the app's router and the operations described in this package."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import falcon
import msgspec
from falcon.inspect import inspect_routes

from relay import __version__
from relay.domain.access import MASTER
from relay.http.admin.access import needed
from relay.http.admin.guard import OPEN
from relay.http.openapi import accounts, admin_accounts, admin_house, admin_meetings, admin_money, calls, common
from relay.http.openapi.answers import ErrorAnswer
from relay.http.openapi.bodies import Schemas, form_schema
from relay.http.openapi.operation import Json, Operation, Operations, Route

OPERATIONS: Operations = {
    **calls.PUBLIC,
    **calls.CALLS,
    **calls.OPENAI,
    **accounts.ACCOUNTS,
    **accounts.MONEY,
    **admin_accounts.OPERATIONS,
    **admin_money.OPERATIONS,
    **admin_house.OPERATIONS,
    **admin_meetings.OPERATIONS,
}
COVERED = ("/relay/", "/pay/", "/metrics", "/admin/")
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
CONVERTER = re.compile(r":[a-z]+(\([^)]*\))?}")


def document(app: falcon.App[Any, Any], public_url: str) -> Json:
    """OpenAPI 3.1: each route of the app under `COVERED`, and nothing else."""
    routes = sorted(routes_of(app), key=lambda route: (route[1], route[0]))
    operations = {route: OPERATIONS.get(route) or undescribed(route) for route in routes}
    schemas = Schemas(ErrorAnswer, *_types(operations))
    paths: Json = {}
    for route, operation in operations.items():
        paths.setdefault(route[1], {})[route[0].lower()] = _operation(route, operation, schemas)
    used = {operation.tag for operation in operations.values()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Relay",
            "version": __version__,
            "description": common.DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": public_url.rstrip("/")}],
        "tags": [{"name": name, "description": says} for name, says in common.TAGS.items() if name in used],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": {f"Error{status}": _failure(status, schemas) for status in common.FAILURES},
            "headers": common.HEADERS,
            "securitySchemes": common.SCHEMES,
        },
    }


def routes_of(app: falcon.App[Any, Any]) -> Iterator[Route]:
    """(method, template without converters) of what the app answers itself."""
    for route in inspect_routes(app):
        if route.path.startswith(COVERED):
            path = CONVERTER.sub("}", route.path)
            yield from ((each.method, path) for each in route.methods if not each.internal)


def undescribed(route: Route) -> Operation:
    """Nothing is known of it but that it is there and whose credentials it takes."""
    who = "admin" if route[1].startswith(("/admin/", "/metrics")) else "caller"
    any_answer = {"application/json": "A JSON object."}
    return Operation(f"{route[0]} {route[1]}", "Operator", who=who, media=any_answer)  # type: ignore[arg-type]


def _types(operations: Operations) -> Iterator[Any]:
    for each in operations.values():
        yield from (kind for kind in (each.answer, each.body, *each.form) if kind is not None)


def _operation(route: Route, operation: Operation, schemas: Schemas) -> Json:
    method, path = route
    found: Json = {"summary": operation.summary, "operationId": operation_id(route), "tags": [operation.tag]}
    if operation.text:
        found["description"] = operation.text
    found["parameters"] = list(_parameters(path, operation))
    if operation.body is not None or operation.form or operation.other_body is not None:
        found["requestBody"] = _body(operation, schemas)
    found["responses"] = _responses(route, operation, schemas)
    found["security"] = _security(route, operation)
    scope = needed(method, path) if found["security"] and operation.who == "admin" else None
    if scope is not None:
        found["x-scope"] = scope
    return found


def operation_id(route: Route) -> str:
    """`post_relay_credits_checkout`, for generators of clients."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", route[1]).strip("_")
    return f"{route[0].lower()}_{words}"


def _parameters(path: str, operation: Operation) -> Iterator[Json]:
    for name in re.findall(r"{(\w+)}", path):
        says, pattern = common.NAMES.get(name, (f"The id of the {name.replace('_id', '')}.", common.ID))
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": says,
            "schema": {"type": "string", "pattern": pattern},
        }
    for each in operation.params:
        yield {
            "name": each.name,
            "in": each.where,
            "required": each.required,
            "description": each.says,
            "schema": each.schema,
        }
    if operation.metered:
        yield common.JOB
    if operation.once:
        yield common.IDEMPOTENCY


def _body(operation: Operation, schemas: Schemas) -> Json:
    content: Json = {}
    if operation.body is not None:
        content["application/json"] = {"schema": schemas.of(operation.body)}
        if operation.sends is not None:
            content["application/json"]["example"] = operation.sends
    if operation.form:
        content["multipart/form-data"] = {"schema": form_schema(operation.form, schemas)}
    content |= operation.other_body or {}
    return {"required": not operation.body_optional, "content": content}


def _responses(route: Route, operation: Operation, schemas: Schemas) -> Json:
    responses: Json = {str(operation.status): _success(operation, schemas)}
    for status in sorted(_statuses(route, operation)):
        responses[str(status)] = (
            {"description": common.PLAIN[status], "headers": {"X-Request-Id": _header("X-Request-Id")}}
            if status in common.PLAIN
            else {"$ref": f"#/components/responses/Error{status}"}
        )
    return responses


def _success(operation: Operation, schemas: Schemas) -> Json:
    headers = {"X-Request-Id": _header("X-Request-Id")}
    headers |= {
        name: {"description": says, "schema": {"type": "string"}} for name, says in (operation.headers or {}).items()
    }
    if operation.once:
        headers["Idempotent-Replayed"] = _header("Idempotent-Replayed")
    content: Json = {}
    if operation.answer is not None:
        content["application/json"] = {"schema": schemas.of(operation.answer)}
        if operation.gives is not None:
            content["application/json"]["example"] = operation.gives
    for media, says in (operation.media or {}).items():
        content[media] = {"schema": {**_kind(media), "description": says}}
    answer: Json = {"description": "Done.", "headers": headers}
    return answer | ({"content": content} if content else {})


def _kind(media: str) -> Json:
    """Events have no type that all tools agree on."""
    if media == "text/event-stream":
        return {}
    return {"type": "object" if media == "application/json" else "string"}


def _statuses(route: Route, operation: Operation) -> set[int]:
    """How it can fail: what is said of it, and what follows from what it is."""
    method, path = route
    found = {*common.ALWAYS, *operation.errors}
    if "{" in path:
        found.add(404)
    if operation.who != "anybody":
        found |= {401, 429}
    if operation.who == "admin":
        found.add(403)
    if operation.body is not None or operation.form:
        found |= {413, 415, 422}
    if operation.once:
        found |= {409, 422}
    if method in WRITES:
        found.add(507)
    return found


def _failure(status: int, schemas: Schemas) -> Json:
    headers = {"X-Request-Id": _header("X-Request-Id")}
    if status in {429, 502, 503, 507, 409}:
        headers["Retry-After"] = _header("Retry-After")
    schema = schemas.of(ErrorAnswer)
    return {
        "description": common.FAILURES[status],
        "headers": headers,
        "content": {"application/json": {"schema": schema}},
    }


def _header(name: str) -> Json:
    return {"$ref": f"#/components/headers/{name}"}


def _security(route: Route, operation: Operation) -> list[Json]:
    method, path = route
    if operation.who == "anybody" or path in OPEN:
        return []
    if operation.who == "caller":
        return common.CALLER
    if operation.who == "operator":
        return [{"operatorKey": []}]
    session: Json = {"session": []} if method in {"GET", "HEAD"} else {"session": [], "csrf": []}
    scope = needed(method, path)
    known = [session] if scope == MASTER else [session, {"scopedKey": [scope]}]
    # A scraper on the same machine needs no credentials.
    return [*known, {}] if path == "/metrics" else known


def encoded(app: falcon.App[Any, Any], public_url: str) -> bytes:
    return msgspec.json.encode(document(app, public_url))
