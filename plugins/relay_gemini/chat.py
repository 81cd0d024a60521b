"""A chat in OpenAI's shape as Gemini's contents and config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from relay.api import ChatRequest, Invalid, Unsupported
from relay_gemini.tools import call_parts, result_part, tool_config

PASSED_ON = ("top_p", "seed", "presence_penalty", "frequency_penalty")
EFFORTS = ("minimal", "low", "medium", "high")


def chat_contents(messages: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], str | None]:
    """`contents` and the system instruction. Raises Unsupported for pictures and sound, Invalid for what is no chat."""
    contents: list[dict[str, Any]] = []
    system: list[str] = []
    called: dict[str, str] = {}
    for number, message in enumerate(messages):
        role = message.get("role")
        if role == "tool":
            _add(contents, "user", [result_part(message, called, number)])
            continue
        text = _text(message.get("content"), number)
        if role in {"system", "developer"}:
            system.append(text)
            continue
        parts: list[dict[str, Any]] = [{"text": text}] if text else []
        if role == "assistant":
            parts += call_parts(message.get("tool_calls"), called, number)
        elif role != "user":
            raise Invalid("role must be system, user, assistant or tool", f"messages[{number}].role")
        _add(contents, "model" if role == "assistant" else "user", parts)
    instruction = "\n\n".join(text for text in system if text) or None
    if not contents:  # Gemini answers contents, never an instruction alone
        return [{"role": "user", "parts": [{"text": instruction or ""}]}], None
    return contents, instruction


def _add(contents: list[dict[str, Any]], role: str, parts: list[dict[str, Any]]) -> None:
    """Turns alternate: what one side says in a row is one turn."""
    if contents and contents[-1]["role"] == role:
        contents[-1]["parts"] += parts
    elif parts:
        contents.append({"role": role, "parts": parts})


def _text(content: Any, number: int) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise Invalid("content must be text or a list of parts", f"messages[{number}].content")
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind not in {"text", "refusal"}:
            raise Unsupported("this relay sends only text to Gemini in a chat, no pictures and no sound")
        texts.append(str(part.get(kind) or ""))
    return "\n".join(texts)


def chat_config(request: ChatRequest, system: str | None, thinking: str) -> dict[str, Any]:
    """The config for the SDK. Options that Gemini does not know are left out."""
    options = request.options
    config: dict[str, Any] = {name: options[name] for name in PASSED_ON if options.get(name) is not None}
    if system:
        config["system_instruction"] = system
    if request.max_output_tokens is not None:
        config["max_output_tokens"] = request.max_output_tokens
    if request.temperature is not None:
        config["temperature"] = request.temperature
    stop = options.get("stop")
    if stop:
        config["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
    if request.schema is not None:
        config["response_mime_type"] = "application/json"
        config["response_json_schema"] = dict(request.schema)
    elif (options.get("response_format") or {}).get("type") == "json_object":
        config["response_mime_type"] = "application/json"
    effort = options.get("reasoning_effort")
    level = effort if effort in EFFORTS else thinking
    if level:
        config["thinking_config"] = {"thinking_level": level.upper()}
    config.update(tool_config(options))
    return config
