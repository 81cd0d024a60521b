"""Chat in OpenAI's shape: what is sent, and what an answer says."""

from __future__ import annotations

from typing import Any

import msgspec

from relay.api import BlockedByUpstream, ChatRequest, Delta, HTTPReply, UpstreamFailed
from relay_spark.failures import unreadable


class _Message(msgspec.Struct, gc=False):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    model: str | None = None
    usage: Any = None


_completion = msgspec.json.Decoder(_Completion)


class _Model(msgspec.Struct, gc=False):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


_models = msgspec.json.Decoder(_Models)


def completion_request(request: ChatRequest, model: str) -> dict[str, Any]:
    """The body for `POST /v1/chat/completions`."""
    body: dict[str, Any] = {"model": model, "messages": [dict(message) for message in request.messages]}
    if request.max_output_tokens is not None:
        body["max_tokens"] = request.max_output_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.schema is not None:
        answer = {"name": "answer", "schema": dict(request.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": answer}
    return body


def read_completion(reply: HTTPReply, model: str, path_key: str, *, structured: bool) -> Delta:
    """The whole answer as one Delta. `structured`: a schema was asked for, so half an answer is none.

    Raises BlockedByUpstream for a refusal, UpstreamFailed for an empty, cut or unreadable answer.
    """
    try:
        completion = _completion.decode(reply.body)
    except (msgspec.DecodeError, RecursionError):
        raise unreadable(reply, path_key, "it is not a chat completion") from None
    if not completion.choices:
        raise unreadable(reply, path_key, "it holds no choice")
    choice = completion.choices[0]
    if choice.finish_reason == "content_filter" or choice.message.refusal:
        raise BlockedByUpstream("the model refused this request")
    text = choice.message.content or ""
    if structured and choice.finish_reason == "length":
        raise UpstreamFailed(
            "the answer was cut at the limit of output tokens, so it does not fit the schema; "
            "raise max_output_tokens or ask for less"
        )
    if not text.strip():
        raise unreadable(reply, path_key, "it is empty")
    usage = completion.usage if isinstance(completion.usage, dict) else {}
    return Delta(
        text,
        choice.finish_reason or "stop",
        completion.model or model,
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
    )


def read_models(reply: HTTPReply, path_key: str) -> tuple[str, ...]:
    """The names in an answer to `GET /v1/models`. Raises UpstreamFailed when it is not one."""
    try:
        return tuple(model.id for model in _models.decode(reply.body).data)
    except (msgspec.DecodeError, RecursionError):
        raise unreadable(reply, path_key, "it is not a list of models") from None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
