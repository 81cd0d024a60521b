"""What the embedded backend says to a chat request: an extractive summary, which says that it is one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from textwrap import shorten
from typing import Any

from relay.api import CallContext, ChatRequest, Delta, Invalid, Unsupported
from relay_local import summary

MODEL = "extractive-summary"
HEADER = "Extractive summary (sentences chosen from the text, no language model):\n"
ABILITY = (
    "the embedded backend has no language model: it can only choose sentences and keywords from a text. With a schema "
    "it fills an object's properties `summary`, `keywords`, `title` and `sentences`: strings or arrays of strings"
)
TEXT_PARTS = frozenset({"text", "refusal"})
LEAST, MOST = 3, 10  # sentences
KEYWORDS = 8
TITLE_CHARACTERS = 80
# What may stand in a schema beside what is read here. Anything else could demand what cannot be promised.
FIELDS = frozenset({"summary", "keywords", "title", "sentences"})
NOTES = frozenset({"title", "description", "$schema", "$id", "$comment", "examples", "default"})
OBJECT_KEYS = NOTES | {"type", "properties", "required", "additionalProperties"}
STRING_KEYS = NOTES | {"type"}
ARRAY_KEYS = NOTES | {"type", "items"}


@dataclass(frozen=True, slots=True)
class Summary:
    """`sentences` in the order of the text; `title` is the one that says most, shortened."""

    title: str
    sentences: list[str]
    keywords: list[str]


def deltas(request: ChatRequest, ctx: CallContext) -> Iterator[Delta]:
    """The answer in pieces. A token of this backend is a word. Raises Unsupported for what needs a language model."""
    _check(request)
    wanted = None if request.schema is None else _wanted(request.schema)
    text, path = _text(request)
    texts = summary.sentences(text)
    if not texts:
        raise Invalid("there is no text to summarise", path)
    found = _summarise(texts, request.max_output_tokens, ctx.remaining)
    words = 0
    for piece in _plain(found) if wanted is None else [_filled(wanted, found)]:
        words += len(piece.split())
        yield Delta(piece)
    yield Delta(finish="stop", model=MODEL, input_tokens=len(text.split()), output_tokens=words)


def _check(request: ChatRequest) -> None:
    options = request.options
    if options.get("tools") and options.get("tool_choice") != "none":
        raise Unsupported("the embedded backend has no language model, so it cannot call tools")
    if (options.get("response_format") or {}).get("type") == "json_object":
        raise Unsupported("the embedded backend answers JSON only by a schema (response_format json_schema)")
    contents = [content for message in request.messages if isinstance(content := message.get("content"), list)]
    if not all(isinstance(part, Mapping) and part.get("type") in TEXT_PARTS for part in chain(*contents)):
        raise Unsupported("the embedded backend reads only text, no pictures and no sound")


def _text(request: ChatRequest) -> tuple[str, str]:
    """The text to summarise, and the field of the request it came from."""
    if request.transcript is not None:
        return request.transcript, "transcript"
    for message in reversed(request.messages):
        if message.get("role") == "user":
            return _content(message.get("content")), "messages"
    return "", "messages"


def _content(content: Any) -> str:
    """A message's text in either of OpenAI's shapes."""
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if "text" in part)
    return content if isinstance(content, str) else ""


def _summarise(texts: list[str], limit: int | None, check: Callable[[], object]) -> Summary:
    """A fifth of the sentences, at least three if there are; together at most `limit` words if one fits in them."""
    ranked = summary.choose(texts, min(MOST, max(LEAST, len(texts) // 5)), check)
    while limit is not None and len(ranked) > 1 and sum(len(texts[i].split()) for i in ranked) > limit:
        ranked.pop()
    title = shorten(texts[ranked[0]], TITLE_CHARACTERS, placeholder=" …")
    return Summary(title, [texts[i] for i in sorted(ranked)], summary.keywords(texts, KEYWORDS))


def _plain(found: Summary) -> Iterator[str]:
    yield HEADER
    for sentence in found.sentences:
        yield f"- {sentence}\n"
    if found.keywords:
        yield f"Keywords: {', '.join(found.keywords)}\n"


def _wanted(schema: Mapping[str, Any]) -> dict[str, str]:
    """Property -> `string` or `array`, for those that can be filled. Raises Unsupported when that is not enough."""
    properties = schema.get("properties")
    if schema.get("type") != "object" or not set(schema) <= OBJECT_KEYS or not isinstance(properties, Mapping):
        raise Unsupported(ABILITY)
    wanted = {name: kind for name, rule in properties.items() if name in FIELDS and (kind := _kind(rule))}
    if not wanted or not set(schema.get("required", ())) <= set(wanted):
        raise Unsupported(ABILITY)
    return wanted


def _kind(rule: Any) -> str | None:
    if not isinstance(rule, Mapping):
        return None
    types = [rule["type"]] if isinstance(rule.get("type"), str) else rule.get("type", [])
    if "string" in types and set(rule) <= STRING_KEYS:
        return "string"
    if "array" in types and set(rule) <= ARRAY_KEYS and _kind(rule.get("items", {"type": "string"})) == "string":
        return "array"
    return None


def _filled(wanted: Mapping[str, str], found: Summary) -> str:
    values = {
        "summary": (found.sentences, " "),
        "keywords": (found.keywords, ", "),
        "title": ([found.title], ""),
        "sentences": (found.sentences, "\n"),
    }
    answer: dict[str, str | list[str]] = {}
    for name, kind in wanted.items():
        parts, between = values[name]
        answer[name] = parts if kind == "array" else between.join(parts)
    return json.dumps(answer, ensure_ascii=False)
