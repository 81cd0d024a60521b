"""Calls of the caller's own functions: OpenAI's shape to Gemini's and back.

Gemini 3 signs each call and wants its signature back with the history. It travels where Google's own endpoint for
OpenAI clients puts it, in `extra_content.google.thought_signature` of the call. Many clients drop what they do not
know; for them Google documents a word that stands for a missing signature.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from relay.api import Invalid

if TYPE_CHECKING:
    from google.genai import types

NO_SIGNATURE = "skip_thought_signature_validator"
MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def tool_config(options: Mapping[str, Any]) -> dict[str, Any]:
    """`tools` and `tool_choice` of a request as entries of the config."""
    tools = options.get("tools")
    if not tools:
        return {}
    declared = []
    for number, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise Invalid("a tool must be a function with a name", f"tools[{number}]")
        declaration = {"name": function["name"], "description": function.get("description") or ""}
        if function.get("parameters"):
            declaration["parameters_json_schema"] = function["parameters"]
        declared.append(declaration)
    config: dict[str, Any] = {"tools": [{"function_declarations": declared}]}
    choice = options.get("tool_choice")
    if isinstance(choice, str) and choice in MODES:
        config["tool_config"] = {"function_calling_config": {"mode": MODES[choice]}}
    elif isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping):
        only = {"mode": "ANY", "allowed_function_names": [str(choice["function"].get("name"))]}
        config["tool_config"] = {"function_calling_config": only}
    return config


def call_parts(calls: Any, called: dict[str, str], number: int) -> list[dict[str, Any]]:
    """The calls an assistant message of the history made. Notes id and name of each in `called`."""
    parts = []
    for at, call in enumerate(calls or []):
        where = f"messages[{number}].tool_calls[{at}]"
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise Invalid("a call must name its function", where)
        try:
            arguments = json.loads(function.get("arguments") or "{}")
        except (TypeError, ValueError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict):
            raise Invalid("arguments must be a JSON object, as text", f"{where}.function.arguments")
        part: dict[str, Any] = {"function_call": {"name": function["name"], "args": arguments}}
        signature = _signature(call)
        if signature or at == 0:  # of calls made at once only the first is signed
            part["thought_signature"] = signature or NO_SIGNATURE
        called[str(call.get("id"))] = function["name"]
        parts.append(part)
    return parts


def _signature(call: Mapping[str, Any]) -> str | None:
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, Mapping) else None
    signature = google.get("thought_signature") if isinstance(google, Mapping) else None
    return signature if isinstance(signature, str) and signature else None


def result_part(message: Mapping[str, Any], called: Mapping[str, str], number: int) -> dict[str, Any]:
    """What a function gave back, a `tool` message."""
    name = called.get(str(message.get("tool_call_id")))
    if name is None:
        raise Invalid("tool_call_id must be the id of a call made before", f"messages[{number}].tool_call_id")
    content = message.get("content")
    if isinstance(content, list):
        content = "\n".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
    try:
        value = json.loads(content or "")
    except (TypeError, ValueError, RecursionError):
        value = content
    response = value if isinstance(value, dict) else {"result": value}
    return {"function_response": {"name": name, "response": response}}


def tool_call(part: types.Part, index: int, prefix: str) -> dict[str, Any]:
    """A call Gemini made, as a piece of OpenAI's stream. Gemini gives the arguments in one piece."""
    call = part.function_call
    assert call is not None
    piece: dict[str, Any] = {
        "index": index,
        "id": call.id or f"call_{prefix}_{index}",
        "type": "function",
        "function": {"name": call.name or "", "arguments": json.dumps(call.args or {}, ensure_ascii=False)},
    }
    if part.thought_signature:
        signature = base64.urlsafe_b64encode(part.thought_signature).decode()
        piece["extra_content"] = {"google": {"thought_signature": signature}}
    return piece
