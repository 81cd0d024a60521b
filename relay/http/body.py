"""Bodies of requests: JSON into typed values."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import falcon
import msgspec

from relay.errors import BadJSON, BadRequest, Invalid, UnsupportedMedia

T = TypeVar("T")


def read_json(req: falcon.Request, kind: type[T]) -> T:
    """The body as `kind`, its bytes in `req.context.raw`. UnsupportedMedia, BadJSON (unreadable) or Invalid."""
    content_type = (req.content_type or "").partition(";")[0].strip().lower()
    if content_type != "application/json" and not content_type.endswith("+json"):
        raise UnsupportedMedia("send the body as JSON, with Content-Type: application/json")
    raw = req.context.raw = req.bounded_stream.read()
    try:
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.ValidationError as exc:
            # The decoder stops at the first mistake; the rest of the body may still be unreadable.
            msgspec.json.decode(raw)
            message, path = _readable(str(exc))
            raise Invalid(message, path) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise BadJSON(f"the body is not JSON: {exc}"[:300]) from None


def _readable(text: str) -> tuple[str, str]:
    """msgspec's message as a sentence and a dotted path."""
    message, _, tail = text.partition(" - at `$")
    path = re.sub(r"\[(\d+|\.\.\.)\]", r".\1", tail.rstrip("`")).lstrip(".")
    missing = re.match(r"Object missing required field `(.+?)`", message)
    if missing:
        path = ".".join(filter(None, [path, missing.group(1)]))
        return f"{path} is required", path
    message = message.replace("`", "")
    return (f"{path}: {message}" if path else message), path


def query_int(req: falcon.Request, name: str, *, default: int | None, low: int, high: int) -> Any:
    """A whole number from the query string within bounds; BadRequest otherwise."""
    text = req.get_param(name)
    if text is None:
        return default
    if not re.fullmatch("[0-9]{1,15}", text) or not low <= int(text) <= high:
        raise BadRequest(f"{name} must be a whole number from {low} to {high}", details={"path": name})
    return int(text)
