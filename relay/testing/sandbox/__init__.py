"""A stand-in for the services the relay talks to, which misbehaves when told to. See docs/sandbox.md.

with sandbox() as box:
    box.faults.add("spark", "status", route="chat", times=1, status=503)
    ... call f"{box.url}/spark/v1/chat/completions" ...
    assert box.requests("spark")[0].json["model"] == "gemma"
"""

from relay.testing.sandbox.box import Sandbox, sandbox
from relay.testing.sandbox.service import (
    Call,
    Fault,
    HungUp,
    Refusal,
    Reply,
    Route,
    Service,
    json_reply,
    sse,
    stream_reply,
)

__all__ = [
    "Call",
    "Fault",
    "HungUp",
    "Refusal",
    "Reply",
    "Route",
    "Sandbox",
    "Service",
    "json_reply",
    "sandbox",
    "sse",
    "stream_reply",
]
