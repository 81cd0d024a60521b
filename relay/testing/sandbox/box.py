"""The sandbox as one object: services, faults, records and the server in front of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from relay.testing.sandbox.faults import Faults
from relay.testing.sandbox.records import Records
from relay.testing.sandbox.server import HOST, Server
from relay.testing.sandbox.service import Service


class Sandbox:
    """`url` is where it listens; `services` by name; `faults` and `requests` as over HTTP.

    Raises OSError when the port is taken.
    """

    def __init__(self, services: Sequence[Service], port: int = 0) -> None:
        self.services = {service.name: service for service in services}
        self.faults = Faults(services)
        self.requests = Records()
        self._server = Server(self, port)
        self.url = f"http://{HOST}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="sandbox", daemon=True)
        self._thread.start()

    def __getitem__(self, name: str) -> Any:
        """A service, to set it from Python: `box["spark"]`."""
        return self.services[name]

    def reset(self) -> None:
        """As new: no faults, no records, every service as at its start."""
        self.faults.clear()
        self.requests.reset()
        for service in self.services.values():
            service.reset()

    def close(self) -> None:
        self.faults.clear()
        self._server.stop()
        self._thread.join(timeout=10)
        for service in self.services.values():
            service.close()


@contextmanager
def sandbox(services: Sequence[Service] | None = None, port: int = 0) -> Iterator[Sandbox]:
    """A sandbox on loopback while the block runs. `services` None: all of them."""
    if services is None:
        from relay.testing.sandbox.catalogue import all_services

        services = all_services()
    box = Sandbox(services, port)
    try:
        yield box
    finally:
        box.close()
