"""Chat in OpenAI's shape: what is sent, and what an answer says, whole or as a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from relay.errors import BlockedByUpstream, NotAccepted, OutcomeUnknown, UpstreamFailed
from relay.ports.inference import CallContext, ChatRequest, Delta
from relay.shapes.endpoint import Endpoint
from relay.shapes.failures import failure_in_stream
from relay.shapes.sse import Event, events
from relay.upstream import HTTPReply

OUR_OPTIONS = frozenset({"n", "stream", "stream_options"})
"""How many answers come, and how, is the relay's own affair."""
DONE = b"[DONE]"


class _Message(msgspec.Struct, gc=False):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    model: str | None = None
    usage: Any = None


class _PieceChoice(msgspec.Struct):
    delta: _Message | None = None
    finish_reason: str | None = None
    index: int = 0


class _Piece(msgspec.Struct):
    choices: list[_PieceChoice] | None = None
    model: str | None = None
    usage: Any = None
    error: Any = None
    object: Any = None


_completion = msgspec.json.Decoder(_Completion)
_piece = msgspec.json.Decoder(_Piece)


def openai_chat(
    endpoint: Endpoint, request: ChatRequest, model: str, ctx: CallContext, *, limit_field: str = "max_tokens"
) -> Iterator[Delta]:
    """The answer of `POST /v1/chat/completions`: one Delta, or the pieces as they come when `request.stream`.

    A stream raises with its first piece: what `Endpoint` raises is certain, a stream cut afterwards is
    OutcomeUnknown. `limit_field`: what the server calls the limit of output tokens.
    """
    body = completion_request(request, model, limit_field)
    if request.stream:
        return _streamed(endpoint, body, request, model, ctx)
    return iter([read_completion(endpoint.post_json(body, ctx), model, endpoint, structured=_structured(request))])


def completion_request(request: ChatRequest, model: str, limit_field: str = "max_tokens") -> dict[str, Any]:
    body: dict[str, Any] = {name: value for name, value in request.options.items() if name not in OUR_OPTIONS}
    body["model"] = model
    body["messages"] = [dict(message) for message in request.messages]
    if request.max_output_tokens is not None:
        body[limit_field] = request.max_output_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.schema is not None:
        answer = {"name": "answer", "schema": dict(request.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": answer}
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return body


def read_completion(reply: HTTPReply, model: str, endpoint: Endpoint, *, structured: bool) -> Delta:
    """The whole answer as one Delta. `structured`: a schema was asked for, so half an answer is none.

    Raises BlockedByUpstream for a refusal, NotAccepted for an answer that the limit of output tokens leaves nothing
    of, UpstreamFailed for an empty or unreadable one.
    """
    try:
        completion = _completion.decode(reply.body)
    except (msgspec.DecodeError, RecursionError):
        raise endpoint.unreadable(reply, "it is not a chat completion") from None
    if not completion.choices:
        raise endpoint.unreadable(reply, "it holds no choice")
    choice = completion.choices[0]
    message = choice.message
    finish = _finished(choice.finish_reason, message.refusal, structured=structured)
    text = message.content or ""
    calls = [{**call, "index": n} for n, call in enumerate(message.tool_calls or ())]
    if not text.strip() and not calls:
        raise nothing_left() if finish == "length" else endpoint.unreadable(reply, "it is empty")
    asked, answered = _usage(completion.usage)
    return Delta(text, finish, completion.model or model, asked, answered, calls)


def _streamed(
    endpoint: Endpoint, body: Mapping[str, Any], request: ChatRequest, model: str, ctx: CallContext
) -> Iterator[Delta]:
    structured = _structured(request)
    with endpoint.stream_json(body, ctx) as stream:
        if stream.headers.get("content-type", "").startswith("application/json"):  # it does not know how to stream
            reply = HTTPReply(stream.status, stream.headers, stream.read_all())
            yield read_completion(reply, model, endpoint, structured=structured)
            return
        yield from read_stream(events(stream), model, endpoint, structured=structured)
        stream.finish()


def read_stream(stream: Iterable[Event], model: str, endpoint: Endpoint, *, structured: bool) -> Iterator[Delta]:
    """The pieces of one answer; the last has the finish, the model and the usage.

    Raises UpstreamFailed (or its kin) for an error the server reports, BlockedByUpstream for a refusal, and
    OutcomeUnknown for a stream that makes no sense or ends without saying that it is at its end.
    """
    finish, usage, refused, some = None, None, None, False
    for event in stream:
        if event.data == DONE:
            break
        piece = _read_piece(event, endpoint)
        model, usage = piece.model or model, piece.usage or usage
        for choice in piece.choices or ():
            if choice.index != 0:
                continue
            finish = choice.finish_reason or finish
            if (delta := choice.delta) is None:
                continue
            refused = delta.refusal or refused
            if delta.content or delta.tool_calls:
                some = some or bool(delta.tool_calls) or not (delta.content or "").isspace()
                yield Delta(delta.content or "", tool_calls=delta.tool_calls or ())
    else:
        if finish is None:
            raise OutcomeUnknown(f"the stream of {endpoint.server.name} ended before the answer was complete")
    finish = _finished(finish, refused, structured=structured)
    if not some:
        if finish == "length":
            raise nothing_left()
        raise UpstreamFailed(f"{endpoint.server.name} gave an answer that cannot be used: it is empty")
    asked, answered = _usage(usage)
    yield Delta("", finish, model, asked, answered)


def _read_piece(event: Event, endpoint: Endpoint) -> _Piece:
    try:
        piece = _piece.decode(event.data)
    except (msgspec.DecodeError, RecursionError):
        raise OutcomeUnknown(f"{endpoint.server.name} sent a stream that cannot be read") from None
    if piece.error or piece.object == "error" or event.name == "error":
        said = piece.error or msgspec.json.decode(event.data)
        raise failure_in_stream(said, endpoint.server, endpoint.setting)
    return piece


def _finished(finish: str | None, refusal: str | None, *, structured: bool) -> str:
    if finish == "content_filter" or refusal:
        raise BlockedByUpstream("the model refused this request")
    if structured and finish == "length":
        raise NotAccepted(
            "the answer was cut at the limit of output tokens, so it does not fit the schema; "
            "raise max_output_tokens or ask for less"
        )
    return finish or "stop"


def nothing_left() -> NotAccepted:
    return NotAccepted("the limit of output tokens was reached before the answer began; raise max_output_tokens")


def _structured(request: ChatRequest) -> bool:
    return request.schema is not None


def _usage(usage: Any) -> tuple[int | None, int | None]:
    """Tokens in, tokens out."""
    counts = usage if isinstance(usage, dict) else {}
    return _count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens"))


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
