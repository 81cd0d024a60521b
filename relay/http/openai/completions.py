"""Answers in the shape of OpenAI's `chat/completions`: whole, or as chunks of a stream.

Each carries the relay's own `meta` and `credits` in an extra object `relay`, which clients ignore.
"""

from __future__ import annotations

from typing import Any

import msgspec

from relay.errors import RelayError
from relay.http.streams import event
from relay.ports.inference import Delta
from relay.services.tasks import Reading

END = b"data: [DONE]\n\n"
FINISHES = frozenset({"stop", "length", "content_filter", "tool_calls"})
_encode = msgspec.json.Encoder().encode


def completion_id(request_id: str) -> str:
    return f"chatcmpl-{request_id.removeprefix('req_')}"


def completion_head(result: dict[str, Any], meta: dict[str, Any], created: int) -> bytes:
    """A `chat.completion` up to where the credits follow; `}}` ends it."""
    message: dict[str, Any] = {"role": "assistant", "content": result["text"], "refusal": None}
    finish = "length" if result.get("truncated") else "stop"
    if calls := result.get("tool_calls"):
        message["content"], message["tool_calls"] = result["text"] or None, calls
        finish = "tool_calls"
    body = {
        "id": completion_id(meta["request_id"]),
        "object": "chat.completion",
        "created": created,
        "model": meta["model"],
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": usage(result["usage"]),
        "relay": {"meta": meta},
    }
    return _encode(body)[:-2] + b',"credits":'


def usage(tokens: dict[str, int]) -> dict[str, int]:
    used, made = tokens["input_tokens"], tokens["output_tokens"]
    return {"prompt_tokens": used, "completion_tokens": made, "total_tokens": used + made}


class ChunkFrames:
    """The chunks of one stream. `model`: what its chunks are called until the backend says. `with_usage`: the caller
    asked for a last chunk with the usage; the `relay` object is there then, else in the chunk with the finish."""

    def __init__(self, request_id: str, model: str, created: int, *, with_usage: bool) -> None:
        self._id = completion_id(request_id)
        self._model = model
        self._created = created
        self._with_usage = with_usage
        self._begun = False

    def delta(self, delta: Delta) -> bytes:
        self._model = delta.model or self._model
        piece: dict[str, Any] = {}
        if delta.text:
            piece["content"] = delta.text
        if delta.tool_calls:
            piece["tool_calls"] = delta.tool_calls
        if not piece:
            return b""
        if not self._begun:
            self._begun = True
            piece = {"role": "assistant", **piece}
        return self._chunk([_choice(piece, None)])

    def done(self, _result: dict[str, Any], reading: Reading, meta: dict[str, Any], paid: dict[str, Any]) -> bytes:
        finish = reading.finish if reading.finish in FINISHES else "stop"
        if reading.tool_calls:
            finish = "tool_calls"
        relay = {"relay": {"meta": meta, "credits": paid}}
        choices = [_choice({}, finish)]
        if not self._with_usage:
            return self._chunk(choices, relay) + END
        return self._chunk(choices) + self._chunk([], {"usage": usage(reading.usage)} | relay) + END

    def failed(self, error: RelayError, request_id: str, charged: int) -> bytes:
        return event("error", error.body(request_id, charged))

    def _chunk(self, choices: list[dict[str, Any]], more: dict[str, Any] | None = None) -> bytes:
        chunk: dict[str, Any] = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }
        if self._with_usage:
            chunk["usage"] = None
        if more:
            chunk |= more
        return b"data: " + _encode(chunk) + b"\n\n"


def _choice(delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
