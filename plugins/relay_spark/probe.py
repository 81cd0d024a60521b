"""Asking a path whether there is a service behind it, where the server has no discovery."""

from __future__ import annotations

import tempfile
import wave
from pathlib import Path
from typing import Literal

from relay.api import CallContext, Endpoint, HTTPReply

State = Literal["unknown", "ok", "missing", "failing"]

HEALTH_PATHS = ("/v1/health/ready", "/health")  # NIM, vLLM and llama.cpp
NOT_THERE = frozenset({404, 405})
SILENT_SECONDS = 0.5
RATE = 16_000


def state_of(reply: HTTPReply) -> tuple[State, str]:
    """A refusal of what was sent, and "busy", come from a service that is there."""
    if reply.status in NOT_THERE:
        return "missing", f"status {reply.status}"
    if reply.status in {401, 403}:
        return "failing", "it refuses the relay's token"
    if reply.status >= 500 and reply.status != 503:
        return "failing", f"status {reply.status}"
    return "ok", ""


def probe_audio(endpoint: Endpoint, ctx: CallContext) -> tuple[State, str]:
    """Sends half a second of silence."""
    with tempfile.TemporaryDirectory(prefix="relay-probe-") as folder:
        path = Path(folder) / "silence.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(bytes(round(2 * RATE * SILENT_SECONDS)))
        sent = ("file", "silence.wav", path, "audio/wav")
        return state_of(endpoint.client.post_multipart(endpoint.path, [], sent, ctx=ctx))


def probe_chat(models: Endpoint, ctx: CallContext) -> tuple[State, str]:
    """A chat costs tokens, so what stands beside it is asked. Without any of these there is no chat."""
    state, detail = state_of(models.client.request("GET", models.path, ctx=ctx))
    for path in HEALTH_PATHS:
        if state != "missing":
            break
        state, detail = state_of(models.client.request("GET", path, ctx=ctx))
    return state, detail
