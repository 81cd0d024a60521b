"""A webhook of Zaprite is not signed: it says which order to look at, and nothing it says is believed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from relay.api import BadRequest, Delivery, NotFound, Notice
from relay_zaprite.orders import id_like

MAX_BODY_BYTES = 64 * 1024
EVENT_FIELDS = ("event", "eventType", "type", "name")
ID_PATHS = (("orderId",), ("data", "id"), ("data", "orderId"), ("data", "object", "id"), ("id",))
OUR_ID_PATHS = (("externalUniqId",), ("data", "externalUniqId"), ("data", "object", "externalUniqId"))


def read_webhook(delivery: Delivery, token: str | None) -> Notice:
    """`token`: what the path must end in, None for any. Both shapes of the body that Zaprite has are read, and event
    names do not matter. Raises NotFound (wrong or missing token) or BadRequest."""
    if token is not None and not secrets.compare_digest(delivery.token.encode("utf-8", "replace"), token.encode()):
        raise NotFound("there is nothing at this address")
    if len(delivery.body) > MAX_BODY_BYTES:
        raise BadRequest(f"the body is larger than {MAX_BODY_BYTES // 1024} KiB, which no delivery of Zaprite is")
    try:
        body = msgspec.json.decode(delivery.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(body, dict):
        raise BadRequest("the body is not a JSON object")
    events = (body.get(field) for field in EVENT_FIELDS)
    event = next((event for event in events if isinstance(event, str) and event), "")
    return Notice(event[:64], _first(body, ID_PATHS), _first(body, OUR_ID_PATHS))


def _first(body: Mapping[str, Any], paths: tuple[tuple[str, ...], ...]) -> str | None:
    """The first of these that can be an id."""
    for path in paths:
        value: Any = body
        for field in path:
            value = value.get(field) if isinstance(value, dict) else None
        if (found := id_like(value)) is not None:
            return found
    return None
