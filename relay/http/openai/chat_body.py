"""The body of OpenAI's `chat/completions`, and how it becomes a question to a backend."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from relay.errors import Invalid
from relay.ports.inference import ChatRequest
from relay.services.parts import check_urls
from relay.services.requests import Temperature, Text, Tokens
from relay.services.schemas import check_schema

DEFAULT_MODEL = "default"
"""What a client sends that must name a model and does not care which."""

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
PASSED_ON = (
    "top_p",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning_effort",
)
"""Fields a backend gets as they came, in `ChatRequest.options`."""

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Stop = Annotated[str, Meta(max_length=1000)]


class StreamOptions(Struct):
    include_usage: bool = False


class JSONSchema(Struct):
    schema: dict[str, Any]


class ResponseFormat(Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchema | None = None


class ChatBody(Struct):
    """Other fields of OpenAI's (`user`, `metadata`, `store`, …) are ignored. `backend` is the relay's own."""

    messages: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=10_000)]
    model: Text | None = None
    backend: Text | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Temperature | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stop: Stop | Annotated[list[Stop], Meta(max_length=16)] | None = None
    seed: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, float] | None = None
    n: int | None = None
    logprobs: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[dict[str, Any]], Meta(max_length=128)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    functions: Any = None
    audio: Any = None

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def wanted_model(self) -> str | None:
        """None: any."""
        return None if self.model == DEFAULT_MODEL else self.model


def chat_request(body: ChatBody) -> ChatRequest:
    """Raises Invalid for what the relay cannot do, rather than answer something else and charge for it, and
    UrlNotAllowed for a part that is to be fetched."""
    _refuse(body)
    for n, message in enumerate(body.messages):
        _check_message(message, f"messages.{n}")
    options = {name: value for name in PASSED_ON if (value := getattr(body, name)) is not None}
    return ChatRequest(
        body.messages,
        schema=_schema(body.response_format, options),
        model=body.wanted_model,
        max_output_tokens=body.max_completion_tokens or body.max_tokens,
        temperature=body.temperature,
        options=options,
        stream=body.stream or False,
    )


def _refuse(body: ChatBody) -> None:
    if body.n is not None and body.n != 1:
        raise Invalid("n must be 1: one call is one answer; call again for another", "n")
    if body.functions is not None:
        raise Invalid("functions are not supported; send tools", "functions")
    if body.audio is not None:
        raise Invalid("this relay answers with text only; leave audio out", "audio")
    if body.logprobs:
        raise Invalid("logprobs are not offered here; leave them out", "logprobs")


def _check_message(message: dict[str, Any], path: str) -> None:
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise Invalid(f"{path}.role: must be one of {', '.join(sorted(ROLES))}", f"{path}.role")
    if isinstance(content, str) or (content is None and role == "assistant"):
        return
    parts = content if isinstance(content, list) and content else [None]
    if not all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in parts):
        raise Invalid(f"{path}.content: must be text, or a list of parts with a type each", f"{path}.content")
    check_urls(content, f"{path}.content")


def _schema(wanted: ResponseFormat | None, options: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of the answer; a wish for any JSON goes to the backend as it came."""
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        options["response_format"] = {"type": "json_object"}
        return None
    if wanted.json_schema is None:
        path = "response_format.json_schema"
        raise Invalid(f"{path} is required", path)
    check_schema(wanted.json_schema.schema)
    return wanted.json_schema.schema
