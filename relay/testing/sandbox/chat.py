"""Chat completions in OpenAI's shape, whole and streamed. The same question has the same answer."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from relay.testing.sandbox.schema_values import fitting, unfitting
from relay.testing.sandbox.service import Call, Refusal, Reply, json_reply, sse, stream_reply

CHARACTERS_PER_TOKEN = 4
TOKENS_PER_PICTURE = 256
QUOTED_WORDS = 40

FAULTS = {
    "context_length": "answers 400 as vLLM does for a prompt beyond `tokens` (4096) tokens",
    "wrong_schema": "answers with JSON that does not fit the schema that was asked for",
    "length": "stops in the middle of the answer with finish_reason length",
    "content_filter": "answers nothing with finish_reason content_filter",
    "no_choices": "answers 200 with an empty list of choices",
    "no_usage": "leaves the usage out",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """`calls`: what stands in `tool_calls`, instead of a text."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    calls: list[dict[str, Any]] | None = None

    def usage(self) -> dict[str, int]:
        total = self.prompt_tokens + self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": total,
        }


_ids = itertools.count(1)


def complete(call: Call, models: Sequence[str], max_model_len: int, said: str, piece_seconds: float) -> Reply:
    """The answer to `POST …/chat/completions`.

    `said`: the text to answer with; empty makes one of the last message. `piece_seconds`: the pause between the pieces
    of a stream. Raises Refusal with the status and the words vLLM has.
    """
    asked = call.json()
    if not isinstance(asked, dict) or not isinstance(asked.get("messages"), list) or not asked["messages"]:
        raise Refusal(400, "messages is required: a list that is not empty")
    model = asked.get("model") or models[0]
    if model not in models:
        raise Refusal(404, f"The model `{model}` does not exist.")
    prompt = sum(_tokens(message) for message in asked["messages"] if isinstance(message, dict))
    limit = call.option("tokens", 4096) if call.has_fault("context_length") else max_model_len
    if prompt > limit or call.has_fault("context_length"):
        prompt = max(prompt, limit + 1)
        raise Refusal(
            400,
            f"This model's maximum context length is {limit} tokens. However, your request has {prompt} input tokens. "
            "Please reduce the length of the input messages.",
        )
    answer = _answer(call, asked, prompt, said)
    call.note(prompt_tokens=answer.prompt_tokens, completion_tokens=answer.completion_tokens)
    head = {"id": f"chatcmpl-{next(_ids)}", "created": int(time.time()), "model": model}
    if asked.get("stream"):
        return stream_reply(_stream(call, asked, answer, head, piece_seconds))
    return json_reply(_whole(call, answer, head))


def _whole(call: Call, answer: Answer, head: Mapping[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.calls:
        message["tool_calls"] = answer.calls
    choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
    whole = {**head, "object": "chat.completion", "choices": [] if call.has_fault("no_choices") else [choice]}
    return whole if call.has_fault("no_usage") else {**whole, "usage": answer.usage()}


def _stream(
    call: Call, asked: Mapping[str, Any], answer: Answer, head: Mapping[str, Any], pause: float
) -> Iterator[bytes | float]:
    head = {**head, "object": "chat.completion.chunk"}

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        choices = [] if call.has_fault("no_choices") else [{"index": 0, "delta": delta, "finish_reason": finish}]
        return sse({**head, "choices": choices})

    yield chunk({"role": "assistant", "content": None if answer.calls else ""})
    for number, tool_call in enumerate(answer.calls or ()):
        yield chunk({"tool_calls": [{"index": number, **tool_call}]})
    for piece in _words(answer.text):
        yield pause
        yield chunk({"content": piece})
    yield chunk({}, answer.finish_reason)
    options = asked.get("stream_options")
    if isinstance(options, dict) and options.get("include_usage") and not call.has_fault("no_usage"):
        yield sse({**head, "choices": [], "usage": answer.usage()})
    yield sse("[DONE]")


def _words(text: str) -> list[str]:
    """The text word by word; each keeps the blank before it."""
    words = text.split(" ")
    return [words[0], *(f" {word}" for word in words[1:])] if text else []


def _answer(call: Call, asked: Mapping[str, Any], prompt: int, said: str) -> Answer:
    if call.has_fault("content_filter"):
        return Answer("", "content_filter", prompt, 0)
    if tools := _tool_calls(asked):
        return Answer("", "tool_calls", prompt, _count(str(tools)), tools)
    text = _text(call, asked, said or _echo(asked["messages"]))
    most = asked.get("max_completion_tokens") or asked.get("max_tokens")
    if call.has_fault("length"):
        most = max(1, _count(text) // 2)
    if isinstance(most, int) and _count(text) > most:
        return Answer(text[: most * CHARACTERS_PER_TOKEN], "length", prompt, most)
    return Answer(text, "stop", prompt, _count(text))


def _text(call: Call, asked: Mapping[str, Any], said: str) -> str:
    form = asked.get("response_format")
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "json_object":
        return msgspec.json.encode({"answer": said}).decode()
    schema = asked.get("guided_json")
    if kind == "json_schema" and isinstance(form, dict):
        schema = form.get("json_schema", {}).get("schema")
    if schema is None:
        return said
    try:
        value = unfitting(schema) if call.has_fault("wrong_schema") else fitting(schema, said)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise Refusal(400, f"the JSON schema cannot be used: {exc}") from None
    return msgspec.json.encode(value).decode()


def _tool_calls(asked: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """A call of the tool that was chosen, else of the first; none once a tool has answered, or when none is wanted."""
    tools, choice = asked.get("tools"), asked.get("tool_choice", "auto")
    if not tools or choice == "none" or asked["messages"][-1].get("role") == "tool":
        return None
    functions = [tool["function"] for tool in tools]
    wanted = choice["function"]["name"] if isinstance(choice, dict) else functions[0]["name"]
    function = next((one for one in functions if one["name"] == wanted), None)
    if function is None:
        raise Refusal(400, f"there is no tool {wanted!r}")
    arguments = msgspec.json.encode(fitting(function.get("parameters") or {"type": "object"})).decode()
    return [{"id": f"call_{wanted}", "type": "function", "function": {"name": wanted, "arguments": arguments}}]


def _echo(messages: list[Any]) -> str:
    """An answer made of the last message that has words."""
    for message in reversed(messages):
        words = _content(message).split()
        if words:
            return f"The sandbox read: {' '.join(words[:QUOTED_WORDS])}"
    return "The sandbox read nothing."


def _content(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _tokens(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    others = sum(part.get("type") != "text" for part in content) if isinstance(content, list) else 0
    return _count(_content(message)) + others * TOKENS_PER_PICTURE + CHARACTERS_PER_TOKEN


def _count(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)
