"""What is said of one method of one route."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]
Route = tuple[str, str]
"""(method, the router's template), as in relay/http/admin/access.py."""


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of the query, or a header. `schema`: a JSON Schema."""

    name: str
    says: str
    schema: Json
    where: Literal["query", "header"] = "query"
    required: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one route. Types are the Structs that handlers decode, or those of this package.

    `who`: whose credentials it takes; for `/admin/` the table of scopes says it. `answer`: the type of the answer with
    `status`; `media`: other content types of that answer -> what they hold, in words. `body`: the type of a JSON body;
    `form`: the types of a form beside its `file`, one of them; `other_body`: another content type -> its schema.
    `metered`: it costs a credit, and takes X-Recap-Job-Id. `once`: it takes Idempotency-Key. `errors`: statuses beside
    those that every route has, or that follow from the rest. `sends`, `gives`: examples of the body and of the answer.
    `headers`: those of the answer beside X-Request-Id, with what they say.
    """

    summary: str
    tag: str
    answer: Any = None
    status: int = 200
    text: str = ""
    who: Literal["anybody", "caller", "operator", "admin"] = "caller"
    body: Any = None
    body_optional: bool = False
    form: tuple[Any, ...] = ()
    other_body: Json | None = None
    media: dict[str, str] | None = None
    params: tuple[Param, ...] = ()
    metered: bool = False
    once: bool = False
    errors: tuple[int, ...] = ()
    headers: dict[str, str] | None = None
    sends: Any = None
    gives: Any = None


Operations = dict[Route, Operation]


def number(name: str, says: str, low: int, high: int, default: int | None = None) -> Param:
    schema: Json = {"type": "integer", "minimum": low, "maximum": high}
    return Param(name, says, schema if default is None else schema | {"default": default})


def text(name: str, says: str, most: int | None = None) -> Param:
    return Param(name, says, {"type": "string"} if most is None else {"type": "string", "maxLength": most})


def choice(name: str, says: str, *values: str) -> Param:
    return Param(name, says, {"type": "string", "enum": list(values)})


def paging(default: int, most: int) -> tuple[Param, Param]:
    """The parameters of a page that is turned by its last row."""
    return limit(default, most), text("before", "The `next` of an earlier page.")


def limit(default: int, most: int) -> Param:
    return number("limit", "How many rows at most.", 1, most, default)


def offset() -> Param:
    return number("offset", "How many rows to pass over.", 0, 10**9, 0)
