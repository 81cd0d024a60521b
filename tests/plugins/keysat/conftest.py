"""The plugin on a storage in memory, with a clock that stands still, and a licence server of the test's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from relay_keysat import Plugin
from relay_keysat.strategy import Keysat

from relay.books.spaces import PluginSpace
from relay.ports.auth import Identity
from relay.ports.storage import COLLECTIONS, STREAMS
from relay.tables import Table
from relay.testing.memory import MemoryStorage
from tests.loopback import Raw, Request, Server, json_reply
from tests.plugins.keysat.keys import LICENCE, PEM, PRODUCT

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    now = START

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **time: float) -> None:
        self.now += timedelta(**time)


@dataclass
class Issuer:
    """Answers `POST /v1/validate` with `says`, after `gate` opens. `asked` holds what it was sent."""

    says: dict[str, Any] | Raw = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def good(self, **more: Any) -> None:
        self.says = {"ok": True, "license_id": str(LICENCE), "product_id": str(PRODUCT), "status": "active", **more}

    def refuses(self, reason: str) -> None:
        self.says = {"ok": False, "reason": reason}

    def answer(self, request: Request) -> Raw:
        if request.path != "/v1/validate":
            return json_reply({"ok": False}, 404)
        self.asked.append(request.json())
        self.gate.wait(20)
        return self.says if isinstance(self.says, Raw) else json_reply(self.says)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def storage(tmp_path: Path) -> MemoryStorage:
    storage = MemoryStorage()
    storage.open(tmp_path, COLLECTIONS, STREAMS)
    return storage


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    issuer.good()
    issuer.gate.set()
    with Server(issuer.answer) as server:
        issuer.url = server.url
        yield issuer
        issuer.gate.set()


Start = Callable[..., Keysat]


@pytest.fixture
def start(storage: MemoryStorage, clock: Clock) -> Start:
    """The plugin as a new process would have it, with settings beside those that must be."""

    def begin(**settings: Any) -> Keysat:
        table = {"public_keys": [PEM], "products": {str(PRODUCT): "pro"}, **settings}
        plugin = Plugin(Table(table, "plugins.keysat"), clock=clock)
        plugin.relay_attach(PluginSpace(storage, "keysat"))
        (strategy,) = plugin.relay_auth_strategies()
        return strategy

    return begin


def sent(text: str, install: str = "inst-1") -> dict[str, str]:
    return {"authorization": text, "x-recap-install-id": install}


def who(strategy: Keysat, text: str) -> Identity:
    identity = strategy.identify(sent(text))
    assert identity is not None
    return identity
