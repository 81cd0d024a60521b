"""`GET /v1/models`."""

from __future__ import annotations

import msgspec

from relay.ports.inference import CallContext
from relay.shapes.endpoint import Endpoint
from relay.upstream import HTTPReply


class _Model(msgspec.Struct, gc=False):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


_models = msgspec.json.Decoder(_Models)


def openai_models(endpoint: Endpoint, ctx: CallContext) -> tuple[str, ...]:
    """The names the server lists. Raises UpstreamFailed when its answer is no list of models."""
    return read_models(endpoint.get(ctx), endpoint)


def read_models(reply: HTTPReply, endpoint: Endpoint) -> tuple[str, ...]:
    try:
        return tuple(model.id for model in _models.decode(reply.body).data)
    except (msgspec.DecodeError, RecursionError):
        raise endpoint.unreadable(reply, "it is not a list of models") from None
