"""The services `relay sandbox` plays, in the order they are listed. Add a line to add one."""

from __future__ import annotations

from importlib import import_module

from relay.testing.sandbox.service import Service

SERVICES = (
    "relay.testing.sandbox.spark:Spark",
    "relay.testing.sandbox.openai:OpenAI",
    "relay.testing.sandbox.gemini:Gemini",
    "relay.testing.sandbox.btcpay:BTCPay",
    "relay.testing.sandbox.zaprite:Zaprite",
)


def all_services() -> list[Service]:
    """A new instance of each."""
    return [_load(where) for where in SERVICES]


def _load(where: str) -> Service:
    module, _, name = where.partition(":")
    service: Service = getattr(import_module(module), name)()
    return service
